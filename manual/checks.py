"""What a tensor must be before anything is computed with it: checked once, at the entry.

NumPy broadcasts silently: a target of shape (10, 1) held against predictions of shape (10, 10) gives a loss, a gradient
and a network that learns nonsense. So every door says what it wants, and a breach names the tensor, what was found
and what was wanted.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]  # of any floating or complex dtype: the passes name none


def require_shape(tensor: str, array: Array, wanted: tuple[int, ...]) -> None:
    """Raise ValueError unless `array` has exactly the shape `wanted`."""
    if array.shape != wanted:
        raise ValueError(f"{tensor} has shape {array.shape}; wanted {wanted}. Nothing is broadcast: reshape it.")


def require_features(layer: object, array: Array, features: int) -> None:
    """Raise ValueError unless `array` is a batch of vectors of length `features`: shape (N, ..., features)."""
    if array.ndim < 2 or array.shape[-1] != features:
        raise ValueError(
            f"{layer} got an input of shape {array.shape}; wanted (N, {features}) or (N, ..., {features}). "
            "A single example is a batch of one: x[None, :]."
        )


def require_dtype(tensor: str, array: Array, wanted: np.dtype[Any]) -> None:
    """Raise TypeError unless `array` has exactly the dtype `wanted`."""
    if array.dtype != wanted:
        raise TypeError(
            f"{tensor} has dtype {array.dtype}; the network computes in {wanted}. Convert it: array.astype('{wanted}')."
        )


def is_floating(array: Array) -> bool:
    """Whether the array is of a floating or complex dtype."""
    return array.dtype.kind in "fc"


def require_floating(tensor: str, array: Array) -> None:
    """Raise TypeError unless `array` is of a floating or complex dtype."""
    if not is_floating(array):
        raise TypeError(
            f"{tensor} has dtype {array.dtype}; wanted a floating dtype. Convert it: array.astype('float64')."
        )


def require_labels(labels: Array, classes: int) -> None:
    """Raise TypeError unless the labels are integers, ValueError unless every one is one of 0..classes-1."""
    if labels.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {labels.dtype}; wanted integer labels. Convert it: target.astype(int).")
    smallest, largest = labels.min(), labels.max()
    if smallest < 0 or largest >= classes:
        wrong = smallest if smallest < 0 else largest
        raise ValueError(
            f"target holds the label {wrong}; wanted labels from 0 to {classes - 1}, since there are {classes} outputs."
        )


def require_unit_interval(tensor: str, array: Array) -> None:
    """Raise ValueError if an element lies outside [0, 1]. A NaN passes: it is for the loss to show."""
    outside = array[(np.real(array) < 0) | (np.real(array) > 1)]
    if outside.size:
        raise ValueError(
            f"{tensor} holds the value {outside[0]}; wanted values from 0 to 1, as a Sigmoid before the loss gives."
        )
