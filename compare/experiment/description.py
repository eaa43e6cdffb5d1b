"""The description of an experiment: frozen dataclasses, with every value checked as it is made.

One description builds both sides. Its sections are those of the TOML file.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

import manual
from compare.experiment import datasets
from compare.experiment.classes import (
    DRAWS_INSIDE,
    LAYERS,
    LOSSES,
    RESERVED,
    SIZES,
    SWITCHES,
    DescriptionError,
    build_layer,
    check_arguments,
    require,
    require_known,
)
from compare.experiment.distribution import check_shards
from compare.experiment.initial import Initial
from compare.experiment.optimizer import Optimizer
from compare.experiment.sections import Section

DTypeName = Literal["float64", "float32"]
Mode = Literal["both", "lockstep", "independent"]
Form = Literal["flat", "image", "rows", "levels", "tokens"]
Scored = Literal["test", "held-out"]
Order = Literal["shuffled", "stored", "python-shuffle"]


@dataclass(frozen=True)
class Layer(Section):
    """One layer: the class (`kind`), its arguments, and a name of the user's own or "" for one made in order.

    A layer of the user's own is `kind = "my_layers.py:Swish"`, a class in a file, with what torch calls it as
    `reference`: a module class or a function, "torch.nn.SiLU" or "torch.nn.functional.silu".
    """

    kind: str
    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""

    def check(self) -> None:
        """Raise DescriptionError for an unknown class or arguments that do not fit it."""
        if ":" in self.kind:
            shaped = re.fullmatch(r"torch(\.[A-Za-z_]\w*)+", self.reference) is not None
            wanted = "what torch calls it beside the layer, such as torch.nn.SiLU or torch.nn.functional.silu"
            require(shaped, "layers.reference", self.reference, wanted)
        else:
            require_known("layers.kind", self.kind, LAYERS)
            require(not self.reference, "layers.reference", self.reference, "none: torch.nn has a layer of this name")
        if self.kind == "Residual":
            self.name_inner_layers()
        named_well = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|", self.name)
        require(named_well is not None, "layers.name", self.name, "letters, digits and _, not beginning with a digit")
        require(self.name not in RESERVED, "layers.name", self.name, "a name that no optimizer has")
        for key in SIZES:
            size = self.arguments.get(key, 1)
            in_range = isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 100_000
            require(in_range, f"layers.{key}", size, "a whole number from 1 to 100000")
        for key in SWITCHES:
            switch = self.arguments.get(key, True)
            require(isinstance(switch, bool), f"layers.{key}", switch, "true or false")
        if self.kind in DRAWS_INSIDE:
            unseen = self.arguments.get("dropout", 0.0)
            wanted = "0: inside a layer torch draws masks that nobody else can draw; put a Dropout after the layer"
            require(unseen == 0, "layers.dropout", unseen, wanted)
        dim = self.arguments.get("dim", -1)
        require(dim in (-2, -1, 0, 1) and type(dim) is int, "layers.dim", dim, "one of -2, -1, 0, 1")
        if self.kind != "Residual":
            check_arguments(self.kind, self.arguments, f"layer {self.name or self.kind}")

    def name_inner_layers(self) -> None:
        """Give every layer of a Residual its name, and check it as a layer of the network is."""
        tables = self.arguments.get("layers")
        shaped = isinstance(tables, list | tuple) and len(tables) > 0 and set(self.arguments) == {"layers"}
        require(shaped, "layers.layers", tables, "a list of at least one layer in a Residual, and nothing else")
        inner = named([layer_from(f"{self.name or self.kind}.layers[{i}]", t) for i, t in enumerate(tables or ())])
        object.__setattr__(self, "arguments", {"layers": tuple(x.table() for x in inner)})
        try:
            self.build()
        except ValueError as misfit:
            raise DescriptionError(f"layer {self.name or self.kind} {misfit}") from None

    def table(self) -> dict[str, Any]:
        """Return the layer as the table of a file that it comes from."""
        return {
            "kind": self.kind, "name": self.name, **({"reference": self.reference} if self.reference else {}),
            **self.arguments,
        }  # fmt: skip

    @property
    def inner(self) -> "tuple[Layer, ...]":
        """The layers of a Residual."""
        return tuple(layer_from(self.name, table) for table in self.arguments.get("layers", ()))

    def leaves(self, prefix: str = "") -> "Iterator[tuple[str, Layer]]":
        """Yield the layer, or those inside a Residual, with their full names: "residual1.linear1"."""
        name = f"{prefix}{self.name}"
        if self.kind != "Residual":
            yield name, self
        for layer in self.inner:
            yield from layer.leaves(f"{name}.")

    def build(self, rng: np.random.Generator | None = None) -> Any:
        """Return an object of the layer's class, manual's or the user's; `rng` draws its initial weights."""
        return build_layer(self.kind, self.arguments, rng)


def named(layers: "Sequence[Layer]") -> "tuple[Layer, ...]":
    """Return the layers, each with a name: its own, or one made from the classes in order."""
    given = [layer.name for layer in layers if layer.name]
    require(len(given) == len(set(given)), "layers.name", given, "names that differ")
    made = manual.name_layers([layer.build() for layer in layers])
    complete = tuple(replace(x, name=x.name or name) for x, name in zip(layers, made, strict=True))
    names = [layer.name for layer in complete]
    require(len(names) == len(set(names)), "layers.name", names, "names that differ")
    return complete


def text(key: str, value: Any) -> str:
    """Return the value if it is a text."""
    if not isinstance(value, str):
        raise DescriptionError(f"{key} is {value!r}; wanted a text.")
    return value


def layer_from(where: str, table: Any) -> "Layer":
    """Return a layer from its table: kind, name, and the arguments of its class beside them."""
    if not isinstance(table, Mapping) or "kind" not in table:
        raise DescriptionError(f"{where} is {table!r}; wanted a table with the key kind.")
    arguments = dict(table)
    kind, name = text(f"{where}.kind", arguments.pop("kind")), text(f"{where}.name", arguments.pop("name", ""))
    reference = text(f"{where}.reference", arguments.pop("reference", ""))
    return Layer(kind=kind, name=name, arguments=arguments, reference=reference)


@dataclass(frozen=True)
class Loss(Section):
    """The loss: the class (`kind`) and its arguments."""

    kind: str = "SquaredError"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise DescriptionError for an unknown class or arguments that do not fit it."""
        require_known("loss.kind", self.kind, LOSSES)
        check_arguments(self.kind, self.arguments, "loss")
        factor = self.arguments.get("factor", 1.0)
        number = isinstance(factor, int | float) and math.isfinite(factor) and factor > 0
        require(number, "loss.factor", factor, "a number above 0")


@dataclass(frozen=True)
class Data(Section):
    """The data set, a folder of the user's own ("": the packaged MNIST, or the user's cache), and what is made of it.

    An image of H x W pixels is given to the network as one of these forms (with a batch of N in front):
        flat     (H W,): all pixels in a row
        image    (1, H, W): with one channel, for convolutions
        rows     (H, W): a sequence of rows
        levels   (H W,): every pixel as a whole number, one of `levels` brightnesses
        tokens   a sequence of whole numbers for the network to continue: the label (as levels + label), then side x
                 side blocks of pixels, each rounded to one of `levels` brightnesses. The target of each is the next.

    Brightnesses of 0 to 255 are divided by `divisor` where they are not made whole numbers. Of the training images only
    the first `train` train (0: all); the two networks are scored on the test images, or on those held out of training.
    """

    dataset: str = "mnist"
    data_root: str = ""
    download: bool = False
    form: Form = "flat"
    side: int = 7
    levels: int = 8
    divisor: float = 255.0
    train: int = 0
    score_on: Scored = "test"

    def check(self) -> None:
        """Raise DescriptionError for an unknown data set, an image that cannot be cut so, or nothing to score on."""
        require_known("data.dataset", self.dataset, datasets.NAMES)
        require(self.side in (4, 7, 14, 28), "data.side", self.side, "one of 4, 7, 14, 28, into which 28 pixels divide")
        require(2 <= self.levels <= 256, "data.levels", self.levels, "a whole number from 2 to 256")
        divided = self.form not in ("levels", "tokens")
        require(self.divisor > 0, "data.divisor", self.divisor, "a number above 0")
        wanted = f"none: the whole numbers of the form {self.form} are not divided"
        require(divided or self.divisor == 255, "data.divisor", self.divisor, wanted)
        require(0 <= self.train <= 10**9, "data.train", self.train, "a whole number from 0 to 1000000000")
        wanted = "test where all training images train; set data.train to how many of them do, and the rest is held out"
        require(self.score_on == "test" or self.train > 0, "data.score_on", self.score_on, wanted)


@dataclass(frozen=True)
class Training(Section):
    """How long, in what order, in what arithmetic, by how many. `steps` = 0 means as many as `epochs` make.

    In what order an epoch walks through the training images:
        shuffled        each epoch in a random order of its own, drawn from the seed
        stored          as they are stored, in every epoch
        python-shuffle  as Python 2's random.shuffle left them, with random.Random(seed): each epoch shuffles the order
                        that the one before had
    `epochs_before` are epochs of another network's that took their orders from the same stream before.

    `checkpoint_every` is in seconds: how much work a run that is killed may lose. With a `world_size` above 1 the
    reference is trained by so many processes, each on a shard of every batch.
    """

    epochs: int = 1
    steps: int = 0
    batch_size: int = 10
    seed: int = 1
    dtype: DTypeName = "float64"
    mode: Mode = "both"
    audit_every: int = 500
    checkpoint_every: float = 10.0
    threads: int = 1
    device: str = "cpu"
    world_size: int = 1
    order: Order = "shuffled"
    epochs_before: int = 0

    def check(self) -> None:
        """Raise DescriptionError for a value out of range."""
        for key, least, most in (
            ("epochs", 1, 100_000), ("steps", 0, 10**9), ("batch_size", 1, 10**6), ("seed", 0, 2**63 - 1),
            ("audit_every", 1, 10**9), ("threads", 1, 1024), ("world_size", 1, 64),
            ("epochs_before", 0, 100_000),
        ):  # fmt: skip
            value = getattr(self, key)
            require(least <= value <= most, f"training.{key}", value, f"a whole number from {least} to {most}")
        patience = self.checkpoint_every
        require(0 <= patience <= 1e9, "training.checkpoint_every", patience, "a number of seconds from 0 to 1e9")
        wanted = "0 with the order as stored, which is the same in every epoch"
        require(self.order != "stored" or self.epochs_before == 0, "training.epochs_before", self.epochs_before, wanted)
        named = re.fullmatch(r"(cpu|mps|cuda)(:\d+)?", self.device) is not None
        require(named, "training.device", self.device, "cpu, cuda, cuda:N or mps")


@dataclass(frozen=True)
class Experiment:
    """Everything that a run depends on. The same experiment gives the same numbers on the same machine."""

    name: str
    layers: tuple[Layer, ...]
    about: str = ""
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    initial: Initial = field(default_factory=Initial)
    data: Data = field(default_factory=Data)
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        """Raise DescriptionError for layers whose shapes or names do not fit."""
        well_named = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name) is not None
        require(well_named, "name", self.name, "up to 64 letters, digits, '.', '_' and '-'")
        require(len(self.layers) > 0, "layers", list(self.layers), "at least one layer")
        object.__setattr__(self, "layers", tuple(self.settled(layer) for layer in named(self.layers)))
        try:
            manual.fit({layer.name: layer.build() for layer in self.layers})
        except ValueError as misfit:
            raise DescriptionError(f"layers do not fit: {misfit}") from None
        most = float(np.finfo(self.training.dtype).max)
        require(
            self.optimizer.lr <= most, "optimizer.lr", self.optimizer.lr, f"a number that is a {self.training.dtype}"
        )
        check_shards(self)

    def settled(self, layer: Layer) -> Layer:
        """Return the layer with what torch makes of the dtype made plain: the eps of an RMSNorm that has none."""
        arguments = dict(layer.arguments)
        if layer.kind == "RMSNorm" and arguments.get("eps") is None:
            arguments["eps"] = float(np.finfo(self.training.dtype).eps)
        if layer.kind == "Residual":
            inner = (self.settled(x) for x in layer.inner)
            arguments["layers"] = tuple(x.table() for x in inner)
        return replace(layer, arguments=arguments)

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """Yield all layers, those inside residual connections too, with their full names."""
        for layer in self.layers:
            yield from layer.leaves()

    def changed(self, section: str, **values: Any) -> "Experiment":
        """Return a copy with these values in one section, checked again."""
        return replace(self, **{section: replace(getattr(self, section), **values)})
