"""Three witnesses of a derivative: autograd, the complex step through the manual forward pass, central differences.

complex step         dC/dp = Im C(p + ih) / h with h = 1e-30: no difference is taken, so nothing cancels (Squire and
                     Trapp 1998; Martins, Sturdza and Alonso 2003). Needs a forward pass that computes in complex128.
central differences  (C(p + h) - C(p - h)) / 2h with h near the cube root of u, where truncation h^2 and cancellation
                     u/h balance. Its own error is estimated by halving h (Richardson) and by u |C| / h. They check
                     the complex step, too: where the two contradict each other, that one is not heard.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.agreement.operations import restore
from compare.agreement.trace import Trace
from compare.language import stored

H_COMPLEX = 1e-30
LARGEST_H, SMALLEST_H = 1, 18  # halvings: of extrapolated differences
ENOUGH = 1e-13  # relative error at which they go no further
NEARER = 1e-3  # a side has the derivative if it is a thousand times nearer to it than the other: float32 included


@dataclass(frozen=True)
class Witnesses:
    """What each says of one element of a gradient; None where a witness cannot speak."""

    tensor: str
    index: tuple[int, ...]
    manual: float
    autograd: float
    complex_step: float | None
    central_difference: float | None
    central_error: float | None
    conclusion: str


def hear(network: Any, trace: Trace, reference: Trace, tensor: str, index: tuple[int, ...] | None) -> Witnesses | None:
    """Return the witnesses of the gradient `tensor` at `index` of a recorded step; None if it is no gradient.

    For a disagreement of the loss itself the first delta is examined: is the manual gradient that of the manual loss?
    """
    if tensor == "loss":
        last = next(name for name in trace if name.endswith(".output.grad"))
        gap = np.abs(np.asarray(trace[last], np.float64) - reference[last])
        tensor, index = last, tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))
    if not tensor.endswith(".grad") or index is None or tensor not in reference:
        return None
    loss = loss_of_element(network, trace, tensor.removesuffix(".grad"), index)
    mine, autograd = float(trace[tensor][index]), float(reference[tensor][index])
    with np.errstate(all="ignore"):
        by_complex, (central, error) = complex_step(loss), central_difference(loss)
    if by_complex is not None and central is not None and error is not None:
        # A pass that is no analytic function (an absolute value) makes the complex step a false witness.
        by_complex = by_complex if abs(by_complex - central) <= 10 * error + 1e-6 * abs(central) else None
    return Witnesses(
        tensor, index, mine, autograd, by_complex, central, error, conclude(mine, autograd, by_complex, central, error)
    )


def loss_of_element(network: Any, trace: Trace, tensor: str, index: tuple[int, ...]) -> Callable[[Any], Any]:
    """Return the loss as a function of what is added to one element of a parameter or of a layer's output."""
    names = list(network.layers)
    owner, _, key = tensor.partition(".")
    position = names.index(owner)

    def loss(change: Any) -> Any:
        dtype = dtype_of(change)
        first = position + 1 if key == "output" else position  # what stands below is as it was
        layers = {name: copy.deepcopy(network.layers[name]) for name in names[first:]}
        criterion = copy.deepcopy(network.loss_function)
        restore(layers, trace)
        for name, layer in layers.items():
            parameters = getattr(layer, "parameters", {})
            for parameter in parameters:
                parameters[parameter] = trace[f"{name}.{parameter}"].astype(dtype)
        if key == "output":
            x = trace[tensor].astype(dtype)
            x[index] += change
        else:
            x = trace["input" if position == 0 else f"{names[position - 1]}.output"]
            x = x.astype(dtype) if x.dtype.kind == "f" else x
            layers[owner].parameters[key][index] += change
        for layer in layers.values():
            x = layer.forward(x)
        return np.asarray(criterion.forward(x, trace["target"])).item()

    return loss


def dtype_of(change: Any) -> type:
    """Return the dtype in which a change of this type is followed: complex, extended, or else double precision."""
    if isinstance(change, complex):
        return np.complex128
    return np.longdouble if type(change) is np.longdouble else np.float64


def complex_step(loss: Callable[[Any], Any]) -> float | None:
    """Return the derivative by the complex step, or None where the forward pass does not carry complex numbers."""
    try:
        with warnings.catch_warnings():  # a pass that throws the imaginary part away does not carry it
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            value = loss(H_COMPLEX * 1j)
    except (TypeError, ValueError, np.exceptions.ComplexWarning):
        return None
    return value.imag / H_COMPLEX if isinstance(value, complex) and np.isfinite(value) else None


def central_difference(loss: Callable[[Any], Any]) -> tuple[float | None, float | None]:
    """Return the derivative by central differences, and an estimate of its own error."""
    u = 2.0**-53
    h = u ** (1 / 3)
    try:
        coarse, fine = ((loss(s) - loss(-s)) / (2 * s) for s in (2 * h, h))
        own = abs(coarse - fine) + 4 * u * abs(loss(0.0)) / h  # some roundings in each of the two losses
    except (TypeError, ValueError):
        return None, None
    return float(fine), float(own)


def extrapolated_difference(loss: Callable[[Any], Any]) -> tuple[float | None, float | None]:
    """Return the derivative by central differences extrapolated to h = 0, and an estimate of its own error.

    D(h) = (C(p + h) - C(p - h)) / 2h errs by a series in h^2, so two of them, h and h/2, give one that errs by h^4, two
    of those one of h^6, and so on (Richardson). The entry of this table is taken that differs least from its neighbours
    (Ridders 1982), the rounding u |C| / h of its costs added: a kink within h is left behind as h shrinks. Computed in
    extended precision where the machine has it, for a derivative of 1e-12 would drown in the roundings of a cost of 1.
    """
    best, error, before = None, np.inf, []
    try:
        with np.errstate(all="ignore"):  # a cost that is no number within h has no part in it
            rounding = np.finfo(np.longdouble).eps * abs(loss(np.longdouble(0)))
            for halvings in range(LARGEST_H, SMALLEST_H):
                h = np.longdouble(2.0**-halvings)
                row = [(loss(h) - loss(-h)) / (2 * h)]
                for k, other in enumerate(before):
                    row.append(row[k] + (row[k] - other) / (4 ** (k + 1) - 1))
                    own = max(abs(row[k + 1] - row[k]), abs(row[k + 1] - other)) + rounding / h
                    if own < error:
                        best, error = row[k + 1], own
                before = row
                if best is not None and error <= ENOUGH * abs(best):
                    break
    except (TypeError, ValueError):
        return None, None
    return (None, None) if best is None else (float(best), float(error))


def conclude(mine: float, autograd: float, by_complex: float | None, central: float | None, error: float | None) -> str:
    """Return which sides agree and what follows, in a sentence."""
    truth = by_complex if by_complex is not None else central
    if truth is None:
        return stored("Neither the complex step nor central differences can pass through this forward pass.")
    margin = 1e-9 * abs(truth) if by_complex is not None else (error or 0.0)
    with_manual, with_autograd = abs(truth - mine), abs(truth - autograd)
    if max(with_manual, with_autograd) <= margin:
        return stored("All witnesses agree at this element.")
    if autograd:
        ratio = stored("{ratio:.6g} times autograd's", ratio=mine / autograd)
    else:
        ratio = stored("where autograd has 0")
    if with_autograd < NEARER * with_manual:
        return stored(
            "The derivative is wrong: the witnesses side with autograd; the manual gradient is {ratio}.", ratio=ratio
        )
    if with_manual < NEARER * with_autograd:
        return stored(
            "The two sides compute different functions: the manual gradient is the derivative of the manual forward "
            "pass, which is not the reference's; it is {ratio} (a 1/2, a mean?).",
            ratio=ratio,
        )
    return stored(
        "Neither side has the derivative of the manual forward pass here; the manual gradient is {ratio}.", ratio=ratio
    )
