"""The default for a layer without a rule of its own, a user's: its rounding is measured, not derived.

The layer's own code is run on the inputs it had, in higher precision (NumPy's longdouble, where its code carries
it), and again in the network's dtype on inputs moved by +-u at random, sixteen times, with the results of elementary
functions moved as far as another implementation of them may be off (Monte Carlo arithmetic; Parker 1997). What the
results scatter about the precise one is its rounding, cancellation inside the layer included. A wrong formula scatters
no more than a right one, so that the bound does not grow with the mistake.
"""

import math
from typing import Any

import numpy as np

from compare.agreement.rounding.operations import LayerOperation
from compare.agreement.rounding.unit import ELEMENTARY, LAMBDA, unit_roundoff

SAMPLES = 16  # that fewer than 1 in 1e12 elements has scattered by chance so little that rounding exceeds its bound
FUNCTIONS = {
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "sinh", "cosh", "sin", "cos", "tan", "arctan",
    "arcsinh", "arccosh", "arctanh", "power", "float_power", "logaddexp", "cbrt", "hypot",
}  # fmt: skip
SPREAD = math.sqrt(3) * ELEMENTARY / LAMBDA  # uniform on +-SPREAD u: LAMBDA standard deviations are ELEMENTARY u
Results = dict[str, np.ndarray]


class Moved(np.ndarray):
    """An array on which every elementary function gives a result moved at random, by about its own rounding error."""

    noise: tuple[np.random.Generator, float] | None

    def __array_finalize__(self, obj: Any) -> None:
        self.noise = getattr(obj, "noise", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        noise = next((x.noise for x in (*inputs, self) if isinstance(x, Moved) and x.noise), None)
        given = tuple(np.asarray(x) if isinstance(x, Moved) else x for x in inputs)
        out = options.pop("out", None)
        if out is not None:
            options["out"] = tuple(np.asarray(x) if isinstance(x, Moved) else x for x in out)
        result = getattr(ufunc, method)(*given, **options)
        if noise and ufunc.__name__ in FUNCTIONS and isinstance(result, np.ndarray) and result.dtype.kind == "f":
            rng, u = noise
            result *= (1 + SPREAD * u * rng.uniform(-1, 1, result.shape)).astype(result.dtype)
        if out is not None:
            return out[0] if len(out) == 1 else out
        return moved_by(result, noise) if isinstance(result, np.ndarray) else result


def moved_by(array: np.ndarray, noise: tuple[np.random.Generator, float] | None) -> np.ndarray:
    """Return the array as one on which elementary functions are moved at random."""
    view = array.view(Moved)
    view.noise = noise
    return view


class PerturbedRounding:
    """Bounds measured on the layer itself: LAMBDA times the scatter (as for random errors), and 8 u of the result."""

    bound_kind = "measured"

    def __init__(self, layer: Any = None):
        """Take the user's layer, which is copied before it is run; None: manual's own of the operation's kind."""
        self.layer = layer

    def forward(self, op: LayerOperation, u: float) -> np.ndarray:
        """Bound the error of every element of y."""
        return self.bounds(op, u)["output"]

    def backward(self, op: LayerOperation, u: float) -> dict[str, np.ndarray]:
        """Bound the errors of the gradients."""
        bounds = self.bounds(op, u)
        return {key: bounds[key] for key in ("input", *op.parameters) if key in bounds}

    def bounds(self, op: LayerOperation, u: float) -> Results:
        """Return the bound of every result."""
        dtype = np.dtype(np.float32 if u == unit_roundoff(np.float32) else np.float64)
        exact = self.precise(op)
        squares = {key: np.zeros(value.shape) for key, value in exact.items()}
        for sample in range(SAMPLES):
            moved = self.run(op, dtype, np.random.default_rng(sample), u)
            for key, value in moved.items():
                squares[key] += np.square(np.asarray(np.asarray(value) - exact[key], np.float64)) / SAMPLES
        return {
            key: LAMBDA * np.sqrt(square) + ELEMENTARY * u * np.abs(np.asarray(exact[key], np.float64))
            for key, square in squares.items()
        }

    def precise(self, op: LayerOperation) -> Results:
        """Return the layer's results in longdouble, or in float64 where its code does not carry it."""
        try:
            return self.run(op, np.dtype(np.longdouble))
        except (TypeError, ValueError):
            return self.run(op, np.dtype(np.float64))

    def run(
        self, op: LayerOperation, dtype: np.dtype, rng: np.random.Generator | None = None, u: float = 0.0
    ) -> Results:
        """Return the results of a copy of the layer, in a dtype, on inputs moved by +-u."""

        def given(array: np.ndarray) -> np.ndarray:
            if array.dtype.kind != "f":
                return array  # indices, counters
            moved = array.astype(dtype)
            if rng is None:
                return moved
            return moved_by(moved * (1 + u * rng.choice((-1.0, 1.0), array.shape)).astype(dtype), (rng, u))

        layer = op.layer(self.layer)
        for key, parameter in op.parameters.items():
            layer.parameters[key] = given(parameter)
        for key, buffer in op.buffers.items():
            layer.buffers[key] = given(buffer)
        results = {"output": layer.forward(given(op.x))}
        results |= {key: layer.buffers[key] for key in op.buffers}
        if op.grad_output is not None:
            gradient = layer.backward(given(op.grad_output))
            if gradient is not None:
                results["input"] = gradient
            results |= {key: layer.gradients[key] for key in op.parameters}
        return results
