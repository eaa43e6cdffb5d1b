"""The carried bound: how far two correct networks may differ at any tensor of a step, end to end, by norm.

Both start the step from identical parameters, state and data, bit for bit. From there each operation adds its own
rounding, on both sides, and carries on the difference that reaches it:

    e(y) <= carry_forward(e(x))         and likewise backward, each with the rounding that both sides add.

The bound is rigorous up to terms of second order in u, and wide: norms forget that errors have signs and places. It
decides where no operation is in breach by itself: a larger difference means a fault between the operations.
"""

import math
from collections.abc import Mapping

import numpy as np

from compare.agreement.operations import layer_operations, loss_operation, update_operations
from compare.agreement.rounding import LOSS_RULES, UPDATE_RULES, LayerOperation, layer_rule
from compare.agreement.rounding.unit import smallest_normal, unit_roundoff
from compare.agreement.trace import Trace
from compare.experiment.description import Experiment


def carried_bounds(experiment: Experiment, trace: Trace, state_before: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return for every tensor of the trace the bound on ||manual - reference||; 0 for data and parameters."""
    u, slack = unit_roundoff(experiment.training.dtype), smallest_normal(experiment.training.dtype)
    bounds = dict.fromkeys(trace, 0.0)
    operations = layer_operations(experiment, trace)
    bounds |= carry_forward(operations, u)
    last = f"{operations[-1].name}.output"
    loss, rule = loss_operation(experiment, trace), LOSS_RULES[experiment.loss.kind]
    bounds["loss"], gradient = rule.carry(loss, bounds[last], u)
    if f"{last}.grad" in trace:
        bounds[f"{last}.grad"] = gradient
        carry_backward(operations, bounds, u)
    carry_updates(experiment, trace, state_before, bounds, u)
    # What underflow may do is added to everything that is computed at all. NaN: infinity times a zero, nothing known.
    added = {name: bounds[name] + slack * trace[name].size if bounds[name] else 0.0 for name in trace}
    return {name: math.inf if math.isnan(bound) else bound for name, bound in added.items()}


def carry_forward(operations: list[LayerOperation], u: float) -> dict[str, float]:
    """Return the bounds of the outputs."""
    bounds, error = {}, 0.0
    for op in operations:
        error = layer_rule(op.kind).carry_forward(op, error, u)
        bounds[f"{op.name}.output"] = error
    return bounds


def carry_backward(operations: list[LayerOperation], bounds: dict[str, float], u: float) -> None:
    """Add the bounds of the output gradients and of the parameters' gradients."""
    for op, before in zip(reversed(operations), [*reversed(operations[:-1]), None], strict=True):
        if op.grad_output is None:
            return
        error_x = bounds[f"{before.name}.output"] if before else 0.0
        carried = layer_rule(op.kind).carry_backward(op, error_x, bounds[f"{op.name}.output.grad"], u)
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
