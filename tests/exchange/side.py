"""Manual's own network as a port: it knows an export by its files, takes the steps, and can be spoiled by hand."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compare.experiment.files import from_document
from compare.experiment.networks import Side, build_manual
from tests.exchange.port import Steps, raw

Spoil = Callable[[Side], None]


def train(folder: Path, spoil: Spoil | None = None) -> Steps:
    """Return every named tensor of every step that the export asks for; `spoil` puts a mistake into the side."""
    document = json.loads((folder / "architecture.json").read_text())
    initial, given = raw(folder)
    names = [p["name"] for layer in document["layers"] for p in layer["parameters"]]
    side = build_manual(from_document(document["experiment"], "export"), {name: initial[name] for name in names})
    for name in initial.keys() - set(names):
        owner, _, key = name.partition(".")
        side.network.layers[owner].buffers[key] = initial[name].copy()
    if spoil:
        spoil(side)
    steps: Steps = {}
    for step in range(1, document["steps"] + 1):
        tensors = {name: array for (number, name), array in given.items() if number == step}
        use_masks(side.network.layers, tensors)
        side.network.loss(tensors["input"], tensors["target"])
        side.network.backward()
        side.optimizer.step()
        steps[step] = {name: np.array(array) for name, array in side.network.trace().items()}
    return steps


def use_masks(layers: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Give the layers the masks of a step."""
    for name, layer in layers.items():
        own = {k.removeprefix(f"{name}."): mask for k, mask in tensors.items() if k.startswith(f"{name}.")}
        if own:
            layer.replay(own)


class Wrong:
    """A layer that is asked last: what it is made with replaces methods of the right layer."""

    def __init__(self, inner: Any, **methods: Callable[..., Any]):
        self.inner, self.methods = inner, methods

    def __getattr__(self, name: str) -> Any:
        """The inner layer's, unless it has been replaced."""
        if name in ("inner", "methods"):
            raise AttributeError(name)
        method = self.methods.get(name)
        return (lambda *given: method(self.inner, *given)) if method else getattr(self.inner, name)
