"""Residual: layers with a way around them."""

from collections.abc import Iterator, Mapping, MutableMapping

from manual.checks import Array, require_shape
from manual.network import Layer, Layers, fit, name_layers, parameters_of


class Within(MutableMapping[str, Array]):
    """One kind of dict of several named layers, as one: "linear1.weight" is the "weight" of layers["linear1"].

    Nothing is stored here: what is assigned goes into the layer's own dict, and what is read comes from there.
    """

    def __init__(self, layers: Mapping[str, Layer], kind: str):
        self.layers, self.kind = layers, kind

    def place(self, key: str) -> tuple[MutableMapping[str, Array], str]:
        """Return the layer's own dict and the key in it; raise KeyError where there is no such layer."""
        name, _, inner = key.partition(".")
        return getattr(self.layers[name], self.kind, {}), inner

    def __getitem__(self, key: str) -> Array:
        own, inner = self.place(key)
        return own[inner]

    def __setitem__(self, key: str, value: Array) -> None:
        own, inner = self.place(key)
        own[inner] = value

    def __delitem__(self, key: str) -> None:
        own, inner = self.place(key)
        del own[inner]

    def __iter__(self) -> Iterator[str]:
        for name, layer in self.layers.items():
            yield from (f"{name}.{inner}" for inner in getattr(layer, self.kind, {}))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


class Residual:
    """y = x + f(x), f being the layers in order: they learn only what is to be added to x.            (67)

    Derivation. x takes part in y twice. On the way around with the factor 1: dC/dy arrives as it is. Through f by the
    chain rule, layer by layer, as in a network: what the backward pass of f makes of dC/dy. The two add up:
    dC/dx = dC/dy + (dC/dy through f).            (68)
    f's weights see dC/dy alone: the way around does not touch them.

    The first term is why deep networks of such blocks can be trained: whatever happens in f, the error reaches the
    layers below undiminished (69). `parameters`, `gradients`, `buffers` and `drawn` are those of the layers, under
    names like "linear1.weight"; what is assigned to them reaches the layers.
    """

    def __init__(self, layers: Layers):
        """Take the layers as a Network does: a list, named after their classes in order, or a mapping of names."""
        self.layers = name_layers(layers)
        self.output_shape(None)  # refuses layers that do not fit here, not at the first batch
        self.parameters = Within(self.layers, "parameters")
        self.gradients = Within(self.layers, "gradients")
        self.buffers = Within(self.layers, "buffers")
        self.drawn = Within(self.layers, "drawn")
        self.first_trainable = next((name for name, layer in self.layers.items() if parameters_of(layer)), None)
        self.needs_input_gradient = True

    @property
    def needs_input_gradient(self) -> bool:
        """Whether dC/dx is computed. Where it is not, f's gradient walks back to its first layer with weights only."""
        return self.whole

    @needs_input_gradient.setter
    def needs_input_gradient(self, needed: bool) -> None:
        self.whole = needed
        for name, layer in self.layers.items():
            if hasattr(layer, "needs_input_gradient"):
                layer.needs_input_gradient = needed or name != self.first_trainable  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def training(self) -> bool:
        """Whether the layers are in training: true unless one that makes the difference is not."""
        return all(getattr(layer, "training", True) for layer in self.layers.values())

    @training.setter
    def training(self, on: bool) -> None:
        for layer in self.layers.values():
            if hasattr(layer, "training"):
                layer.training = on  # pyright: ignore[reportAttributeAccessIssue]

    def forward(self, x: Array) -> Array:
        """Return y, of the shape of x."""
        branch = x
        for layer in self.layers.values():
            branch = layer.forward(branch)
        require_shape(f"The output of the layers of {self!r}", branch, x.shape)
        return x + branch  # (67)

    def backward(self, grad_output: Array) -> Array | None:
        """Fill the layers' gradients; return dC/dx, or None where `needs_input_gradient` is off."""
        gradient = grad_output
        for name, layer in reversed(self.layers.items()):
            gradient = layer.backward(gradient)
            if name == self.first_trainable and not self.needs_input_gradient:
                break
        return grad_output + gradient if self.needs_input_gradient else None  # (68)

    def replay(self, drawn: Mapping[str, Array]) -> None:
        """Make the layers use what `drawn` holds under their names instead of drawing; {} draws again."""
        for name, layer in self.layers.items():
            own = {key.removeprefix(f"{name}."): array for key, array in drawn.items() if key.startswith(f"{name}.")}
            if hasattr(layer, "replay"):
                layer.replay(own)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def whole_shape(self) -> bool:
        """Whether one of the layers has to know the whole shape of an example."""
        return any(getattr(layer, "whole_shape", False) for layer in self.layers.values())

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return `input_shape`, or what the layers alone say; raise ValueError unless the layers keep the shape."""
        try:
            shape = input_shape if input_shape is not None else fit(self.layers)
            after = fit(self.layers, shape)
        except ValueError as misfit:
            raise ValueError(f"wants layers that fit: {str(misfit).rstrip('.')}") from None
        if shape is not None and after is not None and after != shape:
            raise ValueError(f"wants layers that keep the shape: they turn {shape} into {after}")
        return shape

    def __repr__(self) -> str:
        return f"Residual({', '.join(f'{name}: {layer!r}' for name, layer in self.layers.items())})"
