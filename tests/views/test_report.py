"""The report as a file: what it says is what the record says, whatever became of the run."""

import builtins
import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from compare import cli
from compare.experiment.datasets import DataError, Dataset
from compare.experiment.files import read_experiment, to_document
from compare.records.reading import read_record
from compare.records.schema import RecordError
from compare.views.report import ReportError, write_report
from compare.views.report.charts import specification
from compare.views.report.page import differing
from tests.views.records import HOSTILE, copied, edit, sealed

# Under pytest the library of the command line suspects that sys.argv was forgotten; here it is what is tried.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


class Page(HTMLParser):
    """A page taken apart: its visible text in order, its elements with their attributes, its data."""

    def __init__(self, html: str):
        super().__init__()
        self.html, self.texts, self.elements, self.data = html, [], [], []
        self.within: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.texts))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.within and self.within[-1] == tag:
            self.within.pop()

    def handle_data(self, data: str) -> None:
        (self.data if self.within else self.texts).append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a tag with these values."""
        return [a for t, a in self.elements if t == tag and all(a.get(key) == value for key, value in wanted.items())]

    def rows(self, figure: str) -> list[dict[str, Any]]:
        """Return the data of a chart."""
        after = self.html[self.html.index(f'<figure id="{figure}"') :]
        found = re.search(r'class="rows">(.*?)</script>', after, re.DOTALL)
        assert found
        held = json.loads(found[1])
        keys, count = held["columns"], len(held["columns"]["step"])
        rows = [{key: values[i] for key, values in keys.items()} for i in range(count)]
        return [row | {"series": held["names"][row["series"]]} if "series" in row else row for row in rows]


@pytest.fixture(scope="module")
def pages(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """A page about each of the records, one about all of them together, and one about very many."""
    folder, made = tmp_path_factory.mktemp("reports"), {}
    wanted = {name: [record] for name, record in runs.items()}
    wanted |= {"three": [runs[n] for n in ("finished", "diverged", "killed")], "many": [runs["finished"]] * 50}
    for name, records in wanted.items():
        file = write_report(records, folder / f"{name}.html")
        made[name] = Page(file.read_text(encoding="utf-8"))
    return made


def seven(value: float) -> float:
    """Return a number as a page holds it, with seven digits."""
    return float(f"{value:.7g}")


def outcome_of(record: Path) -> dict[str, Any]:
    return json.loads((record / "metrics.json").read_text(encoding="utf-8"))["outcome"]


EVERY = ("finished", "diverged", "convolved", "killed", "hostile", "three", "many")

# ------------------------------------------------------------------------------------------------------------- the page


@pytest.mark.parametrize("name", EVERY)
def test_the_page_refers_to_nothing_outside_itself(name: str, pages: dict[str, Page]) -> None:
    page = pages[name]
    references = [a.get(key) or "" for _, a in page.elements for key in ("src", "href", "srcset", "data", "action")]
    outside = [reference for reference in references if reference and not re.match(r"#|data:", reference)]
    assert outside == []
    assert "@import" not in page.html
    assert "default-src 'none'" in str(page.elements)


@pytest.mark.parametrize("name", EVERY)
def test_every_chart_has_a_text_alternative_and_its_numbers(name: str, pages: dict[str, Page]) -> None:
    page = pages[name]
    charts = page.all("div", role="img")
    assert charts or name == "killed"
    ids = [str(a["id"]) for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert {chart["aria-labelledby"], chart["aria-describedby"]} <= set(ids)
        figure = str(chart["id"]).removesuffix("-chart")
        part = page.html[page.html.index(f'<figure id="{figure}"') :]
        part = part[: part.index("</figure>")]
        said = re.search(r"<figcaption[^>]*>(.*?)</figcaption>", part, re.DOTALL)
        assert said
        assert re.search(r"\d", said[1])
        assert "<table>" in part
        assert re.search(r"<tbody>\s*<tr>", part)


@pytest.mark.parametrize("name", EVERY)
def test_every_picture_has_words_and_every_control_a_label(name: str, pages: dict[str, Page]) -> None:
    page = pages[name]
    assert all(a.get("alt") for a in page.all("img"))
    labels = {a["for"] for a in page.all("label")}
    assert all(a["id"] in labels for a in page.all("select"))
    targets = {str(a["href"])[1:] for a in page.all("a")}
    assert targets <= {a["id"] for _, a in page.elements if "id" in a}
    regions = page.all("div", tabindex="0")  # what scrolls can be reached by keyboard, and has a name
    assert all(a.get("aria-label") or a.get("aria-labelledby") for a in regions)


@pytest.mark.parametrize("name", ["finished", "diverged", "convolved", "killed"])
def test_the_verdict_comes_first(name: str, runs: dict[str, Path], pages: dict[str, Page]) -> None:
    verdict = "KILLED" if name == "killed" else outcome_of(runs[name])["verdict"]
    body = pages[name].text.split("Skip to the report")[1]
    assert body.split()[1] == verdict  # behind its sign
    assert pages[name].html.index("<h1") < pages[name].html.index("<h2")


def test_the_page_is_small(pages: dict[str, Page]) -> None:
    from compare.views.report.charts import script

    vega = len(script())
    assert all(len(page.html) - vega < 3_000_000 for page in pages.values())
    assert pages["many"].html.count("window.vegaEmbed=") == 1


# ------------------------------------------------------------------------------------- its numbers are the record's own


def test_the_tensors_are_those_of_the_record(runs: dict[str, Path], pages: dict[str, Page]) -> None:
    from compare.views.console import in_u

    page, outcome = pages["finished"], outcome_of(runs["finished"])
    table = page.html[page.html.index('id="r1-tensors"') :]
    for name, worst in outcome["worst"].items():
        row = re.search(rf"<code>{re.escape(name)}</code></th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", table)
        assert row, name
        assert (row[1], row[2]) == (in_u(worst["error"]), f"{worst['step']:,}")
        if name in outcome["tightest"]:
            assert row[3] == in_u(100 * outcome["tightest"][name]["used"])
    assert f"{outcome['checks']:,}" in page.text
    accuracy = outcome["accuracy"]
    assert f"{100 * accuracy['manual']:.2f} % right" in page.text


def test_the_curves_are_those_of_the_steps(runs: dict[str, Path], pages: dict[str, Page]) -> None:
    page, record = pages["finished"], read_record(runs["finished"])
    lines = list(record.steps())
    drawn = page.rows("r1-losses")
    assert [(r["step"], r["manual"], r["reference"]) for r in drawn] == [
        (x["step"], *map(seven, x["loss"])) for x in lines
    ]
    alone = {r["step"]: r["alone"] for r in drawn if r["alone"] is not None}
    assert alone == {x["step"]: seven(x["drift"][1]) for x in lines if "drift" in x}
    audits = {(r["series"], r["step"]): r["true"] for r in page.rows("r1-audits")}
    found = {(t, x["step"]): seven(100 * used) for x in lines for t, used in x.get("audit", {}).items()}
    assert audits == found
    assert [(r["step"], r["true"]) for r in page.rows("r1-drift")] == [
        (x["step"], seven(x["drift"][0])) for x in lines if "drift" in x
    ]


def test_no_difference_at_all_stands_at_the_foot_of_a_logarithmic_chart(pages: dict[str, Page]) -> None:
    rows = pages["finished"].rows("r1-audits")
    exact = {row["value"] for row in rows if row["true"] == 0}
    (foot,) = exact
    assert foot == 10.0 ** math.floor(math.log10(min(row["true"] for row in rows if row["true"])))
    assert all(row["value"] == row["true"] for row in rows if row["true"])


def test_the_confusion_matrix_is_that_of_the_record(runs: dict[str, Path], pages: dict[str, Page]) -> None:
    scores = read_record(runs["diverged"]).metrics
    assert scores
    table = pages["diverged"].html.split('class="confusion"')[1]
    cells = [int(cell) for cell in re.findall(r"<td style=[^>]*>(\d+)</td>", table.split("</table>")[0])]
    assert cells == [count for row in scores["confusion_manual"] for count in row]


def test_where_the_confusion_matrices_differ_is_marked(runs: dict[str, Path], tmp_path: Path) -> None:
    record = copied(runs["finished"], "confused", tmp_path)

    def change(metrics: dict[str, Any]) -> dict[str, Any]:
        metrics["metrics"]["confusion_reference"][0][1] += 5
        return metrics

    edit(record, "metrics", change)
    page = Page(write_report([sealed(record)], tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(page.all("table", **{"class": "confusion"})) == 2
    assert len(page.all("td", **{"class": "apart"})) == 2


def test_a_divergence_is_shown_with_its_suspects(runs: dict[str, Path], pages: dict[str, Page]) -> None:
    found, text = outcome_of(runs["diverged"])["divergence"], pages["diverged"].text
    assert found["suspects"][0]["name"] == "bias-gradient-averaged"
    for said in (found["reason"], found["suspects"][0]["name"], found["suspects"][0]["about"], found["operation"]):
        assert said in text
    assert f"<strong>{found['suspects'][0]['name']}</strong>" in pages["diverged"].html
    assert all(name in text for name in found["ruled_out"])
    for witness in ("manual", "autograd", "complex_step", "central_difference"):
        assert repr(found["witnesses"][witness]) in text
    told = text.split(f"python {runs['diverged']}/divergence/reproduce.py")[0]
    assert "run only if the record is your own" in told[-80:]


def test_a_killed_run_shows_what_there_is(runs: dict[str, Path], pages: dict[str, Page]) -> None:
    text = pages["killed"].text
    assert "Status: killed" in text
    assert f"backproof resume {runs['killed']}" in text
    assert [row["step"] for row in pages["killed"].rows("r1-losses")] == [1, 2, 3, 4, 5]
    assert "There are 5 steps in the record" in text
    assert "replay" not in text


def test_several_records_stand_side_by_side(runs: dict[str, Path], pages: dict[str, Page]) -> None:
    page = pages["three"]
    assert page.text.split("Skip to the report")[1].split("recorded runs")[0].split()[:6] == [
        "1", "AGREES", ",", "1", "DIVERGES", ",",
    ]  # fmt: skip
    assert len(page.all("details", **{"class": "record"})) == 3
    assert {row["series"] for row in page.rows("all-losses")} == {
        "1. article, seed 1, float64", "2. article, seed 1, float64, with bias-gradient-averaged planted",
        "3. article, seed 1, float64",
    }  # fmt: skip
    used = outcome_of(runs["diverged"])["tightest"]["linear1.bias.grad"]["used"]
    assert f"{100 * used:.3g}" in page.html[page.html.index('id="shared"') :]


def test_what_was_configured_differently_is_listed() -> None:
    class Named:
        def __init__(self, **document: Any):
            self.record = type("R", (), {"document": document})

    a: Any = Named(name="a", training={"lr": 1, "seed": 3}, layers=[{"kind": "Linear"}])
    b: Any = Named(name="a", training={"lr": 2, "seed": 3}, layers=[{"kind": "Conv2d"}, {"kind": "ReLU"}])
    assert differing([a, b]) == [
        ("training.lr", ["1", "2"]), ("layers[0].kind", ["Linear", "Conv2d"]), ("layers[1].kind", ["", "ReLU"]),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------ the images


def test_images_of_disagreement_are_those_of_the_data_set(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Dataset
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("compare.experiment.datasets.load", lambda *arguments: asked.append(arguments) or small)
    record = with_disagreements(runs["finished"], tmp_path, [3, 150])
    page = Page(write_report([record], tmp_path / "r.html").read_text(encoding="utf-8"))
    shown = [str(a["alt"]) for a in page.all("img") if str(a["alt"]).startswith("Test image")]
    assert shown == [f"Test image {i}, a {small.test_labels[i]}" for i in (3, 150)]
    assert page.text.count("manual: 4 reference: 9") == 2
    assert asked == [()]  # the packaged one


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_no_folder_and_no_data_set_that_a_record_names_is_opened(
    name: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Dataset:
        raise AssertionError("it was read through torchvision")

    monkeypatch.setattr("compare.experiment.datasets._through_torchvision", refuse)
    monkeypatch.setattr("compare.experiment.datasets._missing", lambda *_: [])
    record = with_disagreements(runs["finished"], tmp_path, [3])
    document = to_document(read_experiment("article"))
    document["data"] |= {"dataset": name, "data_root": str(tmp_path)}
    (record / "config.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    edit(record, "data", lambda data: data | {"dataset": name})
    page = Page(write_report([sealed(record)], tmp_path / "r.html").read_text(encoding="utf-8"))
    assert ("no data set but the packaged mnist; the run had fashion-mnist" in page.text) == (name != "mnist")
    assert any(str(a["alt"]).startswith("Test image 3,") for a in page.all("img")) == (name == "mnist")
    assert name == "mnist" or "by number 3" in page.text


@pytest.mark.parametrize("fault", ["other digests", "gone", "too few images"])
def test_images_that_are_not_those_of_the_run_are_not_shown(
    fault: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Dataset
) -> None:
    def load(*_: Any) -> Dataset:
        if fault == "gone":
            raise DataError("fashion-mnist was looked for: found nothing.")
        return small

    monkeypatch.setattr("compare.experiment.datasets.load", load)
    record = with_disagreements(runs["finished"], tmp_path, [3, 9999] if fault == "too few images" else [3])
    if fault == "other digests":
        edit(record, "data", lambda data: data | {"digests": {"file": "0" * 64}})
        sealed(record)
    text = Page(write_report([record], tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert "The images cannot be shown." in text
    assert {"other digests": "its digests differ", "gone": "found nothing", "too few images": "200 test images"}[
        fault
    ] in text
    assert "by number 3" in text


def with_disagreements(record: Path, where: Path, indices: list[int]) -> Path:
    folder = copied(record, "disagree", where)

    def change(metrics: dict[str, Any]) -> dict[str, Any]:
        metrics["metrics"] |= {"disagreements": indices, "answers": [[4, 9] for _ in indices]}
        metrics["outcome"]["accuracy"]["disagreements"] = len(indices)
        return metrics

    edit(folder, "metrics", change)
    return sealed(folder)


# ------------------------------------------------------------------------------------------------------ hostile records


def test_what_a_record_says_never_becomes_html(pages: dict[str, Page]) -> None:
    page = pages["hostile"]
    assert not [a for tag, a in page.elements if any(key.startswith("on") for key in a)]
    assert len(page.all("script")) == 2 + 1 + len(page.all("div", role="img"))
    assert HOSTILE not in page.html
    assert page.text.count(re.sub(r"\s+", " ", HOSTILE)) >= 15  # it is shown, as text


def test_nothing_of_a_record_is_executed(runs: dict[str, Path], tmp_path: Path) -> None:
    record = copied(runs["finished"], "executes", tmp_path)
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Layer: pass\n", encoding="utf-8")
    config = (record / "config.toml").read_text(encoding="utf-8")
    (record / "config.toml").write_text(config.replace('kind = "Sigmoid"', f'kind = "{trap}:Layer"'), encoding="utf-8")
    write_report([sealed(record)], tmp_path / "r.html")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("layers", ["3", "[]", "[{name = 3}]", '"none"'])
def test_a_configuration_that_is_none_is_no_fault_of_the_page(
    layers: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    record = copied(runs["finished"], "strange", tmp_path)
    strange = f"name = 3\nlayers = {layers}\nloss = 7\noptimizer = []\ntraining = 'x'\ndata = 1\nabout = [1]\n"
    (record / "config.toml").write_text(strange, encoding="utf-8")
    page = Page(write_report([sealed(record)], tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "AGREES" in page.text


# ---------------------------------------------------------------------------------------------------------- the command


def said(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["backproof", "report", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    printed = capsys.readouterr()
    return left.value.code if isinstance(left.value.code, int) else 0, printed.out, printed.err


def test_the_command_says_where_the_page_is(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = said([str(runs["finished"]), "--html", "mine.html"], monkeypatch, capsys)
    assert (status, err, out.splitlines()[-1]) == (0, "", "report: mine.html")
    assert out.startswith("AGREES")
    both = [str(runs["finished"]), str(runs["killed"])]
    status, out, err = said(both, monkeypatch, capsys)
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == f"AGREES  {both[0]}"
    assert out.splitlines()[1].endswith(f"to go on: backproof resume {both[1]}")
    assert out.splitlines()[-1] == "report: report.html"
    assert Path("report.html").exists()


def test_a_page_that_cannot_be_written_is_one_message(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said([str(runs["finished"]), "--html", str(tmp_path)], monkeypatch, capsys)
    assert (status, out) == (3, "")
    assert err.startswith(f"backproof: {tmp_path}: the report cannot be written (")
    assert "--html FILE" in err


def test_a_link_in_a_record_is_not_written_through(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = copied(runs["finished"], "linked", tmp_path)
    (tmp_path / "precious").write_text("kept", encoding="utf-8")
    (record / "report.html").symlink_to(tmp_path / "precious")
    status, _, err = said([str(record)], monkeypatch, capsys)
    assert (status, "found a link" in err) == (3, True)
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize("missing", ["altair", "vl_convert", "latex2mathml"])
def test_a_missing_extra_is_one_message(missing: str, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.delitem(sys.modules, "compare.views.report.charts", raising=False)
    with pytest.raises(ReportError, match=rf"{missing}.*pip install 'backproof\[report\]'"):
        write_report([runs["finished"]], Path("never.html"))


def test_what_is_no_record_is_refused(tmp_path: Path, runs: dict[str, Path]) -> None:
    with pytest.raises(RecordError, match=r"manifest\.json"):
        write_report([runs["finished"], tmp_path], tmp_path / "r.html")
    with pytest.raises(ReportError, match="no record"):
        write_report([], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_every_chart_of_a_page_has_its_specification(pages: dict[str, Page]) -> None:
    for page in pages.values():
        known = json.loads(page.html.split('id="specifications">')[1].split("</script>")[0])
        assert {str(a["data-chart"]) for a in page.all("div", role="img")} == set(known)
        assert all(known[name] == json.loads(json.dumps(specification(name))) for name in known)
