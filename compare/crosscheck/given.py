"""What one trial is given: inputs, parameters, buffers, and the gradient from above."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
STEPS = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])  # units of u


@dataclass(frozen=True)
class Given:
    """The arrays of one trial by name. Those of a floating dtype share it; integers stay integers."""

    inputs: Arrays
    parameters: Arrays = field(default_factory=dict)
    buffers: Arrays = field(default_factory=dict)
    upstream: tuple[np.ndarray, ...] = ()  # one for each output; an optimizer's gradients, step after step
    drawn: Arrays = field(default_factory=dict)  # what the layer itself drew (a dropout's mask): both sides use it

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> "Given":
        """Return the same with every floating array changed."""

        def changed(array: np.ndarray) -> np.ndarray:
            return np.asarray(change(array)) if array.dtype.kind in "fc" else array.copy()

        groups = {
            group: {name: changed(array) for name, array in getattr(self, group).items()}
            for group in ("inputs", "parameters", "buffers")
        }
        return replace(self, **groups, upstream=tuple(changed(array) for array in self.upstream))

    def cast(self, dtype: Any) -> "Given":
        """Return the same in another floating dtype, every array a copy."""
        return self.each(lambda array: array.astype(dtype))

    def with_upstream(self, change: Callable[[np.ndarray], np.ndarray]) -> "Given":
        """Return the same with another gradient from above."""
        return replace(self, upstream=tuple(np.asarray(change(array)) for array in self.upstream))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays under one name each, as a message shows them."""
        several = len(self.upstream) > 1
        above = {f"grad_output{i if several else ''}": array for i, array in enumerate(self.upstream)}
        return {**self.inputs, **self.parameters, **self.buffers, **above}

    def replaced(self, name: str, array: np.ndarray) -> "Given":
        """Return the same with the array of that name (as in `arrays`) replaced."""
        for group in ("inputs", "parameters", "buffers"):
            if name in getattr(self, group):
                return replace(self, **{group: {**getattr(self, group), name: array}})
        position = int(name.removeprefix("grad_output") or 0)
        return replace(self, upstream=(*self.upstream[:position], array, *self.upstream[position + 1 :]))

    @property
    def size(self) -> int:
        """The number of elements of all inputs: what "smallest" means."""
        return sum(array.size for array in self.inputs.values())


class Mover:
    """Moves every value by one to three u up or down, at random; equal values are moved alike, so that ties stay ties.

    Corners (0, 1, 1/2, 3) may be kept: to fall off one is no matter of rounding, and scatters as no rounding does.
    """

    def __init__(self, given: Given):
        self.given = given
        arrays = [array for array in given.arrays().values() if array.dtype.kind == "f"]
        flat = np.concatenate([array.ravel() for array in arrays] or [np.zeros(0)])
        self.values, where = np.unique(flat, return_inverse=True)
        ends = np.cumsum([array.size for array in arrays])
        places = np.split(where.ravel(), ends[:-1]) if arrays else []
        self.where = {id(a): place.reshape(a.shape) for a, place in zip(arrays, places, strict=True)}
        self.corners = self.values * 2 == np.rint(self.values * 2)
        self.meets_corners = bool(self.corners.any())

    def __call__(self, dtype: Any, u: float, rng: np.random.Generator, keep_corners: bool) -> Given:
        """Return the arrays in `dtype`, moved."""
        steps = rng.choice(STEPS, self.values.shape)
        if keep_corners:
            steps = np.where(self.corners, 0.0, steps)
        moved = (self.values * (1 + u * steps)).astype(dtype)
        return self.given.each(lambda array: moved[self.where[id(array)]])
