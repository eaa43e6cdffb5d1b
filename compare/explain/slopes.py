"""The slopes of one layer: the derivatives of all its outputs by one number that goes into it.

They are taken by the complex step through the layer's own forward pass, df/dp = Im f(p + ih) / h with h = 1e-30, which
loses no digit; of a user's own layer by a central difference where it does not carry complex numbers, or is no analytic
function of them. So a slope does not come from the backward pass that it is to explain.
"""

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.agreement.operations import restore
from compare.agreement.witnesses import H_COMPLEX

H_REAL = 2.0**-18  # near the cube root of u, where truncation and cancellation balance
NEAR = 1e-6  # how far the two may be apart: a million times nearer than a wrong one is


def slopes_by_parameter(
    name: str, layer: Any, trace: Mapping[str, np.ndarray], x: np.ndarray, key: str, index: tuple[int, ...]
) -> np.ndarray:
    """Return dy/dp, of the shape of the layer's output, for the element `index` of its parameter `key`."""

    def output(change: Any) -> np.ndarray:
        own = prepared(name, layer, trace, type(change))
        own.parameters[key][index] += change
        return own.forward(x.astype(type(change)) if x.dtype.kind == "f" else x)

    return slopes(output, layer)


def slopes_by_input(
    name: str, layer: Any, trace: Mapping[str, np.ndarray], x: np.ndarray, index: tuple[int, ...]
) -> np.ndarray:
    """Return dy/dx, of the shape of the layer's output, for the element `index` of its input."""

    def output(change: Any) -> np.ndarray:
        moved = x.astype(type(change))
        moved[index] += change
        return prepared(name, layer, trace, type(change)).forward(moved)

    return slopes(output, layer)


def slope_of_loss(loss: Any, prediction: np.ndarray, target: np.ndarray, index: tuple[int, ...]) -> float:
    """Return dC/da for the element `index` of the prediction."""

    def output(change: Any) -> np.ndarray:
        moved = prediction.astype(type(change))
        moved[index] += change
        return np.asarray(copy.deepcopy(loss).forward(moved, target))

    return float(slopes(output, loss))


def prepared(name: str, layer: Any, trace: Mapping[str, np.ndarray], dtype: type) -> Any:
    """Return a copy of a layer as it was before the step: its weights, its statistics, and what it drew."""
    own = copy.deepcopy(layer)
    restore({name: own}, trace)
    parameters = getattr(own, "parameters", {})
    for key in list(parameters):
        parameters[key] = trace[f"{name}.{key}"].astype(dtype)
    return own


def slopes(output: Any, layer: Any) -> np.ndarray:
    """Return the derivative at 0 of an array-valued function of one number, a forward pass of this layer."""
    stepped = complex_slopes(output)
    if stepped is not None and type(layer).__module__.partition(".")[0] == "manual":
        return stepped
    above, below = output(H_REAL), output(-H_REAL)
    central = (above - below) / (2 * H_REAL)
    if stepped is None:
        return central
    size = np.abs(central).max() + np.abs(above).max()
    agree = np.abs(stepped - central).max() <= NEAR * size  # an absolute value makes the complex step a false witness
    return stepped if agree else central


def complex_slopes(output: Any) -> np.ndarray | None:
    """Return the derivative by the complex step; None where the function does not carry complex numbers."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # one that throws the imaginary part away
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            moved = output(H_COMPLEX * 1j)
    except (TypeError, ValueError, np.exceptions.ComplexWarning):
        return None
    return moved.imag / H_COMPLEX if np.iscomplexobj(moved) else None
