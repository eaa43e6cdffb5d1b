"""What a mistake is, and the catalogue in which each is declared once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.diagnosis.site import Site

Wrong = Callable[[Site], "np.ndarray | list[np.ndarray] | None"]

ACTIVATIONS = ("Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus")
LOSSES = (
    "SquaredError", "MSELoss", "CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "HuberLoss",
    "SmoothL1Loss", "L1Loss", "KLDivLoss", "MultiMarginLoss",
)  # fmt: skip


@dataclass(frozen=True)
class Mistake:
    """A known mistake: what people do wrong, in which operations, and how the wrong computation goes.

    `wrong` returns the wrong tensor for `key`; None where the mistake cannot be made at the site (a transposition that
    needs a square weight); a list where there are several ways to make it. A `fitted` mistake has a quantity of its own
    that is not known beforehand (which element, what limit): it is read off the tensor that was found, and so it ranks
    behind every mistake that is re-enacted without looking.
    """

    name: str
    about: str
    on: tuple[str, ...]  # the kinds of operations
    key: str  # the tensor that comes out wrong: see Site.right
    wrong: Wrong
    fitted: int = 0  # 1: a quantity is read off what was found; 2: its very values are
    everywhere: bool = False  # made at every operation of these kinds, not at one
    precision: float = 0.0  # for precision lost: the u of the smaller dtype
    companion: str = ""  # another mistake, made in the layer before at the same time

    def ways(self, site: Site) -> list[np.ndarray]:
        """Return every way to make the mistake at this site; [] where it cannot be made."""
        if site.kind not in self.on or self.key not in site.right:
            return []
        result = self.wrong(site)
        ways = [] if result is None else result if isinstance(result, list) else [result]
        return [np.asarray(way, site.right[self.key].dtype) for way in ways]


CATALOGUE: dict[str, Mistake] = {}


def mistake(name: str, about: str, on: str | Iterable[str], key: str, **facts: Any) -> Callable[[Wrong], Wrong]:
    """Declare a mistake, a decorator of the function that makes it; `facts` are Mistake's other fields."""

    def declare(wrong: Wrong) -> Wrong:
        if name in CATALOGUE:
            raise ValueError(f"The mistake {name} is declared twice.")
        kinds = (on,) if isinstance(on, str) else tuple(on)
        CATALOGUE[name] = Mistake(name, about, kinds, key, wrong, **facts)
        return wrong

    return declare


def scaled(key: str, factor: Callable[[Site], float | None]) -> Wrong:
    """Return the wrong computation that multiplies the right tensor by a factor; None where there is none."""

    def wrong(site: Site) -> np.ndarray | None:
        by = factor(site)
        return None if by is None else site.right[key] * by

    return wrong
