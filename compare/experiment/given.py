"""Initial parameters that are handed in: taken as they are, or refused in a sentence where they do not fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from compare.experiment.classes import DescriptionError

Shapes = Mapping[str, tuple[int, ...]]


def parameters_in_file(file: str, shapes: Shapes, dtype: str) -> dict[str, np.ndarray]:
    """Return the parameters that a safetensors file holds, for a network with these shapes. Raises DescriptionError."""
    if not file:
        raise DescriptionError(
            "initial.weight is 'given', and no parameters were handed in; wanted a safetensors file as initial.file, "
            "or compare.run(..., initial={name: array})."
        )
    if not Path(file).is_file():
        raise DescriptionError(f"initial.file is {file!r}; there is no such file. Wanted a safetensors file.")
    try:
        arrays = load_file(file)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as broken:
        raise DescriptionError(f"initial.file is {file!r}, which cannot be read as safetensors: {broken}.") from None
    return fitting(arrays, shapes, dtype, file)


def fitting(arrays: Mapping[str, Any], shapes: Shapes, dtype: str, source: str) -> dict[str, np.ndarray]:
    """Return copies of the arrays in the network's dtype and order; raise DescriptionError where one does not fit.

    Names and shapes must be the network's, values finite, and the dtype one from which not a bit is lost: float32
    serves a network in float64, and float64 one in float32 where every value is a float32.
    """
    wanted = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    if missing := [name for name in shapes if name not in arrays]:
        raise DescriptionError(f"initial: {source} has no {missing[0]}; wanted {wanted}.")
    if unknown := [name for name in arrays if name not in shapes]:
        raise DescriptionError(f"initial: {source} has {unknown[0]!r}, which the network has not; wanted {wanted}.")
    return {name: fitted(name, arrays[name], shape, dtype, source) for name, shape in shapes.items()}


def fitted(name: str, given: Any, shape: tuple[int, ...], dtype: str, source: str) -> np.ndarray:
    """Return a copy of one array in the dtype; raise DescriptionError where it does not fit."""
    if not isinstance(given, np.ndarray) or given.dtype.kind != "f":
        found = f"an array of {given.dtype}" if isinstance(given, np.ndarray) else f"a {type(given).__name__}"
        raise DescriptionError(f"initial: {name} of {source} is {found}; wanted an array of {dtype}.")
    if given.shape != tuple(shape):
        hint = " It is (out, in), as in torch: hand in its transpose." if given.shape == tuple(shape)[::-1] else ""
        raise DescriptionError(f"initial: {name} of {source} has shape {given.shape}; wanted {tuple(shape)}.{hint}")
    if (wrong := np.argwhere(~np.isfinite(given))).size:
        place = ",".join(map(str, wrong[0]))
        raise DescriptionError(
            f"initial: {name}[{place}] of {source} is {given[tuple(wrong[0])]}; wanted finite numbers alone."
        )
    with np.errstate(over="ignore"):
        array = np.array(given, dtype, order="C")
    if not np.array_equal(array, given):
        raise DescriptionError(
            f"initial: {name} of {source} is {given.dtype}, and rounding it to training.dtype, {dtype}, would change "
            f"it; wanted {dtype}. Round it yourself, or set training.dtype to {given.dtype}."
        )
    return array
