"""Losses: those of torch.nn, and two additions built from ordinary torch expressions."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

OF_LABELS = ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")  # the others take arrays for targets
WEIGHTS = ("weight", "pos_weight")


class SquaredError(nn.Module):
    """factor * sum of (prediction - target)^2, divided as the reduction says: the tutorial's cost by default."""

    def __init__(self, reduction: str = "batchmean", factor: float = 0.5):
        super().__init__()
        self.reduction, self.factor = reduction, factor

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of prediction (N, K) and target (N, K): a scalar, or with reduction="none" every term."""
        squares = (prediction - target).square()
        if self.reduction == "none":
            return self.factor * squares
        total = self.factor * squares.sum()
        match self.reduction:
            case "sum":
                return total
            case "mean":
                return total / prediction.numel()
            case _:
                return total / len(prediction)


class BatchMean(nn.Module):
    """A loss of torch.nn summed over everything and divided by the number of examples: reduction="batchmean"."""

    def __init__(self, summed: nn.Module, of_labels: bool = False):
        super().__init__()
        self.summed, self.of_labels = summed, of_labels

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of prediction (N, ...) and target; (K,) with one label is one example."""
        examples = 1 if self.of_labels and prediction.ndim == 1 else len(prediction)
        return self.summed(prediction, target) / examples


class KLDivLoss(nn.KLDivLoss):
    """torch.nn's, without its warning that its default mean is not the divergence: whoever asks for it gets it."""

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of log-probabilities (N, K) and target (N, K)."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="reduction: 'mean' divides")
            return super().forward(input, target)


class Weighted(nn.Module):
    """A loss of torch.nn with weights, whose dtype and device follow the prediction.

    They are kept in float64 and converted anew at every call: `.to` of the module would round them for good.
    """

    def __init__(self, loss: nn.Module, weights: dict[str, torch.Tensor]):
        super().__init__()
        self.loss, self.weights = loss, weights

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of prediction and target."""
        for name, weight in self.weights.items():
            setattr(self.loss, name, weight.to(prediction))
        return self.loss(prediction, target)


class Targets(nn.Module):
    """A loss whose targets are made what torch wants: int64 labels, or arrays of the prediction's dtype.

    For losses that want arrays, integer labels (N,) become one-hot rows (N, K).
    """

    def __init__(self, loss: nn.Module, of_labels: bool = False):
        super().__init__()
        self.loss, self.of_labels = loss, of_labels

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of prediction and target."""
        if not target.is_floating_point():
            labels = target.ndim < prediction.ndim
            target = target.long() if labels else target.to(prediction.dtype)
            if labels and not self.of_labels:
                target = nn.functional.one_hot(target, prediction.shape[1]).to(prediction.dtype)
        return self.loss(prediction, target)


def build_loss(kind: str, arguments: dict[str, Any]) -> nn.Module:
    """Return the loss of that name and those arguments: torch.nn's, or ours. Weights may be lists of numbers."""
    if kind == "SquaredError":
        return Targets(SquaredError(**arguments))
    batchmean, of_labels = arguments.get("reduction") == "batchmean", kind in OF_LABELS
    weights = {name: tensor_of(arguments[name]) for name in WEIGHTS if arguments.get(name) is not None}
    arguments = arguments | weights | ({"reduction": "sum"} if batchmean else {})
    loss: nn.Module = KLDivLoss(**arguments) if kind == "KLDivLoss" else getattr(nn, kind)(**arguments)
    if weights:
        loss = Weighted(loss, weights)
    return Targets(BatchMean(loss, of_labels) if batchmean else loss, of_labels)


def tensor_of(weight: Any) -> torch.Tensor:
    """Return weights, given as a list, an array or a tensor, as a float64 tensor with memory of its own."""
    return torch.tensor(np.asarray(weight), dtype=torch.float64)
