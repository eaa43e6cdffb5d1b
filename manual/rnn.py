"""The plain recurrent network: a layer that is also fed its own last output."""

from typing import Any, Literal

import numpy as np

from manual.checks import Array
from manual.recurrent import Recurrent, State


class RNN(Recurrent):
    """h_t = f(a_t + h_(t-1) W_hh^T + b_hh), with f = tanh or ReLU: Elman's network.            (127)

    Derivation. a_t and q_t = h_(t-1) W_hh^T + b_hh are added up, so they have one gradient, dh_t times the slope of f,
    which h_t alone tells, by (23) and (25):

        da_t = dq_t = dh_t (1 - h_t^2), or dh_t where h_t > 0 and 0 elsewhere.            (128)
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        rng: np.random.Generator | None = None,
    ):  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is {nonlinearity!r}; wanted 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, rng)

    def through_time(self, a: Array, start: State, suffix: str) -> tuple[Array, State, Any]:
        """Return h_0..h_T (T+1, N, H) and the final state (h_T,) for a (T, N, H)."""
        W_hh = self.parameters[f"weight_hh{suffix}"]
        h = np.empty_like(a, shape=(len(a) + 1, *a.shape[1:]))
        h[0] = start[0]
        for t in range(len(a)):
            z = a[t] + h[t] @ W_hh.T  # (N, H) @ (H, H) = (N, H)
            h[t + 1] = np.tanh(z) if self.nonlinearity == "tanh" else np.where(np.real(z) <= 0, 0, z)  # (127)
        return h, (h[-1],), None

    def back_through_time(
        self, h: Array, kept: Any, grad_output: Array, grad_final: State, suffix: str
    ) -> tuple[Array, Array, State]:
        """Return dA twice (T, N, H), and the gradient for h_0."""
        W_hh = self.parameters[f"weight_hh{suffix}"]
        da, (dh,) = np.empty_like(h, shape=grad_output.shape), grad_final
        for t in reversed(range(len(da))):
            dh = grad_output[t] + dh  # (124)
            after = h[t + 1]
            tanh = self.nonlinearity == "tanh"
            da[t] = dh * (1 - after * after) if tanh else np.where(np.real(after) > 0, dh, 0)  # (128)
            dh = da[t] @ W_hh  # (124)  (N, H) @ (H, H)
        return da, da, (dh,)
