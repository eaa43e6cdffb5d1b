"""`backproof report --lang`: in which language a report is made, and what stays as it is in every language."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compare import cli
from compare.views.report import charts

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "results" / "20261124T170418Z_article_s1_0231d49c"  # that README cites
TABLE = r"<!-- table: begin -->\n(.*?)<!-- table: end -->"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
Report = Callable[..., tuple[int, str, str]]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    """Report on the recorded run: exit status, standard output, standard error."""
    monkeypatch.setattr(charts, "script", str)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["backproof", "report", str(RECORDED), *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def test_the_option_chooses_the_language(report: Report) -> None:
    status, english, _ = report("--markdown", "--lang", "en")
    assert status == 0
    assert not CHINESE.search(english)
    _, chinese, _ = report("--markdown", "--lang", "zh")
    assert chinese.startswith("**AGREES（一致）**：`article`，共 12,000 步")
    assert report("--markdown") == (0, english, "")  # the choice is that one command's


def test_without_the_option_the_environment_chooses(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPROOF_LANG", "zh")
    assert "张量" in report("--markdown")[1]
    assert "张量" not in report("--markdown", "--lang", "en")[1]


def test_the_page_and_the_printed_verdict_speak_the_language(report: Report, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, out, _ = report("--lang", "zh", "--html", str(page))
    assert status == 0
    assert "AGREES（一致）  article：共 12,000 步" in out
    assert f"报告：{page}" in out
    assert '<html lang="zh"' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "lang"), [("README.md", "en"), ("README.zh.md", "zh")])
def test_the_readme_has_the_table_that_the_command_prints(page: str, lang: str, report: Report) -> None:
    (shown,) = re.findall(TABLE, (ROOT / page).read_text(encoding="utf-8"), flags=re.S)
    assert shown == report("--markdown", "--lang", lang)[1].replace(f"{ROOT.as_posix()}/", "")


def test_json_is_the_same_in_every_language(report: Report) -> None:
    english, chinese = (report("--json", "--lang", lang)[1] for lang in ("en", "zh"))
    assert english == chinese
    assert json.loads(chinese)["verdict"] == "AGREES"


def test_another_language_is_a_usage_error_that_names_the_choices(report: Report) -> None:
    status, out, err = report("--lang", "xx")
    assert (status, out) == (2, "")
    assert '"xx" for --lang' in err
    assert '"en", "zh"' in err
