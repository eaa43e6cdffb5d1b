"""A network: named layers in order, a loss at the end. The data walks through forward; the gradient walks back."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from manual.checks import Array, is_floating, require_dtype, require_floating, require_shape
from manual.trace import Trace


class Layer(Protocol):
    """What a layer is: anything with these two methods.

    A layer with weights also has two dicts, `parameters` and `gradients`, of equal keys and shapes. One that keeps
    statistics has a dict `buffers`, and one that behaves otherwise in evaluation an attribute `training`. One that
    draws at random leaves what it drew in a dict `drawn`, and draws that again after `replay(drawn)`.
    """

    def forward(self, x: Any, /) -> Any: ...  # noqa: D102
    def backward(self, grad_output: Any, /) -> Any: ...  # noqa: D102


class LossFunction(Protocol):
    """What a loss is: a number forward, the gradient for the predictions backward."""

    def forward(self, prediction: Any, target: Any, /) -> Any: ...  # noqa: D102
    def backward(self) -> Any: ...  # noqa: D102


class Optimizer(Protocol):
    """What the trace needs of an optimizer that has just stepped."""

    previous: dict[str, Array]
    keeps_previous: bool

    def trace(self) -> dict[str, Array]: ...  # noqa: D102


Layers = Sequence[Layer] | Mapping[str, Layer]


def parameters_of(layer: Layer) -> dict[str, Array]:
    """Return the layer's own dict of weights; an empty one for a layer without."""
    return getattr(layer, "parameters", {})


def tensors_of(layers: Mapping[str, Layer], kind: str) -> dict[str, Array]:
    """Return the layers' `parameters`, `buffers` or `drawn` by their full names, "linear1.weight"."""
    return {f"{name}.{key}": array for name, layer in layers.items() for key, array in getattr(layer, kind, {}).items()}


def parameter_gradient(name: str, layer: Layer, key: str, shape: tuple[int, ...]) -> Array:
    """Return what the layer's backward pass left for its parameter `key`; raise ValueError if it is not of `shape`."""
    gradient = getattr(layer, "gradients", {}).get(key)
    if gradient is None:
        raise ValueError(
            f"The backward pass of {name} has to leave dC/d({key}) in gradients['{key}']; it is not there."
        )
    if gradient.shape != shape:
        require_shape(f"{name}.{key}.grad", gradient, shape)
    return gradient


def name_layers(layers: Layers) -> dict[str, Layer]:
    """Return the layers by name: the names given, or made from the classes in order: linear1, sigmoid1, linear2, ...

    Raises ValueError if there is no layer, or one object stands in two places (it can keep only one forward pass).
    """
    named: dict[str, Layer] = {}
    if isinstance(layers, Mapping):
        named.update(layers)
    else:
        counts: dict[str, int] = {}
        for layer in layers:
            kind = type(layer).__name__.lower()
            counts[kind] = counts.get(kind, 0) + 1
            named[f"{kind}{counts[kind]}"] = layer
    if not named:
        raise ValueError("A network needs at least one layer; the list of layers is empty.")
    places: dict[int, str] = {}
    for name, layer in named.items():
        if id(layer) in places:
            raise ValueError(
                f"{places[id(layer)]} and {name} are the same object; a layer can stand in one place only."
            )
        places[id(layer)] = name
    return named


def fit(layers: Mapping[str, Layer], input_shape: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
    """Return the shape of one example's output; raise ValueError naming both layers where shapes do not fit.

    `input_shape` is the shape of one example (None: not known). A layer without `output_shape` ends what is known.
    Without it only the last dimension may be known: a layer with `whole_shape` is then told nothing.
    """
    shape, before, whole = input_shape, "input", input_shape is not None
    for name, layer in layers.items():
        output_shape = getattr(layer, "output_shape", None)
        known = shape if whole or not getattr(layer, "whole_shape", False) else None
        try:
            following = output_shape(known) if output_shape else None
        except ValueError as wants:
            raise ValueError(f"{before} gives {describe(shape)} an example, but {name} {wants}.") from None
        shape, before = following, name
    return shape


def describe(shape: tuple[int, ...] | None) -> str:
    """Return an example's shape in words: `30 values`, or `values of shape (1, 28, 28)`."""
    return f"{shape[0]} values" if shape is not None and len(shape) == 1 else f"values of shape {shape}"


class Network:
    """Layers in order and a loss, with the backward pass of each derived by hand.

    `parameters` are the network's weights by name ("linear1.weight"), a dict of arrays that optimizers update in
    place. Given to the constructor they are copied, and all of one floating dtype, in which everything is computed;
    without them the layers keep what they were made with.
    """

    def __init__(self, layers: Layers, loss: LossFunction, parameters: Mapping[str, Any] | None = None):
        """Raise ValueError or TypeError, naming the tensor, where layers or parameters do not fit."""
        self.layers = name_layers(layers)
        fit(self.layers)
        self.loss_function = loss
        if parameters is not None:
            self.copy_in(parameters)
        self.parameters = tensors_of(self.layers, "parameters")
        dtypes = {name: array.dtype for name, array in self.parameters.items()}
        if len(set(dtypes.values())) > 1:
            raise TypeError(f"The parameters are of several dtypes; wanted one: {dtypes}.")
        self.dtype = next(iter(dtypes.values()), None)
        for layer in self.layers.values():
            for key, array in list(getattr(layer, "buffers", {}).items()):
                layer.buffers[key] = array.astype(self.dtype) if is_floating(array) else array  # pyright: ignore[reportAttributeAccessIssue]
        self.outputs: list[Array] = []  # of the last step, one a layer
        self.buffers_before = self.buffers
        self.has_buffers = bool(self.buffers_before)
        self.output_gradients: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.updated_by: Optimizer | None = None
        self.backward_is_possible = False

        # The gradient walks back to the first layer with weights; below it nobody would read it.
        self.first_trainable = next((n for n, layer in self.layers.items() if parameters_of(layer)), None)
        for name, layer in self.layers.items():
            if hasattr(layer, "needs_input_gradient"):
                layer.needs_input_gradient = name != self.first_trainable  # pyright: ignore[reportAttributeAccessIssue]

    def copy_in(self, parameters: Mapping[str, Any]) -> None:
        """Copy `parameters` (name -> array) into the layers: exactly the names and shapes that the layers have.

        For the constructor: afterwards write into the arrays of `parameters`.
        """
        wanted = {f"{name}.{key}": (layer, key) for name, layer in self.layers.items() for key in parameters_of(layer)}
        if parameters.keys() != wanted.keys():
            missing, unknown = sorted(wanted.keys() - parameters.keys()), sorted(parameters.keys() - wanted.keys())
            raise ValueError(f"The parameters do not match the layers: missing {missing}, unknown {unknown}.")
        for name, (layer, key) in wanted.items():
            array = np.array(parameters[name], order="C")
            require_floating(name, array)
            require_shape(name, array, parameters_of(layer)[key].shape)
            parameters_of(layer)[key] = array

    @property
    def buffers(self) -> dict[str, Array]:
        """What the layers keep besides weights, by name: running statistics."""
        return tensors_of(self.layers, "buffers")

    @property
    def modes(self) -> list[tuple[Any, bool]]:
        """The layers that behave otherwise in evaluation, each with whether it is in training."""
        return [(layer, layer.training) for layer in self.layers.values() if hasattr(layer, "training")]  # pyright: ignore[reportAttributeAccessIssue]

    def predict(self, x: Any) -> Array:
        """Return the last layer's output (N, K) for the inputs x (N, ...), in evaluation: no dropout, no statistics."""
        x = self.entry(x)
        self.backward_is_possible = False  # the layers now hold this forward pass, not the loss's
        modes = self.modes
        for layer, _ in modes:
            layer.training = False
        try:
            return self.forward(x)[-1]
        finally:
            for layer, training in modes:
                layer.training = training

    def loss(self, x: Any, target: Any) -> float:
        """Run the forward pass; return the loss of the batch.

        x is (N, ...); target (N,) integer labels, or (N, K) arrays. Raises ValueError or TypeError for a shape, dtype
        or label that does not fit.
        """
        x, target = self.entry(x), np.asarray(target)
        if is_floating(target):
            require_dtype("target", target, x.dtype)
        self.outputs, self.backward_is_possible = [], False  # until this pass stands: an error may end it halfway
        self.input, self.target = x, target
        self.output_gradients, self.gradients, self.updated_by = {}, {}, None
        self.buffers_before = self.buffers if self.has_buffers else {}
        outputs = self.forward(x)
        self.value = np.asarray(self.loss_function.forward(outputs[-1], target))
        self.outputs, self.backward_is_possible = outputs, True
        return self.value.item()

    def entry(self, x: Any) -> Array:
        """Return x as an array of the network's dtype, or raise: nothing is converted silently."""
        x = np.asarray(x)
        if not getattr(next(iter(self.layers.values())), "takes_indices", False):
            require_floating("input", x)
            if self.dtype is not None:
                require_dtype("input", x, self.dtype)
        if x.ndim < 2 or len(x) == 0:
            raise ValueError(f"input has shape {x.shape}; wanted a batch of at least one example, shape (N, ...).")
        return x

    def forward(self, x: Array) -> list[Array]:
        """Walk through the layers; return every layer's output, in order."""
        outputs = []
        for layer in self.layers.values():
            x = layer.forward(x)
            outputs.append(x)
        return outputs

    def backward(self) -> dict[str, Array]:
        """Run the backward pass of the last loss (249); return dC/d(parameter) for every parameter, by name."""
        if not self.backward_is_possible:
            raise RuntimeError("backward needs the forward pass of a loss: call network.loss(x, target) right before.")
        gradients: dict[str, Array] = dict.fromkeys(self.parameters)  # pyright: ignore[reportAssignmentType] - all are
        gradient = self.loss_function.backward()
        for name, layer in reversed(self.layers.items()):
            self.output_gradients[name] = gradient
            gradient = layer.backward(gradient)
            for key, parameter in parameters_of(layer).items():
                gradients[f"{name}.{key}"] = parameter_gradient(name, layer, key, parameter.shape)
            if name == self.first_trainable:
                break
        self.gradients = gradients
        return gradients

    def trace(self) -> Trace:
        """Return every named tensor of the last step, in the order in which a step makes them.

        Data, parameters and buffers, outputs (before each what the layer drew, after it its updated buffers), loss;
        after `backward` the output gradients in backward order, each layer's parameter gradients beside them; after an
        optimizer's step its state and the updated parameters. The arrays are the
        network's own and change with the next step: copy what you keep.
        """
        if not self.outputs:
            raise RuntimeError("trace needs a step: call network.loss(x, target) first.")
        before = self.parameters
        if self.updated_by:
            if not self.updated_by.keeps_previous:
                raise RuntimeError(
                    "trace after a step shows the parameters before it, which the optimizer has not kept: leave its "
                    "keeps_previous True, or trace before the step."
                )
            before = self.updated_by.previous
        trace = Trace({"input": self.input, "target": self.target, **before, **self.buffers_before})
        for (name, layer), output in zip(self.layers.items(), self.outputs, strict=True):
            if hasattr(layer, "drawn"):
                trace |= tensors_of({name: layer}, "drawn")
            trace[f"{name}.output"] = output
            if hasattr(layer, "buffers"):
                trace |= {f"{key}.updated": array for key, array in tensors_of({name: layer}, "buffers").items()}
        trace["loss"] = self.value
        for name, gradient in self.output_gradients.items():
            trace[f"{name}.output.grad"] = gradient
            for key in parameters_of(self.layers[name]):
                trace[f"{name}.{key}.grad"] = self.gradients[f"{name}.{key}"]
        if self.updated_by:
            trace |= self.updated_by.trace()
        return trace

    def __repr__(self) -> str:
        layers = ", ".join(f"{name}: {layer!r}" for name, layer in self.layers.items())
        return f"Network({layers}; loss: {self.loss_function!r})"
