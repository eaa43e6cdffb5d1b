"""The classes that a description may name: those of manual, and a user's own in a file."""

import importlib.util
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import manual

LAYERS = (
    "Linear", "Flatten", "Conv2d", "MaxPool2d", "AvgPool2d", "Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "GELU",
    "SiLU", "Softplus", "Softmax", "LogSoftmax", "Dropout", "BatchNorm1d", "BatchNorm2d", "LayerNorm", "RMSNorm",
    "GroupNorm", "Embedding", "Positions", "RNN", "LSTM", "GRU", "MultiheadAttention", "Residual",
)  # fmt: skip
LOSSES = (
    "SquaredError", "MSELoss", "CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "HuberLoss",
    "SmoothL1Loss", "L1Loss", "KLDivLoss", "MultiMarginLoss",
)  # fmt: skip
OPTIMIZERS = ("SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "Adadelta")
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
DRAWS_INSIDE = ("RNN", "LSTM", "GRU", "MultiheadAttention")
SWITCHES = ("bias", "batch_first", "bidirectional", "affine", "elementwise_affine", "ceil_mode", "is_causal")

USER_FILES: dict[Path, ModuleType] = {}  # those imported already: a class must stay the same class


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
        raise DescriptionError(f"{key} is {shown(found)}; wanted {wanted}.")


def shown(found: Any) -> str:
    """Return a value as a message shows it; a number of thousands of digits has no text."""
    try:
        return repr(found)
    except ValueError:
        return "a very large number"


def require_known(key: str, found: str, known: tuple[str, ...]) -> None:
    """Raise DescriptionError, with the nearest name, unless `found` is one of `known`."""
    if found not in known:
        raise DescriptionError(f"{key} is {found!r}, which is not known.{nearest(found, known)}")


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
    draws = rng is not None and ":" not in kind and "rng" in arguments_of(made)
    return made(**arguments, rng=rng) if draws else made(**arguments)


@cache
def arguments_of(made: type) -> tuple[str, ...]:
    """Return the names of a class's arguments; read once, for every layer of every experiment asks."""
    return tuple(inspect.signature(made).parameters)


def check_arguments(kind: str, arguments: Mapping[str, Any], where: str) -> None:
    """Raise DescriptionError unless `arguments` are arguments of manual's class `kind`."""
    made = layer_class(kind)
    known = tuple(name for name in arguments_of(made) if name != "rng")
    for key in arguments:
        if key not in known:
            hint = nearest(key, known) if known else " It takes none."
            raise DescriptionError(f"{where}: {kind} has no argument {key!r}.{hint}")
    try:
        made(**arguments)
    except Exception as wrong:  # a user's class may raise anything
        raise DescriptionError(f"{where}: {kind} cannot be made with {dict(arguments)}: {wrong}") from None
