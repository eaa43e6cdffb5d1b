"""Which kernels NumPy's BLAS computes with: the one thing here that depends on the machine."""

import ctypes
import functools
import importlib

NAMES = ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename")  # as packages build it
SMALL_KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids")  # cores for which OpenBLAS has kernels for small matrices


@functools.cache
def core() -> str:
    """Return the name of the core that OpenBLAS has chosen its kernels for, "SkylakeX"; "" for another BLAS."""
    try:
        library = ctypes.CDLL(importlib.import_module("numpy._core._multiarray_umath").__file__)
    except (ImportError, OSError, TypeError):
        return ""
    for name in NAMES:
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype = ctypes.c_char_p
            return (function() or b"").decode("ascii", "replace")
    return ""


def has_small_kernels() -> bool:
    """Whether there are kernels for small matrices."""
    return core() in SMALL_KERNELS
