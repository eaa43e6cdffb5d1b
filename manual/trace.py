"""The trace of a step: its named tensors in the order in which a step makes them, and how they show themselves."""

from html import escape

import numpy as np

from manual.checks import Array


class Trace(dict[str, Array]):
    """Tensors by name. Printed, it is a line a tensor: name, shape, dtype, smallest and largest value."""

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return (name, shape, dtype, range) of every tensor."""
        return [(name, str(array.shape), str(array.dtype), extent(array)) for name, array in self.items()]

    def __repr__(self) -> str:
        rows = self.rows()
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
        return "\n".join([f"<Trace of {len(self)} tensors>", *lines])

    def _repr_html_(self) -> str:
        lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in self.rows()]
        head = "<th>tensor</th><th>shape</th><th>dtype</th><th>from … to</th>"
        return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def extent(array: Array) -> str:
    """Return the smallest and the largest value as text; nothing for an empty array or complex numbers."""
    if array.size == 0 or np.iscomplexobj(array):
        return ""
    return f"{np.min(array):.4g} … {np.max(array):.4g}" if array.size > 1 else f"{array.item():.6g}"
