"""The operation audit: every operation of the manual pass alone, on the inputs it really had, against autograd.

Nothing is inherited from earlier layers, so a breach names the guilty operation. What is allowed is, element by
element, the operation's own rounding bound in the network's dtype plus that of the reference in float64.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import reference
from compare.agreement.operations import (
    MICRO,
    layer_operations,
    loss_operation,
    preparation,
    update_operations,
    updated_parameters,
    updates_now,
    widened,
)
from compare.agreement.rates import rate_error
from compare.agreement.rounding import Averaging, LayerOperation, layer_rule, loss_rule, of_torch, update_rule
from compare.agreement.rounding.running.analysis import clipping_errors
from compare.agreement.rounding.unit import gamma, smallest_normal, unit_roundoff
from compare.agreement.trace import Place, Trace
from compare.experiment.description import Experiment

STEP = Place("update", "optimizer.step")


@dataclass(frozen=True)
class Check:
    """One tensor of one operation, held against autograd: the element with the largest error against its bound."""

    tensor: str
    place: Place
    used: float  # error / bound at that element: a breach beyond 1
    index: tuple[int, ...]
    manual: float
    reference: float
    bound: float
    power: float  # the smallest relative mistake of the whole tensor that would have been a breach
    zeros: float  # the share of elements that are exactly 0 on both sides: there nothing can be caught
    bound_kind: str = "derived"  # from the rule beside its derivation; "measured" on a user's layer

    @property
    def agrees(self) -> bool:
        """Whether every element lies within its bound. NaN does not."""
        return self.used <= 1


class Audit:
    """The audit of an experiment's steps."""

    def __init__(self, experiment: Experiment, layers: Mapping[str, Any], dtype: str = "float64", ranks: int = 1):
        """`layers` are the manual side's, by name: a user's own is asked for its rounding.

        `dtype` is what autograd computes in. The steps of the reference are audited in the network's own: there the
        rounding of torch's kernels, of which nothing is derived here, is the same on both sides. `ranks` is how many
        processes took the steps that are audited.
        """
        self.ranks = ranks
        self.experiment, self.dtype = experiment, np.dtype(dtype)
        self.u, self.u_reference = unit_roundoff(experiment.training.dtype), unit_roundoff(dtype)
        self.underflow = smallest_normal(experiment.training.dtype)
        self.layers = {
            x.name: reference.LayerOracle(x.reference or x.kind, dict(x.arguments)) for x in experiment.layers
        }
        self.rules = {x.name: layer_rule(x.kind, layers.get(x.name)) for x in experiment.layers}
        self.loss = reference.LossOracle(experiment.loss.kind, dict(experiment.loss.arguments))
        self.loss_rule = loss_rule(experiment.loss.kind, experiment.loss.arguments)

    def __call__(self, trace: Trace, state_before: Mapping[str, np.ndarray]) -> list[Check]:
        """Return a check for every tensor that the step computed, in the order of the trace."""
        checks = {check.tensor: check for check in self.checks(trace, state_before)}
        return [checks[name] for name in trace if name in checks]

    def checks(self, trace: Trace, state_before: Mapping[str, np.ndarray]) -> Iterator[Check]:
        """Yield the checks, operation by operation."""
        operations = layer_operations(self.experiment, trace)
        before = dict(zip([op.name for op in operations[1:]], [op.name for op in operations], strict=False))
        for op in operations:
            yield from self.check_layer(op, trace, before.get(op.name))
        yield from self.check_loss(trace)
        yield from self.check_updates(trace, state_before)

    def check_layer(self, op: LayerOperation, trace: Trace, before: str | None) -> Iterator[Check]:
        """Yield the checks of a layer's forward and, where the gradient reaches it, backward pass."""
        rule = self.rules[op.name]
        given = self.given({"x": op.x} | ({} if op.grad_output is None else {"dy": op.grad_output}))
        output, gradients, buffers = self.layers[op.name].differentiate(
            given["x"], self.given(op.parameters), given.get("dy"), self.given(op.buffers), op.drawn
        )
        allowed = self.with_averaging(op, gradients, self.allowed(rule.bounds(op, self.u)), len(trace["input"]))
        forward, backward = Place("forward", f"{op.name}.forward"), Place("backward", f"{op.name}.backward")
        yield self.compare(f"{op.name}.output", forward, trace, output, allowed["output"], rule.bound_kind)
        for key, buffer in buffers.items():
            bound = allowed.get(key, np.zeros(buffer.shape))
            yield self.compare(f"{op.name}.{key}.updated", forward, trace, buffer, bound, rule.bound_kind)
        for key, gradient in gradients.items():
            tensor = f"{before}.output.grad" if key == "input" else f"{op.name}.{key}.grad"
            if tensor in trace:  # the first layer gives no gradient for its input
                yield self.compare(tensor, backward, trace, gradient, allowed[key], rule.bound_kind)

    def given(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the arrays as autograd takes them: those of floats in its dtype."""
        return {key: a.astype(self.dtype) if a.dtype.kind == "f" else a for key, a in arrays.items()}

    def allowed(self, bounds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what an operation's results may differ by: its own rounding, and that of autograd in its dtype.

        The latter is as much smaller as its unit roundoff: bounds grow at least in proportion to u.
        """
        return {key: bound * (1 + self.u_reference / self.u) for key, bound in bounds.items()}

    def with_averaging(
        self, op: LayerOperation, gradients: Mapping[str, np.ndarray], allowed: dict[str, np.ndarray], examples: int
    ) -> dict[str, np.ndarray]:
        """Return what a layer's gradients may differ by where several ranks computed them.

        Unless all factors are powers of two, the recorded gradient of the output is one rounding off what the backward
        pass was given. That changes every term by less than u, which is less than the term's own roundings, so by no
        more than is allowed already; a term without any is copied, where the third rounding of each share has room for
        it. The recorded gradient for the input is rounded likewise, and the averaged ones as `averaging` derives.
        """
        averaging = Averaging(self.ranks, examples, self.u)
        if averaging.exact or not gradients:
            return allowed
        extra = {key: gamma(3, self.u) * size for key, size in averaging.shares(op).items()}
        if "input" in gradients:
            extra["input"] = averaging.recorded(gradients["input"])
        return {key: 2 * bound + extra[key] if key in extra else bound for key, bound in allowed.items()}

    def check_loss(self, trace: Trace) -> Iterator[Check]:
        """Yield the checks of the loss and of the first delta."""
        op, rule = loss_operation(self.experiment, trace), self.loss_rule
        given = self.given({"prediction": op.prediction, "target": op.target if op.given is None else op.given})
        value, gradient = self.loss.differentiate(given["prediction"], given["target"])
        bounds = {"value": np.asarray(rule.forward(op, self.u)), "gradient": rule.backward(op, self.u)}
        averaging = Averaging(self.ranks, len(trace["input"]), self.u)
        bounds["gradient"] = bounds["gradient"] + averaging.first_delta(gradient) + averaging.recorded(gradient)
        theirs = of_torch(op, self.u_reference)
        allowed = {key: bound + theirs[key] for key, bound in self.allowed(bounds).items()}
        yield self.compare("loss", Place("loss", "loss.forward"), trace, np.asarray(value), allowed["value"])
        last, delta = self.experiment.layers[-1].name, Place("backward", "loss.backward")
        yield self.compare(f"{last}.output.grad", delta, trace, gradient, allowed["gradient"])

    def check_updates(self, trace: Trace, state_before: Mapping[str, np.ndarray]) -> Iterator[Check]:
        """Yield the checks of the optimizer's state and of the updated parameters."""
        yield from self.check_preparation(trace, state_before)
        kind = self.experiment.optimizer.kind
        rule = update_rule(kind)
        for op in update_operations(self.experiment, trace, state_before):
            given = self.given({"parameter": op.parameter, "gradient": op.gradient})
            updated, state = reference.update(kind, op.options, **given, state=self.given(op.state))
            allowed = self.allowed({**rule.state(op, self.u), "updated": rule.updated(op, self.u)})
            for key, value in state.items():
                yield self.compare(f"{kind.lower()}.{op.name}.{key}", STEP, trace, value, allowed[key])
            yield self.compare(f"{op.name}.updated", STEP, trace, updated, allowed["updated"])
        if not updates_now(self.experiment, state_before):  # a step that only accumulates leaves them as they are
            for name in updated_parameters(trace):
                unchanged = widened(trace[name])
                yield self.compare(f"{name}.updated", STEP, trace, unchanged, np.zeros(unchanged.shape))

    def check_preparation(self, trace: Trace, state_before: Mapping[str, np.ndarray]) -> Iterator[Check]:
        """Yield the checks of what an optimizer does before its rule: gathering, clipping, setting the rate."""
        options, micro = preparation(self.experiment), int(state_before.get(MICRO, 0))
        k = options["accumulate"]
        gathered = {name: widened(trace[f"{name}.grad"]) for name in updated_parameters(trace)}
        if k > 1:
            for name, gradient in gathered.items():
                before = widened(state_before[f"{name}.accumulated"]) if micro % k else np.zeros(gradient.shape)
                allowed = 2 * gamma(3, self.u) * (np.abs(before) + np.abs(gradient) / k)
                total = before + gradient / k
                yield self.compare(f"{name}.grad.accumulated", STEP, trace, total, allowed)
            gathered = {name: widened(trace[f"{name}.grad.accumulated"]) for name in gathered}
        if any(f"{name}.grad.clipped" in trace for name in gathered):
            clipped = reference.clip(
                self.given(gathered), options["max_norm"], options["norm_type"], options["clip_value"]
            )
            bounds = self.allowed(clipping_errors(gathered, options, self.u))
            for name, gradient in clipped.items():
                yield self.compare(f"{name}.grad.clipped", STEP, trace, gradient, bounds[name])
        rate = f"{self.experiment.optimizer.kind.lower()}.lr"
        if rate in trace:
            wanted = np.asarray(reference.rate(options["schedule"], self.experiment.optimizer.lr, micro // k))
            allowed = np.asarray(rate_error(self.experiment, state_before, wanted))
            yield self.compare(rate, STEP, trace, wanted, allowed)

    def compare(
        self, tensor: str, place: Place, trace: Trace, wanted: np.ndarray, allowed: np.ndarray, kind: str = "derived"
    ) -> Check:
        """Return the check of a recorded tensor against the reference's value and the allowed error."""
        found = np.asarray(trace[tensor], np.float64)
        allowed = allowed + self.underflow
        with np.errstate(invalid="ignore"):  # an unlimited difference of what may differ without limit says nothing
            used = np.abs(found - wanted) / allowed
        size = np.abs(wanted)
        power = float(np.min(np.divide(allowed, size, out=np.full(size.shape, np.inf), where=size > 0)))
        zeros = float(np.mean((found == 0) & (wanted == 0)))
        worst = np.unravel_index(np.argmax(np.where(np.isnan(used), np.inf, used)), used.shape)
        return Check(
            tensor, place, float(used[worst]), tuple(int(i) for i in worst),
            float(found[worst]), float(wanted[worst]), float(allowed[worst]), power, zeros, kind,
        )  # fmt: skip
