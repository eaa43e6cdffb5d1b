"""Every entry of the catalogue against witnesses that know nothing of torch: complex step and central differences.

Along a direction v of one tensor, the derivative of <g, forward> is <gradient, v>. The complex step has all digits of
it; where a forward pass is no analytic function (an absolute value), or does not carry complex numbers, the central
difference speaks, with its own estimated error.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import manual
from compare.agreement.witnesses import central_difference, complex_step
from compare.experiment.classes import LOSSES, OPTIMIZERS, build_layer
from compare.experiment.description import Layer
from tests.catalogue.cases import CASES
from tests.catalogue.cases.case import Case

Array = np.ndarray[Any, Any]
SIZES = {"batch": 3, "time": 4}  # any other name: 5
NOT_THE_DERIVATIVE = {"padding_idx", "scale_grad_by_freq", "max_norm"}  # torch's own rules, held against it elsewhere


def shape_of(case: Case) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else SIZES.get(size, 5) for size in case.shape)


def point_of(case: Case, rng: np.random.Generator) -> Array:
    """Return an input in general position: no kink, no tie."""
    shape = shape_of(case)
    if case.indices:
        return rng.integers(0, case.indices, shape)
    if case.between:
        low, high = case.between
        return low + (high - low) * rng.uniform(0.1, 0.9, shape)
    return rng.normal(size=shape)


def target_of(case: Case, x: Array, rng: np.random.Generator) -> Array:
    match case.target:
        case "labels":
            axis = 1 if x.ndim > 1 else 0
            return rng.integers(0, case.classes or x.shape[axis], np.delete(x.shape, axis))
        case "probabilities":
            e = np.exp(rng.normal(size=x.shape))
            return e / e.sum(axis=1 if x.ndim > 1 else 0, keepdims=True)
        case "signs":
            return rng.choice([-1.0, 1.0], x.shape)
        case _:
            return rng.uniform(0.1, 0.9, x.shape) if case.between else rng.normal(size=x.shape)


def agree(found: float, scale: float, function: Callable[[Any], Any]) -> None:
    by_complex, (central, error) = complex_step(function), central_difference(function)
    assert central is not None
    assert error is not None
    assert abs(found - central) <= 20 * error + 1e-8 * scale
    if by_complex is not None and abs(by_complex - central) <= 20 * error + 1e-6 * scale:
        assert abs(found - by_complex) <= 1e-11 * scale


def layer_cases() -> list[Case]:
    kinds = {*LOSSES, *OPTIMIZERS}
    return [c for c in CASES if c.kind not in kinds and not c.arguments.keys() & NOT_THE_DERIVATIVE]


@pytest.mark.parametrize("case", layer_cases(), ids=str)
def test_a_layers_gradients_are_derivatives_of_its_forward_pass(case: Case) -> None:
    rng = np.random.default_rng(11)
    arguments = dict(case.arguments)
    if case.kind == "Residual":
        arguments = dict(Layer(case.kind, arguments=arguments).arguments)
    layer = build_layer(case.kind, arguments, rng)
    layer.training = case.training
    tensors = getattr(layer, "parameters", {})
    for key in list(tensors):
        tensors[key] = rng.normal(size=tensors[key].shape) / 2
    for key, buffer in list(getattr(layer, "buffers", {}).items()):
        layer.buffers[key] = rng.uniform(0.5, 2, buffer.shape) if buffer.dtype.kind == "f" else buffer
    fresh, x = copy.deepcopy(layer), point_of(case, rng)
    g = rng.normal(size=layer.forward(x).shape)
    gradients = {"input": layer.backward(g)} | dict(getattr(layer, "gradients", {}))
    if drawn := getattr(layer, "drawn", {}):
        fresh.replay(drawn)

    def along(name: str, v: Array) -> Callable[[Any], Any]:
        def value(change: Any) -> Any:
            own, dtype = copy.deepcopy(fresh), np.complex128 if isinstance(change, complex) else np.float64
            at = x if case.indices else x.astype(dtype)
            for key in list(getattr(own, "parameters", {})):
                own.parameters[key] = own.parameters[key].astype(dtype)
            if name == "input":
                at = at + change * v
            else:
                own.parameters[name] = own.parameters[name] + change * v
            return (g * own.forward(at)).sum().item()

        return value

    tried = 0
    for name, gradient in gradients.items():
        if gradient is not None:
            v = rng.normal(size=gradient.shape)
            agree(float((gradient * v).sum()), float(np.abs(gradient * v).sum()) + 1e-3, along(name, v))
            tried += 1
    assert tried


@pytest.mark.parametrize("case", [case for case in CASES if case.kind in LOSSES], ids=str)
def test_a_losss_gradient_is_the_derivative_of_its_value(case: Case) -> None:
    rng = np.random.default_rng(12)
    loss, x = getattr(manual, case.kind)(**case.arguments), point_of(case, rng)
    target = target_of(case, x, rng)
    g = rng.normal(size=np.shape(loss.forward(x, target)))
    gradient, v = loss.backward(g), rng.normal(size=x.shape)
    agree(
        float((gradient * v).sum()),
        float(np.abs(gradient * v).sum()) + 1e-3,
        lambda change: np.asarray((g * copy.deepcopy(loss).forward(x + change * v, target)).sum()).item(),
    )
