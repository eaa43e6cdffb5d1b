"""Attention itself: a position asks all positions, and takes of their values as much as their keys match its query."""

import math
from collections.abc import Sequence

import numpy as np

from manual.checks import Array

LOWEST = -1e30  # a score that loses against every other one, and still is a number: -inf - (-inf) would be none


class ScaledDotProductAttention:
    """O = P V, where P = softmax over the rows of S = Q K^T / sqrt(d).            (145), (146), (147)

    Shapes: Q (..., T, d), K (..., S, d), V (..., S, e); S and P (..., T, S); O (..., T, e). The dots are examples and
    heads, each for itself.

        S = Q K^T / sqrt(d)            (145)
        P_ts = e^S_ts / sum_m e^S_tm over the positions m that t may attend to, 0 for the others            (146)
        O = P V            (147)

    A sum of d products of independent numbers of variance 1 has the variance d: the division by sqrt(d) brings it back
    to 1, so that the softmax does not begin saturated. Where a position may attend to none, 0 / 0 says so: NaN, as in
    torch. The largest score of the row is taken off first, as in (29).

    Derivation. (147) is a product of two matrices that both depend on the weights. By (15) and (18):

        dV = P^T dO            (148)
        dP = dO V^T            (149)

    Softmax: dP_tm/dS_ts = P_tm ([m = s] - P_ts), from (29) with P = e^y. The chain rule sums over the row:

        dS_ts = P_ts (dP_ts - sum_m dP_tm P_tm), and 0 where P_ts is 0: a masked position gets no gradient      (150)

    and (145) is again a product of two matrices, with a factor:

        dQ = dS K / sqrt(d)            (151)
        dK = dS^T Q / sqrt(d)            (152)

    Dropout, in training, drops elements of P with probability p and scales the rest by 1 / (1 - p); dP passes the same
    mask.            (153)
    """

    def forward(
        self, q: Array, k: Array, v: Array, blocked: Array | None = None, added: Array | None = None,
        keep: Array | None = None, p: float = 0.0,
    ) -> Array:  # fmt: skip
        """Return O (..., T, e).

        `blocked` (bool, True: may not attend) and `added` (to the scores) are of a shape that extends to (..., T, S);
        `keep` (bool, True: not dropped) is the mask of a dropout with probability p.
        """
        self.q, self.k, self.v, self.keep = q, k, v, keep
        self.scale = 1 / math.sqrt(q.shape[-1])
        self.rest = 1 / (1 - p) if p < 1 else 1.0
        scores = (q * self.scale) @ k.swapaxes(-1, -2)  # (145)  (T, d) @ (d, S) = (T, S)
        if added is not None:
            scores = scores + added
        if blocked is not None:
            scores = np.where(blocked, LOWEST, scores)
        e = np.exp(scores - np.real(scores).max(axis=-1, keepdims=True))
        if blocked is not None:
            e = np.where(blocked, 0, e)
        with np.errstate(invalid="ignore"):  # 0 / 0 where nothing may be attended to
            self.p = e / e.sum(axis=-1, keepdims=True)  # (146)
        self.used = self.p if keep is None else np.where(keep, self.p, 0) * self.rest  # (153)
        return self.used @ v  # (147)  (T, S) @ (S, e) = (T, e)

    def backward(self, grad_output: Array) -> tuple[Array, Array, Array]:
        """Return dC/dQ, dC/dK, dC/dV for dC/dO."""
        dv = self.used.swapaxes(-1, -2) @ grad_output  # (148)  (S, T) @ (T, e)
        dp = grad_output @ self.v.swapaxes(-1, -2)  # (149)  (T, e) @ (e, S)
        if self.keep is not None:
            dp = np.where(self.keep, dp, 0) * self.rest  # (153)
        ds = dp * self.p
        ds -= self.p * ds.sum(axis=-1, keepdims=True)  # (150)
        ds *= self.scale
        return ds @ self.k, ds.swapaxes(-1, -2) @ self.q, dv  # (151)  (T, S) @ (S, d); (152)  (S, T) @ (T, d)


def blocked_and_added(masks: Sequence[Array]) -> tuple[Array | None, Array | None]:
    """Return what the masks block between them (bool, True: may not attend), and what they add to the scores.

    A mask is of bool, or floating and added; there -inf blocks, and nothing is computed with it. None: nothing is.
    """
    blocked = added = None
    for mask in masks:
        if mask.dtype.kind not in "bf":
            raise TypeError(f"A mask has dtype {mask.dtype}; wanted bool (True: may not attend) or floating (added).")
        shut = mask if mask.dtype.kind == "b" else np.isneginf(mask)
        blocked = shut if blocked is None else blocked | shut
        if mask.dtype.kind == "f":
            finite = np.where(shut, 0, mask)
            added = finite if added is None else added + finite
    return blocked, added
