"""Losses: those of torch.nn, and two additions built from ordinary torch expressions."""

from typing import Any

import torch
from torch import nn


class SquaredError(nn.Module):
    """factor * sum of (prediction - target)^2, divided as the reduction says: the tutorial's cost by default."""

    def __init__(self, reduction: str = "batchmean", factor: float = 0.5):
        super().__init__()
        self.reduction, self.factor = reduction, factor

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of prediction (N, K) and target (N, K)."""
        total = self.factor * (prediction - target).square().sum()
        match self.reduction:
            case "sum":
                return total
            case "mean":
                return total / prediction.numel()
            case _:
                return total / len(prediction)


class BatchMean(nn.Module):
    """A loss of torch.nn summed over outputs and averaged over examples: reduction="batchmean"."""

    def __init__(self, summed: nn.Module):
        super().__init__()
        self.summed = summed

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of prediction (N, K) and target."""
        return self.summed(prediction, target) / len(prediction)


class Targets(nn.Module):
    """A loss that wants arrays for targets, given integer labels: they become one-hot rows."""

    def __init__(self, loss: nn.Module):
        super().__init__()
        self.loss = loss

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of prediction (N, K) and target (N, K), or (N,) integer labels."""
        if not target.is_floating_point():
            target = nn.functional.one_hot(target, prediction.shape[1]).to(prediction.dtype)
        return self.loss(prediction, target)


def build_loss(kind: str, arguments: dict[str, Any]) -> nn.Module:
    """Return the loss of that name and those arguments: torch.nn's, or ours."""
    if kind == "SquaredError":
        return Targets(SquaredError(**arguments))
    if arguments.get("reduction") == "batchmean":
        loss: nn.Module = BatchMean(getattr(nn, kind)(**arguments | {"reduction": "sum"}))
    else:
        loss = getattr(nn, kind)(**arguments)
    return loss if kind in ("CrossEntropyLoss", "NLLLoss") else Targets(loss)
