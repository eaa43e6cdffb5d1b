"""What objects show of themselves in a notebook: texts are escaped, long tables cut, and the verdict stands first."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

import compare
from compare.notebook import MOST_ROWS, card
from compare.records.repetition import Repetition
from manual import Linear, Network, SquaredError

RECORD = Path(__file__).parents[1] / "results" / "20261124T170418Z_article_s1_0231d49c"  # that README cites


class Texts(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_texts_are_escaped_and_long_tables_are_cut() -> None:
    rows = [("<script>alert(1)</script>", n) for n in range(MOST_ROWS + 12)]
    page = Texts(card("<b>title</b>", {"<i>": "&"}, ("name", "<n>"), rows, "<u>note"))
    assert "script" not in page.tags
    assert "i" not in page.tags[:2]
    assert "u" not in page.tags
    assert page.texts[0] == "<b>title</b>"
    assert "12 …" in page.texts
    assert page.tags.count("tr") == 1 + MOST_ROWS + 1


def test_a_record_tells_its_verdict_and_its_tensors() -> None:
    record = compare.read_record(RECORD)
    assert repr(record) == f"<Record AGREES: article, {RECORD}>"
    page = Texts(record._repr_html_())
    assert page.texts[0] == "AGREES: article"
    assert {"linear1.weight.grad", "sigmoid2.output.grad"} <= set(page.texts)
    killed = replace(record, outcome=None, manifest={**record.manifest, "status": "running"})
    assert repr(killed).startswith("<Record running: article")
    assert Texts(killed._repr_html_()).texts[0] == "running: article"


def test_a_repetition_tells_how_equal_it_is() -> None:
    repetition = Repetition(RECORD, "article", "finished", "AGREES", steps=1200)
    assert repr(repetition) == f"<Repetition BITWISE: article, 1,200 steps, {RECORD}>"
    repetition.environment_differences.append({"key": "numpy", "recorded": "2.0", "here": "2.4"})
    assert {"numpy", "2.0", "2.4"} <= set(Texts(repetition._repr_html_()).texts)


def test_a_trace_is_a_line_a_tensor() -> None:
    network = Network([Linear(3, 2)], SquaredError(), {"linear1.weight": np.arange(6.0).reshape(2, 3),
                                                       "linear1.bias": np.array([1.0, -2.0])})  # fmt: skip
    network.loss(np.ones((4, 3)), np.array([0, 1, 0, 1]))
    network.backward()
    trace = network.trace()
    lines = repr(trace).splitlines()
    assert lines[0] == f"<Trace of {len(trace)} tensors>"
    weight = lines[1 + list(trace).index("linear1.weight")]
    assert weight.split() == ["linear1.weight", "(2,", "3)", "float64", "0", "…", "5"]
    assert {"linear1.bias", "-2 … 1"} <= set(Texts(trace._repr_html_()).texts)
