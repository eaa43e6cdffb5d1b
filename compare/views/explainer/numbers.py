"""The numbers of the page: a course as data that JSON can hold, and no bit of it lost.

An array is the base64 text of its bytes, little-endian float64, row by row. The gradient of a weight is zero in every
row of a unit whose delta is zero and in every column of an input that is zero (a pixel without ink): only the block of
the other rows and columns is kept.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from compare.explain.course import Course, Instant

LIMIT = 3_000_000  # bytes, of the whole page
FOR_THE_REST = 200_000  # text, style and scripts
USUAL_STEPS = (1, 2, 3, 10, 30, 100, 300, 1000)


def course_data(course: Course) -> dict[str, Any]:
    """Return the image and all that was kept of the training."""
    return {
        "image": base64.b64encode(course.image.tobytes()).decode("ascii"),
        "side": course.image.shape[1],
        "label": course.label,
        "sample": course.sample,
        "instants": [instant_data(instant) for instant in course.instants],
    }


def instant_data(instant: Instant) -> dict[str, Any]:
    """Return one step: the weights before it, and autograd's tensors in the order of the trace."""
    autograd = {
        name: block(array) if array.ndim == 2 else {"shape": list(array.shape), "values": encoded(array)}
        for name, array in instant.autograd.items()
    }
    parameters = {name: encoded(array) for name, array in instant.parameters.items()}
    return {"step": instant.step, "parameters": parameters, "autograd": autograd}


def block(array: np.ndarray) -> dict[str, Any]:
    """Return the rows and the columns of a matrix that are not all zero, and the values where they cross."""
    rows, columns = (np.flatnonzero((array != 0).any(axis=axis)) for axis in (1, 0))
    values = encoded(array[np.ix_(rows, columns)])
    return {"shape": list(array.shape), "rows": rows.tolist(), "columns": columns.tolist(), "values": values}


def encoded(array: np.ndarray) -> str:
    """Return the bytes of an array as base64: float64, little-endian, row by row."""
    return base64.b64encode(np.ascontiguousarray(array, "<f8").tobytes()).decode("ascii")


def steps_that_fit(shapes: Sequence[tuple[int, ...]], ink: int, total: int) -> list[int]:
    """Return as many of the usual steps as a page has room for, spread evenly, the first always among them.

    `shapes` are those of the parameters, the first that of the first weight; `ink` is the number of its inputs that are
    not zero, `total` the number of steps of the training.
    """
    usual = [step for step in USUAL_STEPS if step <= total]
    weights = sum(int(np.prod(shape)) for shape in shapes)
    gradients = weights - shapes[0][0] * (shapes[0][1] - ink)
    room = (LIMIT - FOR_THE_REST) // ((weights + gradients) * 32 // 3)
    count = max(1, min(len(usual), room))
    return [usual[round(n * (len(usual) - 1) / max(1, count - 1))] for n in range(count)]
