"""The carried bound: how far two correct networks may differ at any tensor of a step, end to end, by norm.

Both start the step from identical parameters, state and data, bit for bit. From there each operation adds its own
rounding, on both sides, and carries on the difference that reaches it:

    e(y) <= carry_forward(e(x))         and likewise backward, each with the rounding that both sides add.

The bound is rigorous up to terms of second order in u, and wide: norms forget that errors have signs and places. It
decides where no operation is in breach by itself: a larger difference means a fault between the operations.

Where an operation has no rule by norm, the whole step is run once on numbers that carry their errors, which is rigorous
as well, wider, and costs some ten steps: so it is done for audited steps alone.
"""

import math
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

import manual
from compare.agreement.operations import (
    PREPARATION,
    layer_operations,
    loss_operation,
    own_kind,
    preparation,
    resume,
    update_operations,
)
from compare.agreement.rates import rate_error
from compare.agreement.rounding import (
    LAYER_RULES,
    LOSS_RULES,
    UPDATE_RULES,
    Averaging,
    Bounded,
    LayerOperation,
    loss_rule,
    norms_known,
    of_torch,
    widened,
)
from compare.agreement.rounding.running.analysis import carry_errors, exact, target_of
from compare.agreement.rounding.unit import norm, smallest_normal, unit_roundoff
from compare.agreement.trace import Trace, place
from compare.experiment.description import Experiment


def by_norm(experiment: Experiment) -> bool:
    """Whether the bounds are carried by norm, which costs next to nothing."""
    rule = loss_rule(experiment.loss.kind, experiment.loss.arguments)
    if preparation(experiment) != PREPARATION:
        return False
    return norms_known((layer.kind for layer in experiment.layers), rule, experiment.optimizer.kind)


def carried_bounds(experiment: Experiment, trace: Trace, state_before: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return for every tensor of the trace the bound on ||manual - reference||; 0 for data and parameters."""
    u, slack = unit_roundoff(experiment.training.dtype), smallest_normal(experiment.training.dtype)
    bounds = dict.fromkeys(trace, 0.0)
    carried = norms if by_norm(experiment) else running
    bounds |= carried(experiment, trace, state_before, u)
    # What underflow may do is added to everything that is computed at all. NaN: infinity times a zero, nothing known.
    added = {name: bounds[name] + slack * trace[name].size if bounds[name] else 0.0 for name in trace}
    return {name: math.inf if math.isnan(bound) else bound for name, bound in added.items()}


def averaging(experiment: Experiment, trace: Trace, u: float) -> Averaging:
    """Return what averaging over the reference's ranks adds: nothing for one."""
    return Averaging(experiment.training.world_size, len(trace["input"]), u)


def norms(experiment: Experiment, trace: Trace, state_before: Trace, u: float) -> dict[str, float]:
    """Return the bounds, carried from operation to operation by norm."""
    bounds = dict.fromkeys(trace, 0.0)
    operations = layer_operations(experiment, trace)
    bounds |= carry_forward(operations, u)
    last = f"{operations[-1].name}.output"
    loss, rule = loss_operation(experiment, trace), LOSS_RULES[experiment.loss.kind]
    bounds["loss"], gradient = rule.carry(loss, bounds[last], u)
    if f"{last}.grad" in trace:
        averaged = averaging(experiment, trace, u)
        bounds[f"{last}.grad"] = gradient + norm(averaged.first_delta(operations[-1].dy))
        carry_backward(operations, bounds, u)
        for op in operations:
            if op.grad_output is not None:
                bounds[f"{op.name}.output.grad"] += norm(averaged.recorded(op.dy))
                for key, extra in averaged.averaged(op).items():
                    bounds[f"{op.name}.{key}.grad"] += norm(extra)
    carry_updates(experiment, trace, state_before, bounds, u)
    return bounds


def running(experiment: Experiment, trace: Trace, state_before: Trace, u: float) -> dict[str, float]:
    """Return the bounds of a step run on numbers that carry their errors; infinity from where that is not possible."""
    bounds = {name: math.inf for name in trace if place(name).stage not in ("data", "parameters")}
    bounds |= {name: 0.0 for name in bounds if own_kind(name) == "drawn" or name.endswith(".step")}
    bounds |= {name: rate_error(experiment, state_before, trace[name]) for name in bounds if is_rate(name)}
    operations = layer_operations(experiment, trace)
    errors: dict[str, Any] = {}
    try:
        with np.errstate(all="ignore"):
            for name, result in run_bounded(experiment, trace, state_before, operations, u):
                errors[name] = result
    except TypeError:  # a user's layer that does not carry them: what has been found so far stands
        pass
    bounds |= {name: 2 * norm(result.error) for name, result in errors.items() if isinstance(result, Bounded)}
    return {name: bound for name, bound in bounds.items() if name in trace}


def is_rate(name: str) -> bool:
    """Whether a tensor is an optimizer's learning rate."""
    return name.endswith(".lr") and name.count(".") == 1


def run_bounded(
    experiment: Experiment, trace: Trace, state_before: Trace, operations: list[LayerOperation], u: float
) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of a step by name, as numbers that carry their errors. Raises TypeError where there is no rule.

    It is the right step, by manual's own classes, whatever stands in their places.
    """
    if any(":" in op.kind for op in operations):
        raise TypeError("A layer of the user's own may do anything.")
    layers = [carry_errors(op.layer(), u) for op in operations]
    x = exact(operations[0].x, u)
    for op, layer in zip(operations, layers, strict=True):
        x = layer.forward(x)
        yield f"{op.name}.output", x
        for key, buffer in getattr(layer, "buffers", {}).items():
            yield f"{op.name}.{key}.updated", buffer
    given = loss_operation(experiment, trace)
    loss, theirs = given.loss(), of_torch(given, u)
    yield "loss", widened(loss.forward(x, exact(target_of(given), u)), theirs["value"])
    averaged, gradients = averaging(experiment, trace, u), {}
    gradient = loss.backward()
    gradient = widened(gradient, averaged.first_delta(gradient.value) + theirs["gradient"])
    for op, layer in zip(reversed(operations), reversed(layers), strict=True):
        if op.grad_output is None:
            break
        yield f"{op.name}.output.grad", widened(gradient, averaged.recorded(gradient.value))
        gradient = layer.backward(gradient)
        for key, extra in averaged.averaged(op).items():
            gradients[f"{op.name}.{key}"] = widened(layer.gradients[key], extra)
            yield f"{op.name}.{key}.grad", gradients[f"{op.name}.{key}"]
    yield from run_update(experiment, trace, state_before, gradients, u)


def run_update(
    experiment: Experiment, trace: Trace, state_before: Trace, gradients: dict[str, Any], u: float
) -> Iterator[tuple[str, Any]]:
    """Yield the optimizer's state and the updated parameters, as numbers that carry their errors."""
    parameters = {name: exact(trace[name], u) for name in gradients}
    network = SimpleNamespace(parameters=parameters, gradients={name: gradients[name] for name in parameters})
    kind = experiment.optimizer.kind
    optimizer = getattr(manual, kind)(network, **experiment.optimizer.options(list(parameters)))
    resume(optimizer, state_before)
    optimizer.state = {
        key: array if key.endswith(".step") else exact(array, u) for key, array in optimizer.state.items()
    }
    optimizer.step()
    for key, value in optimizer.state.items():
        yield (f"{key.removesuffix('.accumulated')}.grad.accumulated", value) if key.endswith(".accumulated") else (
            f"{kind.lower()}.{key}", value
        )  # fmt: skip
    for name, clipped in optimizer.clipped.items():
        yield f"{name}.grad.clipped", clipped
    for name, parameter in parameters.items():
        yield f"{name}.updated", parameter


def carry_forward(operations: list[LayerOperation], u: float) -> dict[str, float]:
    """Return the bounds of the outputs."""
    bounds, error = {}, 0.0
    for op in operations:
        error = LAYER_RULES[op.kind].carry_forward(op, error, u)
        bounds[f"{op.name}.output"] = error
    return bounds


def carry_backward(operations: list[LayerOperation], bounds: dict[str, float], u: float) -> None:
    """Add the bounds of the output gradients and of the parameters' gradients."""
    for op, before in zip(reversed(operations), [*reversed(operations[:-1]), None], strict=True):
        if op.grad_output is None:
            return
        error_x = bounds[f"{before.name}.output"] if before else 0.0
        carried = LAYER_RULES[op.kind].carry_backward(op, error_x, bounds[f"{op.name}.output.grad"], u)
        for key, bound in carried.items():
            if key != "input":
                bounds[f"{op.name}.{key}.grad"] = bound
            elif before is not None and before.grad_output is not None:
                bounds[f"{before.name}.output.grad"] = bound


def carry_updates(
    experiment: Experiment, trace: Trace, state_before: Mapping[str, np.ndarray], bounds: dict[str, float], u: float
) -> None:
    """Add the bounds of the optimizer's state and of the updated parameters."""
    kind = experiment.optimizer.kind
    for op in update_operations(experiment, trace, state_before):
        state, bounds[f"{op.name}.updated"] = UPDATE_RULES[kind].carry(op, bounds[f"{op.name}.grad"], u)
        bounds.update({n: state for n in trace if n.startswith(f"{kind.lower()}.{op.name}.")})
