"""The batches that both sides are given: what is made of images and labels."""

from typing import Any

import numpy as np

from compare.experiment.datasets import Dataset
from compare.experiment.description import Data

FLAT = Data()


def take_batch(
    images: np.ndarray, labels: np.ndarray, rows: Any, dtype: str, data: Data = FLAT
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets of these rows (numbers, or a slice) of the images; pixels stay uint8 until here.

    Inputs are (N, H W), (N, 1, H, W) or (N, H, W) as `data.form` says, 0..1 with the usual divisor, targets the labels
    (N,). For "levels" inputs are whole numbers (N, H W), for "tokens" (N, T), and the targets are the following ones
    (N T,).
    """
    pixels, target = (a[rows] if isinstance(rows, slice) else a.take(rows, axis=0) for a in (images, labels))
    if data.form == "tokens":
        sequence = tokens(pixels, target, data)
        return sequence[:, :-1], sequence[:, 1:].ravel()
    pixels = pixels.reshape(len(pixels), *shape_of(data, pixels.shape[1:]))
    if data.form == "levels":
        return (pixels * (data.levels / 256)).astype(np.int64), target
    return np.divide(pixels, data.divisor, dtype=dtype), target


def shape_of(data: Data, image: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one example made of an image of this shape."""
    height, width = image
    match data.form:
        case "image":
            return 1, height, width
        case "rows":
            return height, width
        case "tokens":
            return (data.side * data.side,)
        case _:
            return (height * width,)


def example_shape(data: Data, dataset: Dataset) -> tuple[int, ...]:
    """Return the shape of one example of the data set."""
    return shape_of(data, dataset.train_images.shape[1:])


def classes_of(data: Data, dataset: Dataset) -> tuple[str, ...]:
    """Return the names of the classes that the network tells apart: digits, or the next token."""
    if data.form != "tokens":
        return dataset.classes
    digits = tuple(f"digit {name}" for name in dataset.classes)
    return (*(f"brightness {level}" for level in range(data.levels)), *digits)


def tokens(images: np.ndarray, labels: np.ndarray, data: Data) -> np.ndarray:
    """Return sequences (N, 1 + side^2): the label as levels + label, then the brightnesses of blocks, row by row."""
    n, height, width = images.shape
    blocks = images.reshape(n, data.side, height // data.side, data.side, width // data.side)
    brightness = blocks.mean(axis=(2, 4)).reshape(n, -1)  # 0 to 255
    quantised = (brightness * (data.levels / 256)).astype(np.int64)
    return np.concatenate([labels[:, None].astype(np.int64) + data.levels, quantised], axis=1)
