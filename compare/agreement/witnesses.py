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
        dtype = np.complex128 if isinstance(change, complex) else np.float64
        layers, criterion = copy.deepcopy(list(network.layers.values())), copy.deepcopy(network.loss_function)
        restore(dict(zip(names, layers, strict=True)), trace)
        for name, layer in zip(names, layers, strict=True):
            parameters = getattr(layer, "parameters", {})
            for parameter in parameters:
                parameters[parameter] = trace[f"{name}.{parameter}"].astype(dtype)
        if key == "output":
            x, following = trace[tensor].astype(dtype), layers[position + 1 :]
            x[index] += change
        else:
            x = trace["input" if position == 0 else f"{names[position - 1]}.output"]
            x = x.astype(dtype) if x.dtype.kind == "f" else x
            following = layers[position:]
            layers[position].parameters[key][index] += change
        for layer in following:
            x = layer.forward(x)
        return np.asarray(criterion.forward(x, trace["target"])).item()

    return loss


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
