"""The environment of a run: what the numbers depend on besides the experiment, as far as it can be read."""

import functools
import os
import platform
import re
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
    "MKL_ENABLE_INSTRUCTIONS", "MKL_DYNAMIC", "OMP_DYNAMIC", "ONEDNN_MAX_CPU_ISA", "TORCH_NUM_THREADS",
)  # fmt: skip


def environment(device: str = "cpu") -> dict[str, Any]:
    """Return the environment as JSON data. No names of the user, the machine or their folders are in it.

    Threads are those of this moment: ask while those of the run are set. `device` is where the reference computes.
    """
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
        "torch_blas": torch_blas(),
        "threads": {"torch": torch.get_num_threads(), "torch_interop": torch.get_num_interop_threads()},
        "determinism": determinism(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "git": git_state(),
    }


@functools.cache
def version(package: str) -> str | None:
    """Return the installed version of a package: that which is in this process, whatever is installed later."""
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
    """Return the thread pools in the process: library, version, kernel, threads; in an order of their own."""
    keys = ("user_api", "internal_api", "version", "architecture", "threading_layer", "num_threads")
    return sorted(({key: pool.get(key) for key in keys} for pool in threadpool_info()), key=str)


def torch_blas() -> dict[str, Any]:
    """Return the libraries that torch was built with for its matrix products, with their versions."""
    built = torch.__config__.show()
    libraries = [line.strip(" -") for line in built.splitlines() if re.search(r"Math Kernel|MKL-DNN|OpenMP", line)]
    name = re.search(r"\bBLAS_INFO=([^,\s]+)", built)
    return {"name": name[1] if name else None, "libraries": [re.sub(r" \(Git Hash.*", "", x) for x in libraries]}


def determinism() -> dict[str, Any]:
    """Return the switches of torch on which it depends whether a repetition has the same bits."""
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "matmul_precision": torch.get_float32_matmul_precision(),
    }


def differences(recorded: Any, here: Any, key: str = "") -> list[dict[str, Any]]:
    """Return where two environments differ: the key, dotted, what was recorded and what is here."""
    if isinstance(recorded, dict) and isinstance(here, dict):
        keys = [*recorded, *(name for name in here if name not in recorded)]
        pairs = [(f"{key}.{name}".strip("."), recorded.get(name), here.get(name)) for name in keys]
        return [found for name, old, new in pairs for found in differences(old, new, name)]
    if isinstance(recorded, list) and isinstance(here, list) and len(recorded) == len(here):
        pairs = [(f"{key}[{i}]", old, new) for i, (old, new) in enumerate(zip(recorded, here, strict=True))]
        return [found for name, old, new in pairs for found in differences(old, new, name)]
    return [] if recorded == here else [{"key": key, "recorded": recorded, "here": here}]


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
