"""Mistakes in all recurrent layers, and in RNN: what is lost between steps, slopes left out.

A mistake is made in every layer and direction: the layer of the site is run again with one slip in its steps.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake
from compare.diagnosis.site import Site
from manual.gru import GRU
from manual.lstm import LSTM
from manual.recurrent import State
from manual.rnn import RNN

ALL = ("RNN", "LSTM", "GRU")
CLASSES: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
FIRST = "weight_ih_l0"  # the first tensor that a slip in the backward pass spoils
Change = Callable[[np.ndarray], np.ndarray]


def layer_of(site: Site, methods: dict[str, Any], parameters: dict[str, np.ndarray] | None = None) -> Any:
    """Return the site's layer after its forward pass, with some of its methods, or its parameters, replaced."""
    layer = type(site.kind, (CLASSES[site.kind],), methods)(**site.arguments)
    layer.parameters = dict(site.parameters) if parameters is None else parameters
    layer.training = site.training
    layer.replay(site.drawn)
    layer.output = layer.forward(site.x)
    return layer


def different(wrong: np.ndarray, site: Site, key: str) -> np.ndarray | None:
    """Return the wrong tensor; None where it is the right one but for rounding (one step has nothing to hand on)."""
    right = site.right[key]
    return None if np.abs(wrong - right).max() <= 200 * np.finfo(right.dtype).eps * np.abs(right).max() else wrong


def backward_slip(name: str, about: str, on: str | tuple[str, ...], back_through_time: Any, key: str = FIRST) -> None:
    """Declare the mistake of another way back through time."""

    @mistake(name, about, on, key)
    def _(site: Site) -> np.ndarray | None:
        if site.dy is None:
            return None
        layer = layer_of(site, {"back_through_time": back_through_time})
        layer.backward(site.dy)
        return different(layer.gradients[key], site, key)


def forward_slip(name: str, about: str, on: str | tuple[str, ...], through_time: Any) -> None:
    """Declare the mistake of another way through time."""

    @mistake(name, about, on, "output")
    def _(site: Site) -> np.ndarray | None:
        return different(layer_of(site, {"through_time": through_time}).output, site, "output")


def parameter_slip(name: str, about: str, on: str | tuple[str, ...], part: str, change: Change) -> None:
    """Declare the mistake of reading the parameters, those whose names hold `part`, in another way."""

    @mistake(name, about, on, "output")
    def _(site: Site) -> np.ndarray | None:
        read = {key: change(p) if part in key and "hr" not in key else p for key, p in site.parameters.items()}
        return different(layer_of(site, {}, read).output, site, "output")


# Forward, all three


def from_nothing(self: Any, a: np.ndarray, start: State, suffix: str) -> Any:
    """Every step starts from the initial state."""
    right = CLASSES[type(self).__name__].through_time
    steps = [right(self, a[t : t + 1], start, suffix) for t in range(len(a))]
    h = np.concatenate([steps[0][0][:1], *(step[0][1:] for step in steps)])
    return h, steps[-1][1], ()


forward_slip("recurrent-state-not-carried", "Every step starts from the initial state.", ALL, from_nothing)
parameter_slip("recurrent-hidden-bias-forgotten", "The bias b_hh is not added.", ALL, "bias_hh", np.zeros_like)
parameter_slip(
    "recurrent-hidden-weight-transposed-forward", "h W_hh instead of h W_hh^T: a square weight lets it pass.", "RNN",
    "weight_hh", np.transpose,
)  # fmt: skip


# Backward, all three: within a step all is right, and the mistake is in what is handed on


def step_by_step(arriving: Any = None, handed: Any = None) -> Any:
    """Return a way back through time, one step after the other, with its own rule of what arrives or is handed on."""

    def back_through_time(self: Any, h: Any, kept: Any, grad_output: Any, final: State, suffix: str) -> Any:
        T, das, dqs = len(grad_output), [], []
        for t in reversed(range(T)):
            one = tuple(k[t : t + 2] if len(k) > T else k[t : t + 1] for k in kept or ())
            dy = grad_output[t : t + 1]
            dy = dy if arriving is None else arriving(dy, t, T)
            right = CLASSES[type(self).__name__].back_through_time
            da, dq, start = right(self, h[t : t + 2], one, dy, final, suffix)
            final = start if handed is None else handed(self, start, dq[0], suffix)
            das.insert(0, da)
            dqs.insert(0, dq)
        return np.concatenate(das), np.concatenate(dqs), final

    return back_through_time


backward_slip(
    "recurrent-gradient-cut", "Nothing is handed back from step to step: truncated after one step.", ALL,
    step_by_step(handed=lambda _self, start, *_: tuple(np.zeros_like(g) for g in start)),
)  # fmt: skip
backward_slip(
    "recurrent-last-output-gradient-dropped", "The gradient of the last output is dropped.", ALL,
    step_by_step(arriving=lambda dy, t, T: np.zeros_like(dy) if t == T - 1 else dy),
)  # fmt: skip
backward_slip(
    "recurrent-output-gradient-overwritten",
    "What comes from the step after overwrites the gradient of a step's own output: only the last one counts.", ALL,
    step_by_step(arriving=lambda dy, t, T: dy if t == T - 1 else np.zeros_like(dy)),
)  # fmt: skip
backward_slip(
    "recurrent-hidden-weight-transposed-backward", "dq W_hh^T instead of dq W_hh: a square weight lets it pass.", "RNN",
    step_by_step(handed=lambda self, _start, dq, suffix: (dq @ self.parameters[f"weight_hh{suffix}"].T,)),
)  # fmt: skip


def with_walk_back(site: Site, key: str, change: Callable[[Any, Any, Any, Any], np.ndarray]) -> np.ndarray | None:
    """Return the gradient of `key` that `change` makes of dA, dQ, X and h_0..h_T of the first layer, (T, N, ...)."""
    if site.dy is None:
        return None
    seen: dict[str, Any] = {}

    def watch(self: Any, h: Any, kept: Any, dy: Any, final: State, suffix: str) -> Any:
        result = CLASSES[type(self).__name__].back_through_time(self, h, kept, dy, final, suffix)
        seen[suffix] = (result[0], result[1], h)
        return result

    layer = layer_of(site, {"back_through_time": watch})
    layer.backward(site.dy)
    da, dq, h = seen["_l0"]
    return different(change(da, dq, layer.walks["_l0"][0].reshape(*da.shape[:2], -1), h), site, key)


def of_one_step(site: Site, step: int) -> np.ndarray | None:
    """Return the weight's gradient of one step alone; None where nothing comes in then, as at any such step."""

    def change(da: Any, _dq: Any, x: Any, _h: Any) -> np.ndarray:
        return da[step].T @ x[step] if x[step].any() else site.right[FIRST]

    return with_walk_back(site, FIRST, change)


@mistake("recurrent-last-step-only", "The weight's gradient is that of the last step, not the sum.", ALL, FIRST)
def _(site: Site) -> np.ndarray | None:
    return of_one_step(site, -1)


@mistake("recurrent-first-step-only", "The step that comes last on the way back overwrites the sum.", ALL, FIRST)
def _(site: Site) -> np.ndarray | None:
    return of_one_step(site, 0)


@mistake("recurrent-averaged-over-time", "The weight's gradient is averaged over the steps, not summed.", ALL, FIRST)
def _(site: Site) -> np.ndarray | None:
    return with_walk_back(site, FIRST, lambda da, _dq, _x, _h: site.right[FIRST] / len(da))


@mistake(
    "recurrent-state-after-step", "dW_hh is made with h_t, what came of the weight, instead of h_(t-1).", ALL,
    "weight_hh_l0",
)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    return with_walk_back(site, "weight_hh_l0", lambda _da, dq, _x, h: np.einsum("tng,tnh->gh", dq, h[1:]))


@mistake("recurrent-initial-state-skipped", "dW_hh pairs step t with h_t of the step after it.", ALL, "weight_hh_l0")
def _(site: Site) -> np.ndarray | None:
    def change(_da: Any, dq: Any, _x: Any, h: Any) -> np.ndarray:
        return np.einsum("tng,tnh->gh", dq[:-1], h[2:]) if len(dq) > 1 else site.right["weight_hh_l0"]

    return with_walk_back(site, "weight_hh_l0", change)


# RNN


def rnn_back(slope: Callable[[Any, Any, bool], Any]) -> Any:
    """Return the RNN's way back with another slope, of h_(t-1), h_t and whether f is tanh."""

    def back_through_time(self: Any, h: Any, _kept: Any, dy: Any, final: State, suffix: str) -> Any:
        da, (dh,) = np.empty_like(h[1:]), final
        for t in reversed(range(len(dy))):
            da[t] = (dy[t] + dh) * slope(h[t], h[t + 1], self.nonlinearity == "tanh")
            dh = da[t] @ self.parameters[f"weight_hh{suffix}"]
        return da, da, (dh,)

    return back_through_time


backward_slip(
    "rnn-slope-missing", "The slope of the nonlinearity is left out.", "RNN", rnn_back(lambda *_: 1),
)  # fmt: skip
backward_slip(
    "rnn-slope-of-state-before", "The slope is taken at h_(t-1) instead of h_t.", "RNN",
    rnn_back(lambda before, _after, tanh: 1 - before * before if tanh else before > 0),
)  # fmt: skip
backward_slip(
    "rnn-slope-without-square", "The slope of tanh is 1 - h instead of 1 - h^2.", "RNN",
    rnn_back(lambda _before, after, tanh: 1 - after if tanh else after > 0),
)  # fmt: skip
