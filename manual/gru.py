"""The gated recurrent unit: a state that is kept or replaced, unit by unit, as one gate says."""

from typing import Any

import numpy as np

from manual.checks import Array
from manual.recurrent import Recurrent, State, sigmoid


class GRU(Recurrent):
    """Two gates and a candidate, from a_t (N, 3 H) and q_t = h_(t-1) W_hh^T + b_hh (N, 3 H), each cut in three:

        r = sigmoid(a_r + q_r), z = sigmoid(a_z + q_z)            (138)
        n = tanh(a_n + r q_n)            (139)
        h_t = (1 - z) n + z h_(t-1)            (140)

    As in torch, the reset gate r acts after the product with W_hh (and on its bias): r (h W^T + b), where the paper
    (Cho et al. 2014) has (r h) W^T. The two differ, and so do their gradients.

    Derivation. From dh_t (124). In (140) each factor gets what it is multiplied with, z twice, with both signs:

        dn = dh_t (1 - z),  dz = dh_t (h_(t-1) - n),  and h_(t-1) gets dh_t z directly            (141)

    Through the slope (23) of (139) to its argument, whose summands are a_n and r q_n:

        da_n = dn (1 - n^2),  dr = da_n q_n,  dq_n = da_n r            (142)

    and through the slope (6) of (138), where a and q are added up:

        da_r = dq_r = dr r (1 - r),  da_z = dq_z = dz z (1 - z)            (143)

    So dA and dQ differ in the candidate's third, and the way back to h_(t-1) is (124) plus the direct one:

        dh_(t-1) = dy_(t-1) + dq_t W_hh + dh_t z            (144)
    """

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, rng: np.random.Generator | None = None,
    ):  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, rng)

    def input_bias(self, suffix: str) -> Array:
        """Return b_ih alone: b_hh stands inside r (h W^T + b), and waits for its step."""
        return self.parameters[f"bias_ih{suffix}"]

    def through_time(self, a: Array, start: State, suffix: str) -> tuple[Array, State, Any]:
        """Return h_0..h_T (T+1, N, H) and the final state (h_T,) for a (T, N, 3 H)."""
        T, N, H = len(a), a.shape[1], self.hidden_size
        W_hh, b_hh = self.parameters[f"weight_hh{suffix}"], self.parameters.get(f"bias_hh{suffix}", 0)
        h = np.empty_like(a, shape=(T + 1, N, H))
        h[0] = start[0]
        r, z, n, q_n = (np.empty_like(a, shape=(T, N, H)) for _ in range(4))
        for t in range(T):
            q = h[t] @ W_hh.T + b_hh  # (N, H) @ (H, 3 H) = (N, 3 H)
            gates = sigmoid(a[t, :, : 2 * H] + q[:, : 2 * H])  # (138)
            r[t], z[t], q_n[t] = gates[:, :H], gates[:, H:], q[:, 2 * H :]
            n[t] = np.tanh(a[t, :, 2 * H :] + r[t] * q_n[t])  # (139)
            h[t + 1] = (1 - z[t]) * n[t] + z[t] * h[t]  # (140)
        return h, (h[-1],), (r, z, n, q_n)

    def back_through_time(
        self, h: Array, kept: Any, grad_output: Array, grad_final: State, suffix: str
    ) -> tuple[Array, Array, State]:
        """Return dA and dQ (T, N, 3 H), and the gradient for h_0."""
        r, z, n, q_n = kept
        T, N, H = n.shape
        W_hh = self.parameters[f"weight_hh{suffix}"]
        da, dq = (np.empty_like(h, shape=(T, N, 3 * H)) for _ in range(2))
        (dh,) = grad_final
        for t in reversed(range(T)):
            dh = grad_output[t] + dh  # (144)
            da_n = dh * (1 - z[t]) * (1 - n[t] * n[t])  # (141), (142)
            da[t, :, :H] = da_n * q_n[t] * (r[t] * (1 - r[t]))  # (142), (143)
            da[t, :, H : 2 * H] = dh * (h[t] - n[t]) * (z[t] * (1 - z[t]))  # (141), (143)
            da[t, :, 2 * H :] = da_n
            dq[t, :, : 2 * H] = da[t, :, : 2 * H]  # (143)
            dq[t, :, 2 * H :] = da_n * r[t]  # (142)
            dh = dq[t] @ W_hh + dh * z[t]  # (144)  (N, 3 H) @ (3 H, H)
        return da, dq, (dh,)
