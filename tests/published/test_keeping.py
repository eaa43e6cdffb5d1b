"""Reproductions as files, and the section that is made of them: whole or not at all, and never typed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compare.published.comparison import as_printed, band, equal_count, own
from compare.published.keeping import KEYS, document, kept_in, read, write
from compare.records.schema import RecordError
from compare.views.published import BEGIN, END, counted, placed, section, show_reproduction, write_into
from compare.views.report import ReportError
from tests.published.conftest import RUN, made

ROOT = Path(__file__).parents[2]
PAGE = f"# Results\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n"


def kept(**changes: Any) -> dict[str, Any]:
    return document(replace(made(), **changes))


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = write(kept(), tmp_path)
    assert path == tmp_path / "reproductions" / "book.json"
    assert read(path) == json.loads(json.dumps(kept()))
    assert kept_in(tmp_path) == [read(path)]


def test_the_document_says_what_the_numbers_depend_on() -> None:
    content = kept()
    assert content["environment"]["packages"].keys() >= {"numpy", "torch"}
    (run,) = content["runs"]
    assert {"verdict", "steps", "seconds", "config_id", "checks", "audits", "record", "met"} <= run.keys()


def test_numbers_that_json_has_no_word_for_are_texts(tmp_path: Path) -> None:
    content = kept(comparisons=(own("loss", float("nan")),))
    path = write(content, tmp_path)
    assert read(path)["comparisons"][0]["ours"] == "nan"
    show_reproduction(content)


def test_who_is_killed_while_writing_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(kept(), tmp_path)
    before = path.read_bytes()

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(kept(source="another"), tmp_path)
    assert path.read_bytes() == before
    path.with_name("book.json.new").write_text('{"name": "bo', encoding="utf-8")  # as a killed process leaves it
    assert [each["name"] for each in kept_in(tmp_path)] == ["book"]


@pytest.mark.parametrize("content", ["", '{"name": "book", "met"', "[]", "null", '{"name": "book"}', "\ud800"])
def test_half_a_file_or_another_one_is_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "reproductions" / "book.json"
    path.parent.mkdir()
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(RecordError, match=r"book\.json: found no .*wanted a reproduction.*backproof reproduce book"):
        kept_in(tmp_path)


def test_a_folder_without_any_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="found no reproductions"):
        kept_in(tmp_path)


def test_a_file_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "reproductions").write_text("a file in the folder's place", encoding="utf-8")
    with pytest.raises(RecordError, match="cannot be written"):
        write(kept(), tmp_path)


def test_the_section_takes_its_place_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(PAGE, encoding="utf-8")
    write_into(file, [kept()])
    page = file.read_text(encoding="utf-8")
    assert page.startswith(f"# Results\n\nbefore\n\n{BEGIN}\n\n")
    assert page.endswith(f"\n{END}\n\nafter\n")
    assert section([kept()]) in page
    assert "old" not in page
    write_into(file, [kept()])
    assert file.read_text(encoding="utf-8") == page


def test_a_page_without_a_place_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="found no place"):
        placed("# Results\n", [kept()], tmp_path / "README.md")
    with pytest.raises(ReportError, match="cannot be written"):
        write_into(tmp_path / "none" / "README.md", [kept()])


def test_the_section_shows_theirs_beside_ours() -> None:
    figures = (
        as_printed("loss", 0.281, 0.281004, 5), as_printed("error", 0.08, 0.0801, 5),
        equal_count("right", 9270, 9271), band("later", 0.07, 0.071), own("ours alone", 83.254, 2),
    )  # fmt: skip
    lines = section([kept(comparisons=figures)]).splitlines()
    assert "| loss | 0.28100 | 0.28100 | 4e-06 | as printed, 5 decimals | yes |" in lines
    assert "| error | 0.08000 | 0.08010 | 0.0001 | as printed, 5 decimals | NO |" in lines
    assert "| right | 9270 | 9271 | 1 | equal | NO |" in lines
    assert "| later | 0.07 | 0.071 | 0.001 | shown, no verdict |  |" in lines
    assert "| ours alone | none published | 83.25 |  | no published figure |  |" in lines
    assert "- The order of sums." in lines
    assert r"| unit \| 9 | 1e-09 |" in lines
    assert any(line.startswith("NOT MET: 1 of 3 figures met; 2 shown without a verdict") for line in lines)


def test_many_figures_are_folded_away() -> None:
    figures = tuple(equal_count(f"epoch {n}", n, n) for n in range(60))
    text = section([kept(comparisons=figures)])
    assert "<details><summary>60 figures</summary>" in text
    assert "<details>" not in section([kept()])


def test_a_verdict_that_is_not_wanted_is_told() -> None:
    content = kept(runs=(replace(RUN, verdict="DIVERGES", reason="the bias's gradient"),))
    assert counted(content) == "NOT MET: 1 of 1 figures met; 0 of 1 runs as wanted: DIVERGES"
    assert "DIVERGES (wanted AGREES or EXPLAINED)" in section([content])
    planted = kept(runs=(replace(RUN, verdict="DIVERGES", wanted=("DIVERGES",)),))
    assert counted(planted) == "met: 1 of 1 figures met; 1 of 1 runs as wanted: DIVERGES (as wanted)"


@pytest.mark.parametrize(
    ("figure", "verdict", "status"),
    [(9270, "AGREES", 0), (9270, "EXPLAINED", 0), (9271, "AGREES", 1), (9270, "DIVERGES", 1),
     (9270, "INCONCLUSIVE", 3), (9271, "INCONCLUSIVE", 1)],
)  # fmt: skip
def test_the_exit_status_is_that_of_figures_and_verdicts(figure: int, verdict: str, status: int) -> None:
    found = made((equal_count("right", 9270, figure),), (RUN, replace(RUN, verdict=verdict)))
    assert found.exit_status == status
    assert found.met is (status == 0)


def test_figures_without_a_run_are_not_met() -> None:
    assert not made(runs=()).met
    assert made(runs=()).exit_status != 0


def test_the_committed_section_is_what_the_committed_files_give() -> None:
    results = ROOT / "results"
    page = (results / "README.md").read_text(encoding="utf-8")
    assert placed(page, kept_in(results), results / "README.md") == page


def test_the_committed_reproductions_are_met() -> None:
    for each in kept_in(ROOT / "results"):
        assert each["met"], each["name"]


def test_what_is_wanted_of_a_file_is_all_that_a_document_has() -> None:
    assert kept().keys() == KEYS
