"""The description of an experiment: frozen dataclasses, with every value checked as it is made.

One description builds both sides. Its sections are those of the TOML file.
"""

import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, get_args, get_type_hints

import numpy as np

import manual
from compare.experiment import datasets

LAYERS = tuple(name for name in (
    "Linear", "Flatten", "Conv2d", "MaxPool2d", "AvgPool2d", "Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "GELU",
    "SiLU", "Softplus", "Softmax", "LogSoftmax", "Dropout", "BatchNorm1d", "BatchNorm2d", "LayerNorm", "RMSNorm",
    "GroupNorm", "Embedding", "Positions", "RNN", "LSTM", "GRU", "MultiheadAttention", "Residual",
) if hasattr(manual, name))  # fmt: skip
LOSSES = tuple(name for name in (
    "SquaredError", "MSELoss", "CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "HuberLoss",
    "SmoothL1Loss", "L1Loss", "KLDivLoss", "MultiMarginLoss",
) if hasattr(manual, name))  # fmt: skip
OPTIMIZERS = tuple(name for name in ("SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "Adadelta") if hasattr(manual, name))
INITIALIZERS = (
    "uniform", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "torch_default",
    "zeros",
)  # fmt: skip

RESERVED = tuple(name.lower() for name in OPTIMIZERS)  # the first words of the names of the optimizers' state
SIZES = (
    "in_features", "out_features", "in_channels", "out_channels", "num_features", "num_channels", "num_groups",
    "input_size", "hidden_size", "num_layers", "embed_dim", "num_heads", "num_embeddings", "embedding_dim", "length",
    "features",
)  # fmt: skip
SWITCHES = ("bias", "batch_first", "bidirectional", "affine", "elementwise_affine", "ceil_mode", "is_causal")

USER_FILES: dict[Path, ModuleType] = {}  # those imported already: a class must stay the same class

DTypeName = Literal["float64", "float32"]
Mode = Literal["both", "lockstep", "independent"]
Form = Literal["flat", "image", "rows", "tokens"]


class DescriptionError(ValueError):
    """A description that cannot be run: says which key, what was found and what is wanted."""


def nearest(word: str, known: Mapping[str, Any] | tuple[str, ...] | list[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known word, or the list of those known."""
    close = get_close_matches(str(word).lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    if close:
        return f" Did you mean {next(k for k in known if k.lower() == close[0])!r}?"
    names = list(known)
    return f" Known are: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}."


def require(condition: bool, key: str, found: Any, wanted: str) -> None:
    """Raise DescriptionError unless the condition holds."""
    if not condition:
        raise DescriptionError(f"{key} is {found!r}; wanted {wanted}.")


def require_known(key: str, found: str, known: tuple[str, ...]) -> None:
    """Raise DescriptionError, with the nearest name, unless `found` is one of `known`."""
    if found not in known:
        raise DescriptionError(f"{key} is {found!r}, which is not known.{nearest(found, known)}")


class Section:
    """A section of the description: checks the types of its fields, then its own `check`."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for entry in fields(self):  # pyright: ignore[reportArgumentType]
            self.check_type(entry.name, hints[entry.name])
        self.check()

    def check_type(self, key: str, wanted: Any) -> None:
        """Raise DescriptionError unless the field's value is of the declared type; an int serves as a float."""
        value, where = getattr(self, key), f"{type(self).__name__.lower()}.{key}"
        if choices := get_args(wanted):
            if all(isinstance(choice, str) for choice in choices):
                require(isinstance(value, str), where, value, f"one of {', '.join(choices)}")
                require_known(where, value, choices)
        elif wanted is float:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            finite = number and abs(value) <= sys.float_info.max  # not so for nan, nor for a whole number too large
            require(finite, where, value if len(repr(value)) < 40 else "a very large number", "a finite number")
            object.__setattr__(self, key, float(value))
        elif wanted is int:
            require(isinstance(value, int) and not isinstance(value, bool), where, value, "a whole number")
        elif wanted in (bool, str):
            require(isinstance(value, wanted), where, value, "true or false" if wanted is bool else "a text")

    def check(self) -> None:
        """Raise DescriptionError for a value out of range."""


def layer_class(kind: str) -> type:
    """Return the class of that name in manual, or that of a user's file ("my_layers.py:Swish").

    Raises DescriptionError where there is no such file or class, or the file cannot be imported.
    """
    if ":" not in kind:
        return getattr(manual, kind)
    file, _, name = kind.rpartition(":")
    path = Path(file).resolve()
    if path not in USER_FILES:
        spec = importlib.util.spec_from_file_location(path.stem, path) if path.suffix == ".py" else None
        if spec is None or spec.loader is None or not path.is_file():
            raise DescriptionError(f"layers.kind is {kind!r}; there is no Python file {file}. Wanted FILE.py:CLASS.")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as broken:  # a user's file may raise anything
            raise DescriptionError(f"{file} cannot be imported: {type(broken).__name__}: {broken}") from broken
        USER_FILES[path] = module
    known = {key: value for key, value in vars(USER_FILES[path]).items() if isinstance(value, type)}
    if name not in known:
        raise DescriptionError(f"layers.kind is {kind!r}; {file} has no class {name!r}.{nearest(name, known)}")
    for method in ("forward", "backward"):
        require(callable(getattr(known[name], method, None)), "layers.kind", kind, f"a class with {method}")
    return known[name]


def build_layer(kind: str, arguments: Mapping[str, Any], rng: np.random.Generator | None = None) -> Any:
    """Return an object of the layer's class, manual's or the user's; `rng` draws its initial weights, if it has any.

    The layers of a Residual are tables, as in a file: {"kind", "name", and the arguments}.
    """
    made = layer_class(kind)
    if kind == "Residual":
        tables = [dict(table) for table in arguments["layers"]]
        inner = {t.pop("name"): (t.pop("kind"), t.pop("reference", ""), t) for t in tables}
        return made({name: build_layer(k, rest, rng) for name, (k, _, rest) in inner.items()})
    draws = rng is not None and ":" not in kind and "rng" in inspect.signature(made).parameters
    return made(**arguments, rng=rng) if draws else made(**arguments)


def check_arguments(kind: str, arguments: Mapping[str, Any], where: str) -> None:
    """Raise DescriptionError unless `arguments` are arguments of manual's class `kind`."""
    made = layer_class(kind)
    known = tuple(name for name in inspect.signature(made).parameters if name != "rng")
    for key in arguments:
        if key not in known:
            hint = nearest(key, known) if known else " It takes none."
            raise DescriptionError(f"{where}: {kind} has no argument {key!r}.{hint}")
    try:
        made(**arguments)
    except Exception as wrong:  # a user's class may raise anything
        raise DescriptionError(f"{where}: {kind} cannot be made with {dict(arguments)}: {wrong}") from None


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
        made = tuple(
            {"kind": x.kind, "name": x.name, **({"reference": x.reference} if x.reference else {}), **x.arguments}
            for x in inner
        )
        object.__setattr__(self, "arguments", {"layers": made})

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
class Optimizer(Section):
    """The optimizer. `decays` tells which parameters the weight decay applies to: all, as in torch, or the weights.

    An option that is None is the class's own default (of SGD's lr: 0.1); `arguments` are the options that have no field
    of their own here: Adam's betas, RMSprop's alpha, ...
    """

    kind: str = "SGD"
    lr: float | None = None
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float | None = None
    nesterov: bool = False
    decays: Literal["all", "weights"] = "all"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise DescriptionError for a value out of range."""
        require_known("optimizer.kind", self.kind, OPTIMIZERS)
        known = self.defaults()
        for key, default in (
            ("lr", 0.1 if self.kind == "SGD" else known["lr"]),
            ("weight_decay", known["weight_decay"]),
        ):
            if getattr(self, key) is None:
                object.__setattr__(self, key, default)
            self.check_type(key, float)
        for key in ("lr", "momentum", "weight_decay"):
            require(getattr(self, key) >= 0, f"optimizer.{key}", getattr(self, key), "a number of at least 0")
        possible = not self.nesterov or (self.momentum > 0 and self.dampening == 0)
        require(possible, "optimizer.nesterov", self.nesterov, "momentum above 0 and dampening 0 with it")
        for key, unset in (("momentum", 0.0), ("dampening", 0.0), ("nesterov", False)):
            allowed = key in known or getattr(self, key) == unset
            require(allowed, f"optimizer.{key}", getattr(self, key), f"none: {self.kind} has no such option")
        for key in self.arguments:
            if key not in known:
                raise DescriptionError(f"[optimizer] {self.kind} has no option {key!r}.{nearest(key, known)}")
        try:
            self.made_for({})
        except (TypeError, ValueError) as wrong:
            raise DescriptionError(f"[optimizer] {wrong}") from None

    def defaults(self) -> dict[str, Any]:
        """Return the options of the optimizer's class with their defaults."""
        signature = inspect.signature(getattr(manual, self.kind)).parameters.values()
        return {p.name: p.default for p in signature if p.name != "network"}

    def options(self, parameters: list[str]) -> dict[str, Any]:
        """Return the arguments that both sides' optimizers take, for a network with these parameters."""
        decay = {p: self.weight_decay for p in parameters if self.decays == "all" or p.endswith("weight")}
        known = self.defaults()
        own = {key: getattr(self, key) for key in ("momentum", "dampening", "nesterov") if key in known}
        return {"lr": self.lr, **own, **self.arguments, "weight_decay": decay}

    def made_for(self, parameters: Mapping[str, np.ndarray]) -> Any:
        """Return manual's optimizer for a network with these parameters."""
        network: Any = SimpleNamespace(parameters=dict(parameters), gradients={})
        return getattr(manual, self.kind)(network, **self.options(list(parameters)))


@dataclass(frozen=True)
class Initial(Section):
    """Where the initial weights and biases come from; low and high are for `uniform`, mean and std for `normal`."""

    weight: str = "uniform"
    bias: str = "uniform"
    low: float = -1.0
    high: float = 1.0
    mean: float = 0.0
    std: float = 1.0

    def check(self) -> None:
        """Raise DescriptionError for an unknown initializer or a range upside down."""
        require_known("initial.weight", self.weight, INITIALIZERS)
        biases = tuple(name for name in INITIALIZERS if not name.startswith(("xavier", "kaiming")))
        require_known("initial.bias", self.bias, biases)
        require(self.low < self.high, "initial.low", self.low, f"a number below initial.high, which is {self.high}")
        require(self.std >= 0, "initial.std", self.std, "a number of at least 0")


@dataclass(frozen=True)
class Data(Section):
    """The data set, a folder of the user's own ("": the packaged MNIST, or the user's cache), and what is made of it.

    An image of H x W pixels is given to the network as one of these forms (with a batch of N in front):
        flat     (H W,): all pixels in a row
        image    (1, H, W): with one channel, for convolutions
        rows     (H, W): a sequence of rows
        tokens   a sequence of whole numbers for the network to continue: the label (as levels + label), then side x
                 side blocks of pixels, each rounded to one of `levels` brightnesses. The target of each is the next.
    """

    dataset: str = "mnist"
    data_root: str = ""
    download: bool = False
    form: Form = "flat"
    side: int = 7
    levels: int = 8

    def check(self) -> None:
        """Raise DescriptionError for an unknown data set, or an image that cannot be cut so."""
        require_known("data.dataset", self.dataset, datasets.NAMES)
        require(self.side in (4, 7, 14, 28), "data.side", self.side, "one of 4, 7, 14, 28, into which 28 pixels divide")
        require(2 <= self.levels <= 256, "data.levels", self.levels, "a whole number from 2 to 256")


@dataclass(frozen=True)
class Training(Section):
    """How long, in what order, in what arithmetic. `steps` = 0 means as many as `epochs` make."""

    epochs: int = 1
    steps: int = 0
    batch_size: int = 10
    seed: int = 1
    dtype: DTypeName = "float64"
    mode: Mode = "both"
    audit_every: int = 500
    threads: int = 1
    device: str = "cpu"

    def check(self) -> None:
        """Raise DescriptionError for a value out of range."""
        for key, least, most in (
            ("epochs", 1, 100_000), ("steps", 0, 10**9), ("batch_size", 1, 10**6), ("seed", 0, 2**63 - 1),
            ("audit_every", 1, 10**9), ("threads", 1, 1024),
        ):  # fmt: skip
            value = getattr(self, key)
            require(least <= value <= most, f"training.{key}", value, f"a whole number from {least} to {most}")
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
        object.__setattr__(self, "layers", named(self.layers))
        try:
            manual.fit({layer.name: layer.build() for layer in self.layers})
        except ValueError as misfit:
            raise DescriptionError(f"layers do not fit: {misfit}") from None

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """Yield all layers, those inside residual connections too, with their full names."""
        for layer in self.layers:
            yield from layer.leaves()

    def changed(self, section: str, **values: Any) -> "Experiment":
        """Return a copy with these values in one section, checked again."""
        return replace(self, **{section: replace(getattr(self, section), **values)})
