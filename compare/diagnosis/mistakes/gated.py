"""Mistakes in LSTM and GRU: gates in another order, what the cell loses, slopes left out."""

from typing import Any

import numpy as np

from compare.diagnosis.mistakes.recurrent import Change, backward_slip, forward_slip, parameter_slip
from manual.recurrent import State, sigmoid

# LSTM


def rows(order: list[int]) -> Change:
    """Return how four gates' rows are read in another order: each place takes the rows that stand at its number."""
    return lambda p: np.concatenate([np.split(p, 4)[place] for place in order])


parameter_slip(
    "lstm-input-and-forget-gate-swapped", "The gates are read as f, i, g, o.", "LSTM", "", rows([1, 0, 2, 3])
)
parameter_slip("lstm-gates-in-onnx-order", "The gates are read as i, o, f, g, ONNX's order.", "LSTM", "",
               rows([0, 2, 3, 1]))  # fmt: skip
parameter_slip("lstm-candidate-last", "The gates are read as i, f, o, g.", "LSTM", "", rows([0, 1, 3, 2]))


def lstm_through(candidate: Any = np.tanh, squash: Any = np.tanh) -> Any:
    """Return the LSTM's way through time with other squashing functions."""

    def through_time(self: Any, a: Any, start: State, suffix: str) -> Any:
        W_hh, W_hr = self.parameters[f"weight_hh{suffix}"], self.parameters.get(f"weight_hr{suffix}")
        (h, c), steps = start, [start[0]]
        for t in range(len(a)):
            i, f, g, o = np.split(a[t] + h @ W_hh.T, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * candidate(g)
            h = sigmoid(o) * squash(c)
            h = h if W_hr is None else h @ W_hr.T
            steps.append(h)
        return np.stack(steps), (h, c), ()

    return through_time


forward_slip("lstm-candidate-sigmoid", "The candidate g goes through the sigmoid, as the gates do.", "LSTM",
             lstm_through(candidate=sigmoid))  # fmt: skip
forward_slip("lstm-cell-not-squashed", "h = o c instead of o tanh c.", "LSTM", lstm_through(squash=lambda c: c))


def lstm_back(slip: str) -> Any:
    """Return the LSTM's way back with one slip."""

    def back_through_time(self: Any, _h: Any, kept: Any, dy: Any, final: State, suffix: str) -> Any:
        i, f, g, o, c, tanh_c = kept
        W_hh, W_hr = self.parameters[f"weight_hh{suffix}"], self.parameters.get(f"weight_hr{suffix}")
        dz, (dh, dc) = [], final
        for t in reversed(range(len(dy))):
            dh = dy[t] + dh
            dm = dh if W_hr is None else dh @ W_hr
            dc = (0 if slip == "lost" else dc) + dm * o[t] * (1 if slip == "no squash" else 1 - tanh_c[t] ** 2)
            df = 0 * dc if slip == "no forget" else dc * c[t + 1 if slip == "cell after" else t]
            di, dg, do = dc * g[t], dc * i[t], dm * tanh_c[t]
            quarters = [
                di * i[t] * (1 - i[t]),
                df * f[t] * (1 - f[t]),
                dg * (1 - g[t] ** 2),
                do * (1 if slip == "no output slope" else o[t] * (1 - o[t])),
            ]
            if slip == "swapped":
                quarters[:2] = quarters[1::-1]
            dz.insert(0, np.concatenate(quarters, axis=1))
            dh, dc = dz[0] @ W_hh, dc if slip == "kept whole" else dc * f[t]
        if W_hr is not None:
            self.gradients[f"weight_hr{suffix}"] = np.zeros_like(W_hr)
        return np.stack(dz), np.stack(dz), (dh, dc)

    return back_through_time


for slip, (name, about) in {
    "lost": ("lstm-cell-gradient-lost", "The cell's gradient is not handed back from step to step."),
    "kept whole": ("lstm-forget-gate-missing-on-cell-path", "The cell's gradient is handed back without the factor f."),
    "no forget": ("lstm-forget-gate-gradient-missing", "The forget gate gets no gradient."),
    "cell after": ("lstm-cell-after-step", "df = dc c_t instead of dc c_(t-1)."),
    "no squash": ("lstm-cell-slope-missing", "The slope 1 - tanh^2 c is left out."),
    "no output slope": ("lstm-output-gate-slope-missing", "The slope o (1 - o) of the output gate is left out."),
    "swapped": ("lstm-gradients-of-input-and-forget-gate-swapped", "dz_i and dz_f have changed places."),
}.items():
    backward_slip(name, about, "LSTM", lstm_back(slip))


# GRU


def gru_through(slip: str) -> Any:
    """Return the GRU's way through time with one slip."""

    def through_time(self: Any, a: Any, start: State, suffix: str) -> Any:
        W_hh, b_hh = self.parameters[f"weight_hh{suffix}"], self.parameters.get(f"bias_hh{suffix}")
        H, h, steps = self.hidden_size, start[0], [start[0]]
        b = np.zeros_like(W_hh[:, 0]) if b_hh is None else b_hh
        for t in range(len(a)):
            q = h @ W_hh.T
            r, z = sigmoid(a[t, :, :H] + q[:, :H] + b[:H]), sigmoid(a[t, :, H : 2 * H] + q[:, H : 2 * H] + b[H : 2 * H])
            hidden = {
                "reset before": (r * h) @ W_hh[2 * H :].T + b[2 * H :],
                "bias outside": r * q[:, 2 * H :] + b[2 * H :],
            }.get(slip, r * (q[:, 2 * H :] + b[2 * H :]))
            n = np.tanh(a[t, :, 2 * H :] + hidden)
            h = z * n + (1 - z) * h if slip == "inverted" else (1 - z) * n + z * h
            steps.append(h)
        return np.stack(steps), (h,), ()

    return through_time


forward_slip("gru-reset-before-product", "(r h) W_hn, as in the paper, instead of r (h W_hn + b_hn), as in torch.",
             "GRU", gru_through("reset before"))  # fmt: skip
forward_slip("gru-update-gate-inverted", "h = z n + (1 - z) h: z and 1 - z have changed places.", "GRU",
             gru_through("inverted"))  # fmt: skip
forward_slip("gru-reset-gate-without-bias", "The reset gate does not act on b_hn: r (h W_hn) + b_hn.", "GRU",
             gru_through("bias outside"))  # fmt: skip


def gru_back(slip: str) -> Any:
    """Return the GRU's way back with one slip."""

    def back_through_time(self: Any, h: Any, kept: Any, dy: Any, final: State, suffix: str) -> Any:
        r, z, n, q_n = kept
        das, dqs, (dh,) = [], [], final
        for t in reversed(range(len(dy))):
            dh = dy[t] + dh
            da_n = dh * (1 - z[t]) * (1 - n[t] ** 2)
            da_r = (0 if slip == "no reset" else 1) * da_n * q_n[t] * r[t] * (1 - r[t])
            da_z = dh * (h[t] - n[t]) * (-1 if slip == "sign" else 1) * z[t] * (1 - z[t])
            das.insert(0, np.concatenate([da_r, da_z, da_n], axis=1))
            dqs.insert(0, np.concatenate([da_r, da_z, da_n * (1 if slip == "no r" else r[t])], axis=1))
            dh = dqs[0] @ self.parameters[f"weight_hh{suffix}"] + (0 if slip == "no direct" else dh * z[t])
        return np.stack(das), np.stack(dqs), (dh,)

    return back_through_time


for slip, (name, about) in {
    "no reset": ("gru-reset-gate-gradient-missing", "The reset gate gets no gradient."),
    "sign": ("gru-update-gate-sign-flipped", "dz = dh (n - h) instead of dh (h - n)."),
    "no r": ("gru-reset-gate-missing-in-hidden-gradient", "The candidate's dq lacks the factor r."),
    "no direct": ("gru-direct-path-missing", "The direct way back, dh z, is left out."),
}.items():
    backward_slip(name, about, "GRU", gru_back(slip))
