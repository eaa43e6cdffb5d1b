"""Averaging over ranks: what a reference on W processes rounds beyond one on a single process.

Each rank computes on a shard of the batch, from the loss (W / D) S_r (`reference.distributed.shards`). Term by term
that is the computation of a single process, but for

(1)  the first delta: W/D stands where 1/D, or nothing, stands: at most a rounding of the factor and one of the product
     with it beyond those that the loss's rule counts:                                             gamma_2 |delta|
(2)  the averaged gradient: each rank's share g_r is multiplied by 1/W, which is rounded itself, before all are added:
                                                                                                   gamma_2 sum_r |g_r|
(3)  the recorded gradients of outputs, from which the W is divided again, each for itself:        gamma_1 |delta|
(4)  the order of summation, over shards first and then over ranks: a term takes part in n_r - 1 additions on its rank
     and in one fewer than there are ranks with rows, together at most N - 1. The rules' gamma_n hold in any order.

In (2) and (3) the factors are powers of two if W is one, and so is what W changes in (1): then only exponents change,
and nothing is added. (In float32 the factor 1/W is rounded twice, first to float64: together by less than gamma_1 of
float32 and its second order, which gamma_2 has room for.)
"""

from dataclasses import replace

import numpy as np

import reference
from compare.agreement.rounding.operations import LayerOperation
from compare.agreement.rounding.running import Bounded
from compare.agreement.rounding.unit import gamma


class Averaging:
    """What averaging over so many ranks adds to the rounding of a step of so many examples."""

    def __init__(self, ranks: int, examples: int, u: float):
        self.ranks, self.examples, self.u = ranks, examples, u

    @property
    def exact(self) -> bool:
        """Whether all factors are powers of two."""
        return self.ranks & (self.ranks - 1) == 0

    def first_delta(self, delta: np.ndarray) -> np.ndarray:
        """(1): element by element, for the gradient of the loss."""
        return gamma(0 if self.exact else 2, self.u) * np.abs(delta)

    def recorded(self, delta: np.ndarray) -> np.ndarray:
        """(3): element by element, for the recorded gradient of an output; it is not handed on."""
        return gamma(0 if self.exact else 1, self.u) * np.abs(delta)

    def shares(self, op: LayerOperation) -> dict[str, np.ndarray]:
        """Return sum_r |g_r| for each parameter of a layer, by manual's layer on the rows of each rank."""
        sizes = {key: np.zeros(array.shape) for key, array in op.parameters.items()}
        for shard in reference.shards(self.examples, self.ranks):
            if sizes and shard.start < shard.stop:
                layer = part(op, shard, self.examples).layer()
                layer.forward(part(op, shard, self.examples).x)
                layer.backward(op.dy[rows(shard, self.examples, op.dy)])
                for key in sizes:
                    sizes[key] += np.abs(layer.gradients[key])
        return sizes

    def averaged(self, op: LayerOperation) -> dict[str, np.ndarray]:
        """(2): element by element, for the gradient of each parameter of a layer."""
        if self.exact:
            return {key: np.zeros(array.shape) for key, array in op.parameters.items()}
        return {key: gamma(2, self.u) * size for key, size in self.shares(op).items()}


def widened(number: Bounded, extra: np.ndarray) -> Bounded:
    """Return a number that carries its error, with so much more of it."""
    return Bounded(
        number.value, number.error + extra, number.u, number.passed + extra, number.total + extra, number.terms
    )


def part(op: LayerOperation, shard: slice, examples: int) -> LayerOperation:
    """Return the operation on the rows of a shard alone."""
    drawn = {key: array[rows(shard, examples, array)] for key, array in op.drawn.items()}
    return replace(op, x=op.x[rows(shard, examples, op.x)], drawn=drawn)


def rows(shard: slice, examples: int, array: np.ndarray) -> slice:
    """Return the rows of a shard's examples in an array that has one row, or several, for each."""
    each = len(array) // examples
    return slice(shard.start * each, shard.stop * each)
