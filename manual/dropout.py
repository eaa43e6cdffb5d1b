"""Dropout: in training every element is left out with probability p; in evaluation nothing happens."""

import math
from collections.abc import Mapping

import numpy as np

from manual.checks import Array, require_shape


class Dropout:
    """y = m x / (1 - p), with m = 0 for what is dropped and 1 for what is kept.            (59)

    An element is kept with probability 1 - p, so the mean of m / (1 - p) is 1: dividing while training spares
    evaluation any scaling ("inverted" dropout), and there y = x.

    Derivation. m is drawn, not computed from x: a constant. So dC/dx = m dC/dy / (1 - p), with the m of the forward
    pass.            (60)

    p = 0 keeps all (and draws nothing), p = 1 drops all: every y is 0. `drawn["mask"]` is m as the last training pass
    used it; `replay(drawn)` makes the passes to come use a mask given from outside.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, rng: np.random.Generator | None = None):
        """Draw masks from `rng` (fresh entropy if None); `inplace` changes nothing."""
        if not 0 <= p <= 1:
            raise ValueError(f"p is {p}; wanted a probability, from 0 to 1.")
        self.p = float(p)
        self.rng = rng if rng is not None else np.random.default_rng()
        self.training = True
        self.drawn: dict[str, Array] = {}
        self.replayed: Mapping[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return y, of the shape of x; x itself where nothing is dropped."""
        self.dropping = self.training and self.p > 0
        if not self.dropping:
            return x
        self.drawn = {"mask": self.mask(x)}
        self.share = 1 - self.p if self.p < 1 else math.inf  # that is kept; whatever the mask, p = 1 leaves 0
        return x * self.drawn["mask"] / self.share  # (59)

    def backward(self, grad_output: Array) -> Array:
        """Return dC/dx for dC/dy."""
        return grad_output * self.drawn["mask"] / self.share if self.dropping else grad_output  # (60)

    def mask(self, x: Array) -> Array:
        """Return what is kept of x, True or False: the mask replayed, or a fresh one."""
        if "mask" not in self.replayed:
            return self.rng.random(x.shape) >= self.p
        require_shape(f"The replayed mask of {self!r}", self.replayed["mask"], x.shape)
        return self.replayed["mask"]

    def replay(self, drawn: Mapping[str, Array]) -> None:
        """Use the mask of `drawn` in later forward passes instead of drawing; {} draws again."""
        self.replayed = drawn

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`."""
        return input_shape

    def __repr__(self) -> str:
        return f"Dropout(p={self.p})"
