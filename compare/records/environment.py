"""The environment of a run: what the numbers depend on besides the experiment, as far as it can be read."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_info

PACKAGES = ("backproof", "numpy", "torch", "torchvision", "scikit-learn", "safetensors", "threadpoolctl")
VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "MKL_NUM_THREADS", "MKL_CBWR",
    "VECLIB_MAXIMUM_THREADS", "NPY_DISABLE_CPU_FEATURES", "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Return the environment as JSON data. No names of the user, the machine or their folders are in it."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "packages": {name: version(name) for name in PACKAGES} | {"torch": str(torch.__version__)},  # with its build
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "numpy_simd": simd(),
        "torch_simd": torch.backends.cpu.get_cpu_capability(),
        "blas": blas_pools(),
        "torch_threads": torch.get_num_threads(),
        "torch_deterministic": torch.are_deterministic_algorithms_enabled(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "git": git_state(),
    }


def version(package: str) -> str | None:
    """Return the installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def simd() -> list[str]:
    """Return the vector extensions that NumPy found."""
    config: Any = np.show_config(mode="dicts")
    extensions = config.get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])]


def blas_pools() -> list[dict[str, Any]]:
    """Return the thread pools in the process: library, version, kernel, threads."""
    keys = ("user_api", "internal_api", "version", "architecture", "threading_layer", "num_threads")
    return [{key: pool.get(key) for key in keys} for pool in threadpool_info()]


def git_state() -> dict[str, Any] | None:
    """Return the commit of the code and whether its tree is clean, or None outside a git checkout."""
    folder = Path(__file__).resolve().parent

    def ask(*question: str) -> str:
        command = ["git", "-C", str(folder), *question]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "clean": not ask("status", "--porcelain", "--untracked-files=no")}
    except (OSError, subprocess.SubprocessError):
        return None


def command_line() -> list[str]:
    """Return the command as it was given, without the folder of the program."""
    return [Path(sys.argv[0]).name or "python", *sys.argv[1:]]
