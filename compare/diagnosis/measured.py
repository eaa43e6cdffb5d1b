"""What can be measured of a wrong tensor, where no known mistake explains it."""

from typing import Any

import numpy as np

from compare.agreement.rounding.unit import norm


def measure(right: np.ndarray, found: np.ndarray, x: np.ndarray, noise: np.ndarray | float = 0.0) -> dict[str, Any]:
    """Return facts about the difference: constant ratio, cosine, rank, which rows and columns are touched.

    `noise` is what rounding alone may do to each element.
    """
    if right.shape != found.shape or not np.issubdtype(found.dtype, np.inexact):
        return (
            {"shape": {"found": list(found.shape), "wanted": list(right.shape)}} if right.shape != found.shape else {}
        )
    difference, sizes = found - right, norm(right) * norm(found)
    facts: dict[str, Any] = {
        "relative_error": norm(difference) / norm(right) if norm(right) else None,
        "cosine": float((right * found).sum() / sizes) if sizes else None,
        "ratio": constant_ratio(right, found),
    }
    wrong = np.abs(difference) > noise
    facts["elements"] = [int(wrong.sum()), int(wrong.size)]
    if right.ndim == 2:
        facts["rows"] = [int(wrong.any(axis=1).sum()), right.shape[0]]
        facts["columns"] = [int(wrong.any(axis=0).sum()), right.shape[1]]
        if min(right.shape) <= 200 and np.isfinite(difference).all():
            facts["rank_of_difference"] = int(np.linalg.matrix_rank(np.where(wrong, difference, 0)))
    masked = right == 0
    if masked.any() and not masked.all():
        facts["zero_where_right_is_zero"] = bool((found[masked] == 0).all())
    if x.shape == right.shape and (x <= 0).any():
        facts["zero_where_input_is_negative"] = bool((found[x <= 0] == 0).all())
    return facts


def constant_ratio(right: np.ndarray, found: np.ndarray) -> float | None:
    """Return found / right where it is one number for all elements, to a relative 1e-4; otherwise None."""
    whole = float((right * right).sum())
    if not whole:
        return None
    ratio = float((right * found).sum()) / whole
    return ratio if norm(found - ratio * right) <= 1e-4 * abs(ratio) * norm(right) else None
