"""A port of the article network in NumPy alone: it knows the export and FORM.md, and nothing of this project."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

Steps = dict[int, dict[str, np.ndarray]]
SHAPES = {"linear1.weight": (30, 784), "linear1.bias": (30,), "linear2.weight": (10, 30), "linear2.bias": (10,)}


def raw(folder: Path) -> tuple[dict[str, np.ndarray], dict[tuple[int, str], np.ndarray]]:
    """Return the parameters and the batches, by the index of the raw binaries."""
    parameters, batches = {}, {}
    for entry in json.loads((folder / "tensors" / "index.json").read_text()):
        data = (folder / "tensors" / entry["file"]).read_bytes()[entry["offset"] :][: entry["length"]]
        array = np.frombuffer(data, np.dtype(entry["dtype"]).newbyteorder("<")).reshape(entry["shape"])
        if "step" in entry:
            batches[entry["step"], entry["name"]] = array
        else:
            parameters[entry["name"]] = array.copy()
    return parameters, batches


def sigmoid(z: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


def train(folder: Path, mistake: str = "") -> Steps:
    """Return every named tensor of every step; with a mistake if one is named."""
    p, batches = raw(folder)
    lr = json.loads((folder / "architecture.json").read_text())["optimizer"]["lr"]
    steps: Steps = {}
    for step in range(1, 1 + max(number for number, _ in batches)):
        x, labels = batches[step, "input"], batches[step, "target"]
        n, t = len(x), np.eye(10, dtype=x.dtype)[labels]
        s: dict[str, np.ndarray] = {"input": x, "target": labels, **{k: v.copy() for k, v in p.items()}}
        z1 = s["linear1.output"] = x @ p["linear1.weight"].T + p["linear1.bias"]
        a1 = s["sigmoid1.output"] = sigmoid(z1)
        z2 = s["linear2.output"] = a1 @ p["linear2.weight"].T + p["linear2.bias"]
        a2 = s["sigmoid2.output"] = sigmoid(z2)
        s["loss"] = np.asarray(np.square(a2 - t).sum() / (2 * n), x.dtype)
        da2 = s["sigmoid2.output.grad"] = (a2 - t) / (1 if mistake == "no-1/N" else n)
        dz2 = s["linear2.output.grad"] = da2 * a2 * (1 - a2)
        s["linear2.weight.grad"], s["linear2.bias.grad"] = dz2.T @ a1, dz2.sum(axis=0)
        da1 = s["sigmoid1.output.grad"] = dz2 @ p["linear2.weight"]
        dz1 = s["linear1.output.grad"] = da1 * (1 if mistake == "no-derivative" else a1 * (1 - a1))
        s["linear1.weight.grad"] = dz1.T @ x
        s["linear1.bias.grad"] = dz1[0].copy() if mistake == "bias-first-example" else dz1.sum(axis=0)
        for name in p:
            p[name] = p[name] - x.dtype.type(lr) * s[f"{name}.grad"]
            s[f"{name}.updated"] = p[name].copy()
        steps[step] = s
    return steps


def write_raw(folder: Path, steps: Steps, byte_order: Literal["<", ">"] = "<", order: Literal["C", "F"] = "C") -> None:
    """Write the trace as one raw binary with its index."""
    trace, entries, data = folder / "trace", [], b""
    trace.mkdir(exist_ok=True)
    for step, tensors in steps.items():
        for name, array in tensors.items():
            own = array.astype(array.dtype.newbyteorder(byte_order)).tobytes(order=order)
            place = {"file": "trace.bin", "offset": len(data), "length": len(own)}
            entries.append({"step": step, "name": name, "dtype": array.dtype.name, "shape": list(array.shape), **place})
            data += own
    (trace / "trace.bin").write_bytes(data)
    (trace / "index.json").write_text(json.dumps(entries))


def chosen(steps: Steps, wanted: Callable[[int, str], bool]) -> Steps:
    """Return a subset of a trace."""
    return {step: {n: a for n, a in tensors.items() if wanted(step, n)} for step, tensors in steps.items()}
