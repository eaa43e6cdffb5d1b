"""Layers that walk through time: the same weights at every step, and a state that is handed from step to step.

`Recurrent` holds what `RNN`, `LSTM` and `GRU` share: layers above each other, directions beside each other, and all
products that need not wait for the step before.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from manual import initializers
from manual.checks import Array, require_dtype, require_shape

State = tuple[Array, ...]  # (h,) or, for an LSTM, (h, c)


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + e^-z), the gate that opens from 0 to 1.            (2)"""
    e = np.exp(-z)
    e += 1
    return 1 / e


class Recurrent:
    """What every recurrent layer does: x_1..x_T in, h_1..h_T out, where h_t depends on x_t and on h_(t-1).

    Shapes: T steps, N sequences, I inputs, H hidden units, G gates, P outputs (H, or `proj_size` of an LSTM).
    W_ih (G H, I), W_hh (G H, P), b_ih and b_hh (G H,); the rows of a gate stand together, as in torch.

    Forward. The input's share of the pre-activations waits for no step: one product for all T N rows of X,

        A = X W_ih^T + b_ih.            (120)

    The hidden share, h_(t-1) W_hh^T + b_hh, comes step by step (`through_time`, each class its own).

    Derivation. Let da_t be the gradient for a_t, and dq_t that for the hidden share q_t (the two are equal where a step
    adds them up). The same weights act at every step, so their effects add up over steps as they do over examples, and
    with steps and examples as rows of one matrix (15), (16), (18) hold as they stand:

        dW_ih = dA^T X,  db_ih = sum of da_t over t and n            (121)
        dW_hh = dQ^T H_before, where row t of H_before is h_(t-1),  db_hh = sum of dq_t over t and n            (122)
        dX = dA W_ih            (123)

    What remains is da_t and dq_t. h_t acts twice: as output t, and through W_hh on step t + 1, so

        dh_t = dy_t + dq_(t+1) W_hh, and for the last step dh_T = dy_T + (gradient for the final state).       (124)

    That runs from the last step to the first (`back_through_time`); beyond it lies the gradient for h_0.

    Two directions: the second layer reads x from T to 1, and their outputs stand side by side,
    y_t = [forward h_t, backward h_t]; each takes its half of dy, and their dX add up.            (125)

    Between layers, in training, an output is dropped with probability p and the rest is scaled by 1 / (1 - p), so that
    its expectation stays; the gradient passes the same mask.            (126)
    """

    gates = 1
    states = 1  # tensors in a state: (h,)
    h_n: Array  # the final state of every layer and direction: (layers D, N, P)
    grad_hx: Any  # the gradient for the initial state, as hx is given

    whole_shape = True

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
        bidirectional: bool, proj_size: int, rng: np.random.Generator | None,
    ):  # fmt: skip
        """Draw all weights uniformly from +-1/sqrt(hidden_size), as torch does."""
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}; wanted a probability from 0 to 1.")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.directions = 2 if bidirectional else 1
        self.width = proj_size or hidden_size  # P: of what is handed on in one direction
        self.rng = rng if rng is not None else np.random.default_rng()
        limit = 1 / math.sqrt(hidden_size)
        self.parameters: dict[str, Array] = {
            name: initializers.uniform(self.rng, shape, -limit, limit) for name, shape in self.shapes().items()
        }
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True  # a Network turns it off where nobody would read it
        self.training = True
        self.drawn: dict[str, Array] = {}
        self.replayed: Mapping[str, Array] = {}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the parameters' names and shapes, in torch's order."""
        rows, shapes = self.gates * self.hidden_size, {}
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else self.directions * self.width
            for suffix in self.suffixes(layer):
                shapes |= {f"weight_ih{suffix}": (rows, inputs), f"weight_hh{suffix}": (rows, self.width)}
                if self.bias:
                    shapes |= {f"bias_ih{suffix}": (rows,), f"bias_hh{suffix}": (rows,)}
                if self.proj_size:
                    shapes |= {f"weight_hr{suffix}": (self.proj_size, self.hidden_size)}
        return shapes

    def suffixes(self, layer: int) -> list[str]:
        """Return how the names of a layer's parameters end, one ending a direction."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: self.directions]

    def replay(self, drawn: Mapping[str, Array]) -> None:
        """Use these masks ("mask0" between the layers 0 and 1, ...: True is kept) instead of drawing; {} ends it."""
        self.replayed = drawn

    def through_time(self, a: Array, start: State, suffix: str) -> tuple[Array, State, Any]:
        """Return h_0..h_T (T+1, N, P), the final state, and what `back_through_time` needs, for a (T, N, G H)."""
        raise NotImplementedError

    def back_through_time(
        self, h: Array, kept: Any, grad_output: Array, grad_final: State, suffix: str
    ) -> tuple[Array, Array, State]:
        """Return dA and dQ, both (T, N, G H), and the gradient for the initial state."""
        raise NotImplementedError

    def input_bias(self, suffix: str) -> Array:
        """Return what is added to all steps beforehand: b_ih, and b_hh where the hidden share is merely added."""
        return self.parameters[f"bias_ih{suffix}"] + self.parameters[f"bias_hh{suffix}"]

    def forward(self, x: Array, hx: Any = None) -> Array:
        """Return h of every step, (T, N, D P), or (N, T, D P) with batch_first; D = 2 directions if bidirectional.

        x is (T, N, input_size), (N, T, input_size) with batch_first, or (T, input_size), one sequence. hx is the
        initial state, (layers D, N, P), for an LSTM a pair with the cell's (layers D, N, H); None: zeros. The final
        state is left in `h_n` (and `c_n`).
        """
        x = self.enter(x)
        starts, finals, self.walks, self.drawn = self.initial_state(x, hx), [], {}, {}
        for layer in range(self.num_layers):
            if layer > 0:
                x = self.drop(x, f"mask{layer - 1}", draw=True)  # (126)
            sides = []
            for direction, suffix in enumerate(self.suffixes(layer)):
                h, final = self.walk(in_order(x, direction), tuple(s[len(finals)] for s in starts), suffix)
                sides.append(in_order(h[1:], direction))
                finals.append(final)
            x = np.concatenate(sides, axis=2) if self.bidirectional else sides[0]  # (125)
        self.keep_final([np.stack(states) for states in zip(*finals, strict=True)])
        return self.as_given(x)

    def walk(self, x: Array, start: State, suffix: str) -> tuple[Array, State]:
        """Return h_0..h_T and the final state of one layer in one direction, for x (T, N, I) in its order."""
        T, N, inputs = x.shape
        rows = x.reshape(T * N, inputs)
        a = rows @ self.parameters[f"weight_ih{suffix}"].T  # (T N, I) @ (I, G H) = (T N, G H)
        if self.bias:
            a += self.input_bias(suffix)  # (120)
        with np.errstate(over="ignore"):  # in a gate: e^-z = inf for very negative z, and 1 / inf = 0 is what is wanted
            h, final, kept = self.through_time(a.reshape(T, N, -1), start, suffix)
        self.walks[suffix] = rows, h, kept
        return h, final

    def backward(self, grad_output: Array, grad_h_n: Array | None = None, grad_c_n: Array | None = None) -> Any:
        """Fill `gradients` and `grad_hx`; return dC/dx, or None where `needs_input_gradient` is off.

        `grad_h_n` and `grad_c_n` are the gradients for the final state, where the cost depends on it.
        """
        require_shape(f"grad_output of {self.name()}", grad_output, self.output_given)
        grad = self.time_major(grad_output)
        grad_finals, grad_starts = self.final_gradients(grad, (grad_h_n, grad_c_n)), {}
        for layer in reversed(range(self.num_layers)):
            grad_inputs = []
            for direction, suffix in enumerate(self.suffixes(layer)):
                index = layer * self.directions + direction
                side = grad[:, :, direction * self.width : (direction + 1) * self.width]  # (125)
                da, grad_starts[index] = self.walk_back(
                    in_order(side, direction), tuple(g[index] for g in grad_finals), suffix
                )
                if layer > 0 or self.needs_input_gradient:
                    dx = da @ self.parameters[f"weight_ih{suffix}"]  # (123)  (T N, G H) @ (G H, I)
                    grad_inputs.append(in_order(dx.reshape(*grad.shape[:2], -1), direction))
            if grad_inputs:
                grad = grad_inputs[0] + grad_inputs[1] if self.bidirectional else grad_inputs[0]  # (125)
            if layer > 0:
                grad = self.drop(grad, f"mask{layer - 1}")  # (126)
        starts = [np.stack(s) for s in zip(*(grad_starts[i] for i in sorted(grad_starts)), strict=True)]
        self.grad_hx = self.paired([s if self.batched else s[:, 0] for s in starts])
        return self.as_given(grad) if self.needs_input_gradient else None

    def walk_back(self, grad_output: Array, grad_final: State, suffix: str) -> tuple[Array, State]:
        """Fill the gradients of one layer in one direction; return dA (T N, G H) and the initial state's gradient."""
        rows, h, kept = self.walks[suffix]
        da, dq, grad_start = self.back_through_time(h, kept, grad_output, grad_final, suffix)
        da, dq, before = (steps.reshape(len(rows), -1) for steps in (da, dq, h[:-1]))
        self.gradients[f"weight_ih{suffix}"] = da.T @ rows  # (121)  (G H, T N) @ (T N, I)
        self.gradients[f"weight_hh{suffix}"] = dq.T @ before  # (122)  (G H, T N) @ (T N, P)
        if self.bias:
            self.gradients[f"bias_ih{suffix}"] = da.sum(axis=0)  # (121)
            self.gradients[f"bias_hh{suffix}"] = dq.sum(axis=0)  # (122)
        return da, grad_start

    def drop(self, x: Array, name: str, draw: bool = False) -> Array:
        """Return x with the mask applied that stands between two layers; x itself where nothing is dropped.   (126)"""
        if draw and self.training and self.dropout:
            mask = self.replayed[name] if name in self.replayed else self.rng.random(x.shape) >= self.dropout
            require_shape(f"{name} of {self.name()}", mask, x.shape)
            self.drawn[name] = mask  # (T, N, D P)
        if name not in self.drawn:
            return x
        return np.where(self.drawn[name], x, 0) * (1 / (1 - self.dropout) if self.dropout < 1 else 1)

    # The entry and the exit: shapes as they are given, and (T, N, ...) inside.

    def name(self) -> str:
        """Return what messages call the layer."""
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size})"

    def enter(self, x: Array) -> Array:
        """Return x as (T, N, input_size); raise ValueError if it is no sequence, or no batch of them."""
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or 0 in x.shape:
            first = "N, T" if self.batch_first else "T, N"
            raise ValueError(
                f"{self.name()} got an input of shape {x.shape}; wanted ({first}, {self.input_size}), "
                f"or (T, {self.input_size}) for one sequence, of at least one step."
            )
        self.batched = x.ndim == 3
        self.output_given = (*x.shape[:-1], self.directions * self.width)
        return self.time_major(x)

    def time_major(self, x: Array) -> Array:
        """Return what is given in the layer's layout as (T, N, ...)."""
        if not self.batched:
            return x[:, None]
        return x.swapaxes(0, 1) if self.batch_first else x

    def as_given(self, x: Array) -> Array:
        """Return (T, N, ...) in the layout in which the input came."""
        if not self.batched:
            return x[:, 0]
        return x.swapaxes(0, 1) if self.batch_first else x

    def state_shapes(self, N: int) -> list[tuple[int, int, int]]:
        """Return the shapes of h and, in an LSTM, c: one row of N states a layer and direction."""
        rows = self.num_layers * self.directions
        return [(rows, N, self.width), (rows, N, self.hidden_size)][: self.states]

    def initial_state(self, x: Array, hx: Any) -> State:
        """Return the states (layers D, N, ...) to start from; raise for a shape or dtype that does not fit."""
        shapes = self.state_shapes(x.shape[1])
        if hx is None:
            return tuple(np.zeros_like(x, shape=shape) for shape in shapes)
        given = hx if self.states > 1 else (hx,)
        if len(given) != self.states:
            raise ValueError(f"hx of {self.name()} holds {len(given)} tensors; wanted the pair (h, c).")
        for name, state, shape in zip(("h_0", "c_0"), given, shapes, strict=False):
            require_shape(f"{name} of {self.name()}", state, shape if self.batched else (shape[0], shape[2]))
            require_dtype(f"{name} of {self.name()}", state, x.dtype)
        return tuple(state if self.batched else state[:, None] for state in given)

    def final_gradients(self, grad: Array, given: tuple[Array | None, ...]) -> State:
        """Return the gradients for the final states, (layers D, N, ...): zeros where none is given."""
        gradients = []
        for name, g, shape in zip(("grad_h_n", "grad_c_n"), given, self.state_shapes(grad.shape[1]), strict=False):
            if g is None:
                gradients.append(np.zeros_like(grad, shape=shape))
            else:
                require_shape(f"{name} of {self.name()}", g, shape if self.batched else (shape[0], shape[2]))
                gradients.append(g if self.batched else g[:, None])
        return tuple(gradients)

    def keep_final(self, finals: list[Array]) -> None:
        """Leave the final state in h_n and c_n, unbatched where the input was."""
        for name, state in zip(("h_n", "c_n"), finals, strict=False):
            setattr(self, name, state if self.batched else state[:, 0])

    def paired(self, states: list[Array]) -> Any:
        """Return the state as hx is given: one array, or the pair (h, c)."""
        return states[0] if self.states == 1 else tuple(states)

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return the shape of one example's output, given that of its input (None: not known)."""
        if input_shape is None:
            return None
        if len(input_shape) not in (1, 2) or input_shape[-1] != self.input_size:
            raise ValueError(f"wants sequences with {self.input_size} inputs a step")
        return (*input_shape[:-1], self.directions * self.width)

    def __repr__(self) -> str:
        defaults = {
            "num_layers": 1, "nonlinearity": "tanh", "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False, "proj_size": 0,
        }  # fmt: skip
        options = {key: getattr(self, key, default) for key, default in defaults.items()}
        shown = [f", {key}={value!r}" for key, value in options.items() if value != defaults[key]]
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size}{''.join(shown)})"


def in_order(steps: Array, direction: int) -> Array:
    """Return the steps in the order in which a direction walks: 0 as they are, 1 from the last to the first.  (125)"""
    return np.flip(steps, axis=0) if direction else steps
