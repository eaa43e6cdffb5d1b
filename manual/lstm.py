"""The long short-term memory: a cell that keeps what it holds unless a gate says otherwise."""

from typing import Any

import numpy as np

from manual.checks import Array
from manual.recurrent import Recurrent, State, sigmoid


class LSTM(Recurrent):
    """Three gates and a candidate, from the pre-activations z_t = a_t + h_(t-1) W_hh^T + b_hh (N, 4 H), cut in four:

        i = sigmoid(z_i), f = sigmoid(z_f), g = tanh(z_g), o = sigmoid(z_o)            (129)
        c_t = f c_(t-1) + i g            (130)
        m_t = o tanh c_t            (131)
        h_t = m_t, or m_t W_hr^T (P values) with `proj_size`            (132)

    All products are elementwise but those with W. The cell c_t is a sum: that is the point.

    Derivation. From dh_t (124), upwards. A projection is a linear layer whose weight acts at every step, (18) and (15):

        dm_t = dh_t W_hr,  dW_hr = sum over t of dh_t^T m_t            (133)

    In (131) o has the factor tanh c_t, and the cell the factor o (1 - tanh^2 c_t). But c_t also acts on the next step,
    there with the factor f (130). Both add up, and that is the path on which the gradient survives many steps:

        do = dm_t tanh c_t            (134)
        dc_t = dm_t o (1 - tanh^2 c_t) + dc_(t+1) f_(t+1), and for the last step + (gradient for the final c)     (135)

    In (130) each factor gets what it is multiplied with:

        di = dc_t g,  df = dc_t c_(t-1),  dg = dc_t i            (136)

    and through the slopes (6) and (23) of (129) to the pre-activations, whose summands a_t and q_t share it:

        dz_i = di i (1 - i),  dz_f = df f (1 - f),  dz_g = dg (1 - g^2),  dz_o = do o (1 - o)            (137)

    In the code the products dc_t i and dc_t f are made once: each stands in two of these lines.
    """

    gates = 4
    states = 2  # (h, c)
    c_n: Array  # the final cell of every layer and direction: (layers D, N, H)

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, rng: np.random.Generator | None = None,
    ):  # fmt: skip
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size is {proj_size}; wanted less than hidden_size = {hidden_size}, or 0 for none.")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, rng)

    def through_time(self, a: Array, start: State, suffix: str) -> tuple[Array, State, Any]:
        """Return h_0..h_T (T+1, N, P) and the final state (h_T, c_T) for a (T, N, 4 H)."""
        T, N, H = len(a), a.shape[1], self.hidden_size
        W_hh, W_hr = self.parameters[f"weight_hh{suffix}"], self.parameters.get(f"weight_hr{suffix}")
        h, c = np.empty_like(a, shape=(T + 1, N, self.width)), np.empty_like(a, shape=(T + 1, N, H))
        h[0], c[0] = start
        i, f, g, o, tanh_c = (np.empty_like(a, shape=(T, N, H)) for _ in range(5))
        for t in range(T):
            z = h[t] @ W_hh.T  # (N, P) @ (P, 4 H) = (N, 4 H)
            z += a[t]
            both = sigmoid(z[:, : 2 * H])  # (129)  i and f, side by side
            i[t], f[t] = both[:, :H], both[:, H:]
            g[t], o[t] = np.tanh(z[:, 2 * H : 3 * H]), sigmoid(z[:, 3 * H :])  # (129)
            c[t + 1] = f[t] * c[t] + i[t] * g[t]  # (130)
            tanh_c[t] = np.tanh(c[t + 1])
            m = o[t] * tanh_c[t]  # (131)
            h[t + 1] = m if W_hr is None else m @ W_hr.T  # (132)  (N, H) @ (H, P)
        return h, (h[-1], c[-1]), (i, f, g, o, c, tanh_c)

    def back_through_time(
        self, h: Array, kept: Any, grad_output: Array, grad_final: State, suffix: str
    ) -> tuple[Array, Array, State]:
        """Return dZ twice (T, N, 4 H), and the gradients for h_0 and c_0; fill that of weight_hr."""
        i, f, g, o, c, tanh_c = kept
        T, N, H = o.shape
        W_hh, W_hr = self.parameters[f"weight_hh{suffix}"], self.parameters.get(f"weight_hr{suffix}")
        dz, dh_all = np.empty_like(h, shape=(T, N, 4 * H)), np.empty_like(h[1:])
        dh, dc = grad_final
        for t in reversed(range(T)):
            dh = grad_output[t] + dh  # (124)
            if W_hr is not None:
                dh_all[t] = dh
            dm = dh if W_hr is None else dh @ W_hr  # (133)  (N, P) @ (P, H)
            dc = dm * o[t] * (1 - tanh_c[t] * tanh_c[t]) + dc  # (135)
            dc_i, dc_f = dc * i[t], dc * f[t]
            dz[t, :, :H] = dc_i * g[t] * (1 - i[t])  # (136), (137)
            dz[t, :, H : 2 * H] = dc_f * c[t] * (1 - f[t])  # (136), (137): c[t] is the cell before the step
            dz[t, :, 2 * H : 3 * H] = dc_i * (1 - g[t] * g[t])  # (136), (137)
            dz[t, :, 3 * H :] = dm * tanh_c[t] * (o[t] * (1 - o[t]))  # (134), (137)
            dh, dc = dz[t] @ W_hh, dc_f  # (124)  (N, 4 H) @ (4 H, P); (135)
        if W_hr is not None:
            m = (o * tanh_c).reshape(T * N, H)
            self.gradients[f"weight_hr{suffix}"] = dh_all.reshape(T * N, -1).T @ m  # (133)  (P, T N) @ (T N, H)
        return dz, dz, (dh, dc)
