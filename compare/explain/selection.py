"""Which weight is meant: `linear1.weight[12,350]`, a row `linear1.weight[12,:]`, or a whole tensor."""

import difflib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from compare.experiment.description import DescriptionError

Index = tuple[int, ...]
MOST_NAMES = 3  # that are offered for a wrong one


@dataclass(frozen=True)
class Selection:
    """Elements of one parameter: an int on every axis, or a slice over the whole of it."""

    parameter: str
    axes: tuple[int | slice, ...]

    @property
    def single(self) -> bool:
        """Whether one element is meant."""
        return not any(isinstance(axis, slice) for axis in self.axes)

    def indices(self, shape: tuple[int, ...]) -> list[Index]:
        """Return the index of every element that is meant, in their order in memory."""
        sizes = zip(self.axes, shape, strict=True)
        return list(itertools.product(*(range(n)[axis] if isinstance(axis, slice) else (axis,) for axis, n in sizes)))

    def __str__(self) -> str:
        if all(isinstance(axis, slice) for axis in self.axes):
            return self.parameter
        return self.parameter + place_of(tuple(":" if isinstance(axis, slice) else axis for axis in self.axes))


def place_of(index: tuple[int | str, ...]) -> str:
    """Return an index as it is written behind a name: [12,350]; nothing for a number."""
    return f"[{','.join(map(str, index))}]" if index else ""


def element(name: str, index: Index) -> str:
    """Return the name of one element of a tensor."""
    return name + place_of(index)


def select(text: str, parameters: Mapping[str, np.ndarray]) -> Selection:
    """Return what `text` names among the parameters.

    A layer's name may be short where only one is meant: conv1 for conv2d1. Raises DescriptionError, with the nearest
    right names, for one that there is not, and for an index that does not fit.
    """
    match = re.fullmatch(r"\s*([^\[\]\s]+)\s*(?:\[([^\[\]]*)\])?\s*", text)
    if match is None:
        raise DescriptionError(
            f"--weight: {text!r} is no weight's name; wanted a parameter and an index, such as "
            f"'{element(*first_element(parameters))}'."
        )
    name = full_name(match[1], parameters)
    return Selection(name, read_axes(text, name, match[2], parameters[name].shape))


def first_element(parameters: Mapping[str, np.ndarray]) -> tuple[str, Index]:
    """Return the first parameter and the index of its first element: an example for a message."""
    name, array = next(iter(parameters.items()))
    return name, (0,) * array.ndim


def full_name(name: str, parameters: Mapping[str, np.ndarray]) -> str:
    """Return the parameter of that name, or the only one that it is short for."""
    if name in parameters:
        return name
    short = re.fullmatch(r"([a-z]+)(\d+)\.(.+)", name)
    meant = [full for full in parameters if short and abbreviates(short, full)]
    if len(meant) == 1:
        return meant[0]
    near = difflib.get_close_matches(name, parameters, MOST_NAMES, cutoff=0.4)
    offered = near or list(parameters)[: 2 * MOST_NAMES]
    raise DescriptionError(
        f"--weight: there is no parameter {name!r}; {'the nearest are' if near else 'there are'} {', '.join(offered)}."
    )


def abbreviates(short: re.Match[str], full: str) -> bool:
    """Whether conv1.weight can stand for conv2d1.weight: the kind begins so, number and key are the same."""
    layer, _, key = full.partition(".")
    return layer.startswith(short[1]) and layer.endswith(short[2]) and key == short[3]


def read_axes(text: str, name: str, inside: str | None, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """Return the index that stands in the brackets; a whole tensor without any."""
    if inside is None:
        return (slice(None),) * len(shape)
    parts = [part.strip() for part in inside.split(",")]
    if len(parts) != len(shape):
        raise DescriptionError(
            f"--weight: {text!r} has {len(parts)} numbers; {name} has shape {shape}, wanted {len(shape)}: "
            f"from {element(name, (0,) * len(shape))} to {element(name, tuple(n - 1 for n in shape))}, or : for all."
        )
    return tuple(read_axis(text, name, part, size) for part, size in zip(parts, shape, strict=True))


def read_axis(text: str, name: str, part: str, size: int) -> int | slice:
    """Return one axis of an index: a whole number, counted from the end if negative, or `:`."""
    if part == ":":
        return slice(None)
    if not re.fullmatch(r"-?\d{1,12}", part):
        raise DescriptionError(f"--weight: in {text!r} stands {part!r}; wanted a whole number, or : for all.")
    number = int(part)
    if not -size <= number < size:
        raise DescriptionError(f"--weight: in {text!r} stands {number}; {name} has only 0 to {size - 1} there.")
    return number % size
