"""Layers: those of torch.nn, some of them made to take one tensor and give one, and additions of ours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn


class Residual(nn.Sequential):
    """y = x + f(x), with f the named layers in order."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return y, of the shape of x."""
        return input + super().forward(input)


class Positions(nn.Module):
    """y = x + a learned vector for each position, for x (N, T, features) with T up to `length`."""

    def __init__(self, length: int, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, features))
        nn.init.normal_(self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return y (N, T, features)."""
        return x + self.weight[: x.shape[-2]]


class Dropout(nn.Dropout):
    """torch.nn.Dropout with a mask that another side can draw as well: from a NumPy generator given as `rng`."""

    rng: np.random.Generator | None = None
    given: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return input * mask / (1 - p) in training, the input itself in evaluation."""
        self.mask = None
        if not self.training or self.p == 0:
            return input
        self.mask = self.given if self.given is not None else self.draw(input)
        return input * self.mask / (1 - self.p) if self.p < 1 else input * 0

    def draw(self, x: torch.Tensor) -> torch.Tensor:
        """Return a mask of the shape of x: True where an element is kept."""
        rng = self.rng if self.rng is not None else np.random.default_rng()
        return torch.from_numpy(rng.random(tuple(x.shape)) >= self.p).to(x.device)

    @property
    def drawn(self) -> dict[str, torch.Tensor]:
        """What the last forward pass drew."""
        return {} if self.mask is None else {"mask": self.mask}

    def replay(self, drawn: Mapping[str, torch.Tensor]) -> None:
        """Let the next forward passes use this mask instead of drawing one."""
        self.given = drawn.get("mask")


class RNN(nn.RNN):
    """torch.nn.RNN, of which the output sequence alone is handed on."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the output sequence."""
        return super().forward(input, hx)[0]


class LSTM(nn.LSTM):
    """torch.nn.LSTM, of which the output sequence alone is handed on."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the output sequence."""
        return super().forward(input, hx)[0]


class GRU(nn.GRU):
    """torch.nn.GRU, of which the output sequence alone is handed on."""

    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the output sequence."""
        return super().forward(input, hx)[0]


class MultiheadAttention(nn.MultiheadAttention):
    """torch.nn.MultiheadAttention of x with itself, with a causal mask if asked for; the output alone is handed on."""

    def __init__(self, *args: Any, is_causal: bool = False, **options: Any):
        super().__init__(*args, **options)
        self.is_causal = is_causal

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, query: torch.Tensor, key: Any = None, value: Any = None, **options: Any
    ) -> Any:
        """Return the output, of the shape of query. Without key and value it is self-attention."""
        key = query if key is None else key
        value = key if value is None else value
        if self.is_causal:
            length = query.shape[1 if self.batch_first and query.ndim == 3 else 0]
            later = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
            options = {"attn_mask": later, **options}
        return super().forward(query, key, value, need_weights=False, **options)[0]


OURS: dict[str, type[nn.Module]] = {
    layer.__name__: layer for layer in (Residual, Positions, Dropout, RNN, LSTM, GRU, MultiheadAttention)
}
DEFAULTS = {"Softmax": {"dim": -1}, "LogSoftmax": {"dim": -1}}  # torch leaves them open, and warns
