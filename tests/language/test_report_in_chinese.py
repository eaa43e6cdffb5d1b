"""The Chinese report is Chinese throughout: in its text, its attributes and its charts nothing was left unmarked."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from compare.experiment.datasets import Dataset
from compare.language import use_language
from compare.records.reading import Recorded, read_record
from compare.views.report import charts, page
from tests.views.records import killed, run

RECORDED = Path(__file__).parents[2] / "results" / "20261124T170418Z_article_s1_0231d49c"  # that README cites
CHINESE = re.compile(r"[\u4e00-\u9fff]")
WORD = r"[A-Za-z][a-z’']+"
THREE_WORDS = re.compile(rf"(?<![\w.-]){WORD}(?: {WORD}){{2,}}")
UNSEEN = {"code", "pre", "script", "style", "math", "svg", "option"}
VOID = {"meta", "link", "img", "br", "line", "circle", "input", "path"}
READ_OUT = ("aria-label", "alt", "title", "data-undrawn")


class Prose(HTMLParser):
    """What a reader of a page sees or hears, without code, names in it, and what says that it is not translated."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[tuple[str, bool]] = []
        self.seen: list[str] = []
        self.scripts: dict[str, str] = {}
        self.language = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given["lang"] or ""
        self.seen += [value for key, value in attrs if key in READ_OUT and value]
        if tag not in VOID:
            self.open.append((given.get("id") or tag, tag in UNSEEN or given.get("translate") == "no"))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "specifications":
            self.scripts["specifications"] = data
        if data.strip() and not any(unseen for _, unseen in self.open):
            self.seen.append(" ".join(data.split()))


def titles(specification: Any) -> list[str]:
    """Return the texts that a chart's specification shows."""
    if isinstance(specification, list):
        return [found for part in specification for found in titles(part)]
    if not isinstance(specification, dict):
        return []
    shows = ("title", "name") if "bound" in specification else ("title",)  # the line at the bound has its name in data
    own = [specification[key] for key in shows if isinstance(specification.get(key), str)]
    return own + [found for value in specification.values() for found in titles(value)]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, small: Dataset) -> dict[str, Recorded]:
    """The recorded run, one that diverges, one in the middle of which it was killed."""
    out = tmp_path_factory.mktemp("records") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compare.experiment.datasets.load", lambda *_: small)
        diverged = run(out, plant="bias-gradient-averaged", steps=2)
        finished = run(out, steps=12)
    folders = {"recorded": RECORDED, "diverged": diverged, "killed": killed(finished)}
    return {name: read_record(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def pages(records: dict[str, Recorded]) -> dict[str, Prose]:
    """The Chinese pages about these records, and about two of them; without Vega, which takes long and says nothing."""
    several = [records["diverged"], records["killed"]]
    told = {name: [record] for name, record in records.items()} | {"several": several}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "script", str)
        use_language("zh")
        try:
            return {name: Prose(page.html(shown)) for name, shown in told.items()}
        finally:
            use_language(None)


@pytest.mark.parametrize("name", ["recorded", "diverged", "killed", "several"])
def test_no_english_prose_is_left(pages: dict[str, Prose], name: str) -> None:
    assert pages[name].language == "zh"
    assert len(pages[name].seen) > 40
    assert not [text for text in pages[name].seen if THREE_WORDS.search(text)]


@pytest.mark.parametrize("name", ["recorded", "diverged", "killed", "several"])
def test_what_has_no_chinese_is_a_name(pages: dict[str, Prose], records: dict[str, Recorded], name: str) -> None:
    """Short texts, too: a heading, a column, a key. What may stay English are names that code and records give."""
    names = {"backproof", "autograd", "lr", "batchmean"}
    for record in records.values():
        names |= {*record.environment, *record.environment["packages"], *record.data, *page.flattened(record.document)}
        finding = (record.outcome or {}).get("divergence") or {}
        names |= {*finding.get("ruled_out", ()), *(suspect["name"] for suspect in finding.get("suspects", ()))}
        names |= {*(record.outcome or {}).get("worst", ()), *str(page.flattened(record.document)).split("'")}
    english = [text for text in pages[name].seen if re.search("[A-Za-z]{3}", text) and not CHINESE.search(text)]
    assert not [text for text in english if text not in names]


def test_the_charts_are_chinese(pages: dict[str, Prose]) -> None:
    used = json.loads(pages["several"].scripts["specifications"]) | json.loads(
        pages["diverged"].scripts["specifications"]
    )
    shown = titles(used)
    assert len(shown) > 10
    assert not [text for text in shown if not CHINESE.search(text)]


def test_the_same_process_makes_english_and_chinese_pages(records: dict[str, Recorded]) -> None:
    """A page has the language of its time: nothing of the one before is kept."""
    kinds = ("losses", "audits", "audits-few", "audits-once")
    use_language("zh")
    assert all(CHINESE.search(json.dumps(charts.specification(kind), ensure_ascii=False)) for kind in kinds)
    use_language("en")
    assert not any(CHINESE.search(json.dumps(charts.specification(kind), ensure_ascii=False)) for kind in kinds)


def test_a_diverging_record_tells_its_finding_in_chinese(pages: dict[str, Prose]) -> None:
    text = "".join(pages["diverged"].seen)
    assert "DIVERGES（有分歧）" in text
    assert "偏置的梯度对批次求了平均，而不是求和。" in text
    assert "导数错了：各见证都支持自动微分" in text


def test_a_text_of_a_record_is_escaped_in_chinese_as_well() -> None:
    use_language("zh")
    assert page.escaped("Status: {status}.", status="<b>&") == "状态：&lt;b&gt;&amp;。"
    assert page.escaped("Status: {status}.", status=page.ours("<b>")) == "状态：<b>。"
