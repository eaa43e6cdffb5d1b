"""Precision lost in one tensor: float32 or float16 inside a float64 network, float16 inside a float32 one.

What is found then differs from the right tensor by rounding, but that of the smaller dtype. So it is not compared with
one re-enactment (whose roundings depend on the order of summation) but with the operation's bound at that dtype's u:
see `reenactment.explains`.
"""

from functools import partial

import numpy as np

from compare.diagnosis.mistakes.catalogue import LOSSES, mistake
from compare.diagnosis.site import Site

LOWER = {"float16": np.float16, "float32": np.float32}  # the coarser first: what fits in it fits in the finer too


def lowered(site: Site, key: str, dtype: type) -> np.ndarray | None:
    """Return the right tensor rounded to the lower precision; None where the network's is no higher."""
    right = site.right[key]
    return right.astype(dtype) if np.finfo(right.dtype).eps < np.finfo(dtype).eps else None


def declare(name: str, dtype: type) -> None:
    """Declare the loss of precision to one dtype, in each tensor where it happens."""
    u = float(np.finfo(dtype).eps) / 2
    for where, on, key in (
        ("forward", ("Linear",), "output"),
        ("weight-gradient", ("Linear",), "weight"),
        ("delta", LOSSES, "gradient"),
        ("update", ("SGD",), "updated"),
    ):
        about = f"Precision is lost: the tensor passes through {name}."
        mistake(f"{name}-in-{where}", about, on, key, precision=u)(partial(lowered, key=key, dtype=dtype))


for _name, _dtype in LOWER.items():
    declare(_name, _dtype)
