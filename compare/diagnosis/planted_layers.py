"""Layers, losses and batches with a mistake in them: what is right is computed, and one tensor of it replaced."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import manual
from compare.agreement.operations import one_hot_rows
from compare.diagnosis.planted import Batch, Planted
from compare.diagnosis.site import Neighbour, Site
from compare.experiment.description import Experiment
from compare.experiment.networks import Side


def batch_spoiler(planted: Planted, common: Mapping[str, Any]) -> Callable[[np.ndarray, np.ndarray], Batch]:
    """Return the function that spoils a batch."""

    def spoil(x: np.ndarray, target: np.ndarray) -> Batch:
        planted.calls += 1
        site = Site("batch", "Batch", x, {"input": x, "target": target}, target=target, **common)
        wrong = planted.make(site)
        return (wrong, target) if planted.mistake.key == "input" else (x, wrong)

    return spoil


class PlantedLayer:
    """A layer with a mistake in it."""

    def __init__(
        self,
        inner: Any,
        name: str,
        planted: Planted,
        network: manual.Network,
        experiment: Experiment,
        common: Mapping[str, Any],
    ):
        self.inner, self.name, self.planted, self.network, self.facts = inner, name, planted, network, common
        self.kinds = {layer.name: layer.kind for layer in experiment.layers}
        self.arguments = {layer.name: layer.arguments for layer in experiment.layers}
        self.gradients: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner layer's."""
        if name == "inner":
            raise AttributeError(name)  # while it is being copied, there is none yet
        return getattr(self.inner, name)

    @property
    def training(self) -> bool:
        """Whether the inner layer is in training."""
        return self.inner.training

    @training.setter
    def training(self, value: bool) -> None:
        self.inner.training = value

    @property
    def needs_input_gradient(self) -> bool:
        """Whether the gradient for the input is wanted: the inner layer's affair."""
        return getattr(self.inner, "needs_input_gradient", True)

    @needs_input_gradient.setter
    def needs_input_gradient(self, value: bool) -> None:
        self.inner.needs_input_gradient = value

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the inner layer's output, or a wrong one; or leave a wrong running statistic."""
        self.buffers_before = dict(getattr(self.inner, "buffers", {}))
        self.x, self.y = x, self.inner.forward(x)
        key, statistics = self.planted.mistake.key, getattr(self.inner, "buffers", {})
        if key not in {"output", *statistics} or not getattr(self.inner, "training", True):
            return self.y
        self.planted.calls += 1
        wrong = self.planted.make(self.site({"output": self.y, **statistics}, None))
        if key == "output":
            return wrong
        statistics[key] = wrong
        return self.y

    def backward(self, grad_output: np.ndarray) -> np.ndarray | None:
        """Return and fill in the inner layer's gradients, one of them wrong."""
        grad_input = self.inner.backward(grad_output)
        own = getattr(self.inner, "gradients", {})
        self.gradients = dict(own)
        key = self.planted.mistake.key
        if key not in {"input", *own}:
            return grad_input
        self.planted.calls += 1
        right = {**own, "output": self.y}
        if grad_input is not None:
            right["input"] = grad_input
        site = self.site(right, grad_output)
        wrong = self.planted.make(site)
        self.planted.before[self.name] = replace(
            site, right={k: np.array(v) for k, v in right.items()}, neighbours={}, previous=None
        )
        if key == "input":
            return wrong
        self.gradients[key] = wrong
        return grad_input

    def site(self, right: Mapping[str, np.ndarray], dy: np.ndarray | None) -> Site:
        """Return the site of this layer now."""
        names, outputs = list(self.network.layers), self.network.outputs
        inputs = [self.network.input, *outputs[:-1]] if outputs else []
        seen = {
            name: Neighbour(self.kinds[name], x, y)
            for name, x, y in zip(names, inputs, outputs, strict=True)
        } if dy is not None else {}  # fmt: skip
        position = names.index(self.name)
        preceding = seen.get(names[position - 1]) if position else None
        return Site(
            self.name, self.kinds[self.name], self.x, right, y=self.y, dy=dy, neighbours=seen,
            parameters=getattr(self.inner, "parameters", {}), arguments=self.arguments[self.name],
            buffers=self.buffers_before, drawn=dict(getattr(self.inner, "drawn", {})),
            preceding=(preceding.x, preceding.y) if preceding else None, **self.facts,
        )  # fmt: skip


class InPlaceLayer:
    """A layer that halves its input in place once it has used it."""

    def __init__(self, inner: Any):
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner layer's."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the inner layer's output; spoil x."""
        y = self.inner.forward(x)
        x *= 0.5
        return y

    def backward(self, grad_output: np.ndarray) -> Any:
        """Return the inner layer's."""
        return self.inner.backward(grad_output)


class PlantedLoss:
    """A loss with a mistake in it."""

    def __init__(self, inner: Any, planted: Planted, side: Side, experiment: Experiment, common: Mapping[str, Any]):
        self.inner, self.planted, self.side, self.experiment, self.common = inner, planted, side, experiment, common

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the inner loss, or a wrong one."""
        self.prediction, self.target = prediction, target
        value = np.asarray(self.inner.forward(prediction, target))
        if self.planted.mistake.key != "value":
            return value
        return self.make({"value": value}).astype(value.dtype)

    def backward(self) -> np.ndarray:
        """Return the inner gradient, or a wrong one."""
        gradient = self.inner.backward()
        return gradient if self.planted.mistake.key != "gradient" else self.make({"gradient": gradient})

    def make(self, right: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the wrong tensor."""
        self.planted.calls += 1
        labels = self.target if np.issubdtype(self.target.dtype, np.integer) else None
        rows = self.target
        if labels is not None:
            rows = one_hot_rows(labels, self.prediction.shape).astype(self.prediction.dtype)
        site = Site(
            "loss", type(self.inner).__name__, self.prediction, right, target=rows, labels=labels,
            arguments=self.experiment.loss.arguments,
            loss_after_update=self.loss_after_update, **self.common,
        )  # fmt: skip
        return self.planted.make(site)

    def loss_after_update(self) -> float:
        """Return the loss of this batch after the update that is to come, on copies of everything."""
        own, optimizer = self.side.network, self.experiment.optimizer
        network = manual.Network(copy.deepcopy(own.layers), copy.deepcopy(self.inner), own.parameters)
        network.loss(own.input, self.target)
        network.backward()
        step = getattr(manual, optimizer.kind)(network, **optimizer.options(list(own.parameters)))
        step.state, step.micro = copy.deepcopy(self.side.optimizer.state), self.side.optimizer.micro
        step.step()
        return network.loss(own.input, self.target)
