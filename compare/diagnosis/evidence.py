"""The evidence of a failing step: what was recorded of it, and the sites that can be rebuilt from that."""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import manual
import reference
from compare.agreement.operations import (
    MICRO,
    layer_operations,
    loss_operation,
    one_hot_rows,
    preparation,
    restore,
    update_operations,
    updated_parameters,
    widened,
)
from compare.agreement.rounding import LayerOperation, UpdateOperation
from compare.agreement.trace import Trace
from compare.diagnosis.preparation import preparation_sites
from compare.diagnosis.site import Neighbour, Site
from compare.experiment.description import Experiment
from manual.optimizers import OPTIONS


@dataclass(frozen=True)
class Evidence:
    """A recorded step: both traces, the optimizer's state before it, which tensors agreed, and the step before."""

    experiment: Experiment
    manual: Trace
    reference: Trace
    state_before: Trace = field(default_factory=dict)
    agreed: frozenset[str] = frozenset()
    classes: int = 0
    previous: "Evidence | None" = None

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self.experiment.optimizer.lr

    @property
    def common(self) -> dict[str, Any]:
        """What every site knows."""
        return {"lr": self.lr, "nominal": self.experiment.training.batch_size, "classes": self.classes}

    @functools.cached_property
    def sites(self) -> dict[str, Site]:
        """The sites of all operations by name: batch, layers, loss, parameters; in float64."""
        updated = updated_parameters(self.manual)
        layers = [layer.name for layer in self.experiment.layers]
        found = {name: self.site(name) for name in ("batch", *layers, "loss", *updated)} | self.preparations
        return {name: site for name, site in found.items() if site is not None}

    def site(self, name: str) -> Site | None:
        """Return the site of one operation; None if the step did not come to it."""
        if name == "batch":
            return self.batch_site()
        if name == "loss":
            return self.loss_site()
        for position, op in enumerate(self.operations):
            if op.name == name:
                return self.layer_site(op, self.operations[position - 1] if position else None)
        return self.update_site(name)

    @functools.cached_property
    def operations(self) -> list[LayerOperation]:
        """The layers' operations, in forward order."""
        return layer_operations(self.experiment, self.manual)

    @functools.cached_property
    def updates(self) -> dict[str, UpdateOperation]:
        """The parameters' updates, by name."""
        return {op.name: op for op in update_operations(self.experiment, self.manual, self.state_before)}

    def batch_site(self) -> Site:
        """Return the site of the batch: right is what the reference was given."""
        x, target = widened(self.reference["input"]), self.reference["target"]
        return Site("batch", "Batch", x, {"input": x, "target": target}, target=target, **self.common)

    def layer_site(self, op: LayerOperation, preceding: LayerOperation | None) -> Site:
        """Return a layer's site, with what manual's own layer makes of its inputs."""
        previous = self.previous.site(op.name) if self.previous else None
        right = self.right_results(op)
        below = f"{preceding.name}." if preceding else "-"
        gradients = [n for n in self.manual if n.startswith(below) and n.endswith(".grad") and ".output." not in n]
        return Site(
            op.name, op.kind, op.x, right, y=op.y, dy=op.grad_output, parameters=op.parameters, previous=previous,
            neighbours={other.name: Neighbour(other.kind, other.x, other.y) for other in self.operations},
            preceding=(preceding.x, preceding.y) if preceding else None,
            parameters_agree=bool(gradients) and self.agreed.issuperset(gradients), arguments=op.arguments,
            buffers=op.buffers, drawn=op.drawn, **self.common,
        )  # fmt: skip

    def right_results(self, op: LayerOperation) -> dict[str, np.ndarray]:
        """Return what manual's own layer makes of the inputs; for a user's layer, what autograd makes of them."""
        if ":" in op.kind:
            described = next(x for x in self.experiment.layers if x.name == op.name)
            oracle = reference.LayerOracle(described.reference, dict(op.arguments))
            output, gradients, _ = oracle.differentiate(op.x, op.parameters, op.grad_output)
            return {"output": output, **gradients}
        layer = op.layer()
        right = {"output": layer.forward(op.x), **{key: layer.buffers[key] for key in op.buffers}}
        if op.grad_output is not None:
            gradient = layer.backward(op.grad_output)
            right |= {} if gradient is None else {"input": gradient}
            right |= getattr(layer, "gradients", {})
        return right

    def loss_site(self) -> Site:
        """Return the loss's site."""
        op = loss_operation(self.experiment, self.manual)
        loss = op.loss()
        value = np.asarray(loss.forward(op.prediction, op.target if op.given is None else op.given))
        recorded = self.manual["target"]
        labels = recorded if np.issubdtype(recorded.dtype, np.integer) else None
        rows = op.target if labels is None else one_hot_rows(labels, op.prediction.shape)
        updated = any(name.endswith(".updated") for name in self.manual)
        return Site(
            "loss", op.kind, op.prediction, {"value": value, "gradient": loss.backward()}, target=rows, labels=labels,
            arguments=op.arguments,
            loss_after_update=self.loss_after_update if updated else None, **self.common,
        )  # fmt: skip

    def loss_after_update(self) -> float:
        """Return the loss of the step's batch with the updated parameters."""
        layers = {x.name: x.build() for x in self.experiment.layers}
        loss = getattr(manual, self.experiment.loss.kind)(**self.experiment.loss.arguments)
        updated = {name: widened(self.manual[f"{name}.updated"]) for name in updated_parameters(self.manual)}
        network = manual.Network(layers, loss, updated)
        restore(network.layers, self.manual)
        return network.loss(widened(self.manual["input"]), widened(self.manual["target"]))

    def gradient(self, name: str) -> np.ndarray | None:
        """Return the gradient of a parameter, computed anew: None if the step did not come to it."""
        layer, _, key = name.rpartition(".")
        site = self.site(layer)
        return None if site is None else site.right.get(key)

    def update_site(self, name: str) -> Site | None:
        """Return the site of a parameter's update."""
        if name not in self.updates:
            return self.preparations.get(name)
        op = self.updates[name]
        optimizer = self.experiment.optimizer
        updated, state = reference.update(optimizer.kind, op.options, op.parameter, op.gradient, op.state)
        right, options = {"updated": updated, **state}, {**OPTIONS[optimizer.kind], **op.options}
        options |= {"decay_of_weights": optimizer.weight_decay}
        before = self.previous.gradient(name) if self.previous else None
        previous = None if before is None else Site(name, "", op.parameter, {}, dy=before)
        return Site(
            name, optimizer.kind, op.parameter, right, dy=op.gradient, state=op.state, options=options,
            previous=previous, **{**self.common, "lr": op.options["lr"]},
        )  # fmt: skip

    @functools.cached_property
    def preparations(self) -> dict[str, Site]:
        """The sites of what the optimizer does before its rule, by name."""
        optimizer, options = self.experiment.optimizer, preparation(self.experiment)
        names = updated_parameters(self.manual)
        schedule = options["schedule"] and manual.build_schedule(options["schedule"])
        gathered, before = (
            {name: widened(trace[key]) for name in names if (key := f"{name}.{suffix}") in trace}
            for trace, suffix in ((self.manual, "grad.accumulated"), (self.state_before, "accumulated"))
        )
        return preparation_sites(
            optimizer.kind.lower(), self.lr, schedule, options, int(self.state_before.get(MICRO, 0)),
            {name: widened(self.manual[f"{name}.grad"]) for name in names}, gathered, before, self.common,
        )  # fmt: skip


def is_preparation(tensor: str) -> bool:
    """Whether a tensor is made by an optimizer before its rule: a gradient gathered or clipped, the learning rate."""
    return tensor.endswith((".grad.accumulated", ".grad.clipped")) or (
        tensor.endswith(".lr") and tensor.count(".") == 1
    )


def locate(tensor: str, operation: str, layers: list[str]) -> tuple[str, str]:
    """Return the site's name and the key of the tensor in it, for a tensor made by an operation."""
    if operation == "batch":
        return "batch", tensor
    owner = operation.rpartition(".")[0]
    if owner == "loss":
        return "loss", "value" if tensor == "loss" else "gradient"
    if operation == "optimizer.step":
        if is_preparation(tensor):
            return tensor, tensor.rpartition(".")[2]
        if tensor.endswith(".updated"):
            return tensor.removesuffix(".updated"), "updated"
        _, _, rest = tensor.partition(".")  # the optimizer's name
        parameter, _, key = rest.rpartition(".")
        return parameter, key
    if tensor == f"{owner}.output":
        return owner, "output"
    if tensor.startswith(f"{owner}.") and owner in layers:
        return owner, tensor.removeprefix(f"{owner}.").removesuffix(".grad").removesuffix(".updated")
    return owner, "input"
