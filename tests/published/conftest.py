"""Reproductions that are quickly made."""

from collections.abc import Callable
from typing import Any

import pytest

from compare.published.comparison import Comparison, equal_count
from compare.published.registry import Recipe
from compare.published.reproduction import Reproduction, Run, Table

RUN = Run("one", "AGREES", 10, 120, 17, 0.5, "0123abcd")


def made(
    comparisons: tuple[Comparison, ...] = (equal_count("right", 9270, 9270),), runs: tuple[Run, ...] = (RUN,)
) -> Reproduction:
    """Return a reproduction with these figures and runs."""
    table = Table("Why", ("unit", "mean z"), (("unit 8", -6.72), ("unit | 9", 1e-9)), "It starts low.")
    return Reproduction("book", "A. Book", ("784-10",), ("The order of sums.",), comparisons, runs, (table,))


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Reproduction], None]:
    """Make one reproduction the only one that there is."""

    def register(reproduction: Reproduction) -> None:
        class Ready(Recipe):
            def load(self) -> Any:
                return lambda runs: reproduction

        ready = Ready("A book's figures.", "nowhere")
        monkeypatch.setattr("compare.published.registry.REGISTRY", {"book": ready})

    return register
