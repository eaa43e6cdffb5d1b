"""Shards: the rows of a batch that each rank is given, and the loss whose averaged gradient is the whole batch's.

DistributedDataParallel averages the ranks' gradients as they are, whatever the sizes of their shards: with W ranks and
losses C_r it hands every rank 1/W sum_r dC_r/dw. A loss of the whole batch is a sum of terms, one or more a row,
divided by a number that all rows have a part in:

    C = S / D,    S = sum_r S_r,    S_r the terms of the rows of rank r.

So each rank's loss has to be

    C_r = (W / D) S_r,    for then    1/W sum_r dC_r/dw = 1/D sum_r dS_r/dw = dC/dw.

For a mean over N rows, of which rank r has n_r, that is W n_r/N times the shard's own mean; for a sum it is W times the
shard's sum; for a mean over labels with class weights or labels to be ignored, D is the sum of the weights of all
labels that count, and no shard knows it alone.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from reference.losses import build_loss, tensor_of


def shards(rows: int, ranks: int) -> list[slice]:
    """Return the rows of each rank: one after the other, the first ones a row longer where it does not divide.

    With fewer rows than ranks the last ones are given none.
    """
    least, longer = divmod(rows, ranks)
    ends = [least * r + min(r, longer) for r in range(ranks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def rows_of(shard: slice, examples: int, rows: int) -> slice:
    """Return the rows of a shard of `examples` in an array that has `rows`: of a sequence, several for each."""
    each = rows // examples
    return slice(shard.start * each, shard.stop * each)


class ShardLoss(nn.Module):
    """The loss of that name and those arguments, as the sum of its terms and the divisor of the whole batch apart."""

    def __init__(self, kind: str, arguments: Mapping[str, Any]):
        super().__init__()
        self.kind = kind
        self.reduction: str = arguments.get("reduction", "batchmean" if kind == "SquaredError" else "mean")
        self.summed = build_loss(kind, {**arguments, "reduction": "sum"})
        self.ignored = int(arguments.get("ignore_index", -100))
        weight = arguments.get("weight")
        self.class_weights = None if weight is None else tensor_of(weight)

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return S_r, the sum of the terms of a shard: 0 for one without rows."""
        return self.summed(prediction, target)

    def divisor(self, prediction: torch.Tensor, target: torch.Tensor) -> float:
        """Return D, from a shard's prediction (n_r, K) and the whole batch's target."""
        rows = len(target)
        if self.reduction == "sum":
            return 1.0
        if self.reduction == "batchmean" or self.kind == "MultiMarginLoss":
            return float(rows)
        if self.kind not in ("CrossEntropyLoss", "NLLLoss"):
            return float(rows * math.prod(prediction.shape[1:]))
        if target.ndim == prediction.ndim:  # probabilities of classes: there torch's mean is over the examples
            return float(rows)
        counted = target[target != self.ignored].long()
        if self.class_weights is None:
            return float(len(counted))
        return self.class_weights.to(prediction.dtype)[counted].double().sum().item()

    def scale(self, prediction: torch.Tensor, target: torch.Tensor, ranks: int) -> float:
        """Return W / D, with which S_r is the loss C_r of a rank; NaN, as torch's own mean, where no label counts."""
        divisor = self.divisor(prediction, target)
        return ranks / divisor if divisor else math.nan


class RowsOf:
    """A generator that draws for the whole batch and hands on the rows of one shard."""

    def __init__(self) -> None:
        self.generator, self.shard, self.examples = np.random.default_rng(), slice(0, 1), 1

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the rows of the shard, of uniform numbers drawn for the whole batch. `shape` is that of the rows.

        A shard without rows cannot tell how many an example has, and draws nothing.
        """
        examples = self.shard.stop - self.shard.start
        if examples == 0:
            return np.zeros(shape)
        rows = shape[0] // examples * self.examples
        return self.generator.random((rows, *shape[1:]))[rows_of(self.shard, self.examples, rows)]
