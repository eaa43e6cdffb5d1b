"""The worked notebook runs from the first cell to the last, and what its cells show is short and tells the verdict."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs/notebooks/own_derivation.py"


def cells() -> list[str]:
    """Return the code cells of the script; `# %%` begins one, `# %% [markdown]` one of prose."""
    parts = re.split(r"^# %%(.*)$", NOTEBOOK.read_text(encoding="utf-8"), flags=re.M)[1:]
    return [code for kind, code in zip(parts[::2], parts[1::2], strict=True) if "[markdown]" not in kind]


@pytest.fixture(scope="module")
def shown() -> list[Any]:
    """Run all cells in one namespace; return what each shows: the value of its last expression, as a notebook does."""
    namespace: dict[str, Any] = {}
    values = []
    for cell in cells():
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, str(NOTEBOOK), "exec"), namespace)
        values.append(
            eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), namespace) if isinstance(last, ast.Expr)
            else None
        )  # fmt: skip
    return values


def test_the_wrong_derivation_is_refused_and_the_right_one_proved(shown: list[Any]) -> None:
    results = [value for value in shown if type(value).__name__ == "Result"]
    outcomes = [value for value in shown if type(value).__name__ == "Outcome"]
    assert [bool(result) for result in results] == [False, True]
    assert [str(outcome.verdict) for outcome in outcomes] == ["DIVERGES", "AGREES"]
    assert "DIVERGES" in repr(results[0])
    assert "AGREES" in repr(outcomes[1])


def test_what_a_cell_shows_is_short_and_has_a_face_in_html(shown: list[Any]) -> None:
    faces = [value for value in shown if hasattr(value, "_repr_html_")]
    assert {type(face).__name__ for face in faces} == {"Result", "Outcome", "Explanation", "Trace"}
    for face in faces:
        assert len(repr(face)) < (2000 if type(face).__name__ == "Trace" else 300)
        html = face._repr_html_()
        assert html.count("<table>") == html.count("</table>") <= 1
        assert "<script" not in html
        assert len(html) < 12_000
    finding = next(value for value in shown if type(value).__name__ == "Finding")
    assert repr(finding).startswith("<Finding DIVERGES at step 1: swish1.backward, linear1.output.grad")
