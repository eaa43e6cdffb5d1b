"""A divergence kept whole: the failing step's traces, and a script that shows it with NumPy and torch alone."""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from compare.experiment.description import Experiment, Layer
from compare.lockstep.loop import Step

SCRIPT = Template('''"""Shows the disagreement that backproof found, with NumPy and torch alone: python reproduce.py

$about
manual.npz     every named tensor of the failing step, as the manual side had it: batch, parameters, outputs, gradients
reference.npz  the same of the reference
state.npz      the optimizer's state before the step
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

here = Path(__file__).resolve().parent
manual, recorded, state = (np.load(here / f"{name}.npz") for name in ("manual", "reference", "state"))

layers = {
$layers
}


def loss_function(prediction, target):
$loss


# The same step once more, from the recorded batch, parameters and state.
computed = {"input": torch.tensor(recorded["input"]), "target": torch.tensor(recorded["target"])}
parameters, outputs = {}, {}
x = computed["input"]
for name, layer in layers.items():
    layer.to(x.dtype)
    for key, parameter in layer.named_parameters():
        parameter.data = torch.tensor(manual[f"{name}.{key}"])
        parameters[f"{name}.{key}"] = parameter
        computed[f"{name}.{key}"] = parameter.detach().clone()
    x = outputs[name] = layer(x)
    if x.requires_grad:
        x.retain_grad()
    computed[f"{name}.output"] = x
computed["loss"] = loss_function(x, computed["target"])
computed["loss"].backward()
for name, output in outputs.items():
    if output.grad is not None:
        computed[f"{name}.output.grad"] = output.grad
for name, parameter in parameters.items():
    computed[f"{name}.grad"] = parameter.grad
$update

tensor, index = $tensor, $index
mine, theirs = manual[tensor], computed[tensor].detach().numpy()
print(f"step $step, {tensor}, made by $operation")
if mine.shape != theirs.shape:
    print(f"shapes differ: manual {mine.shape}, torch {theirs.shape}")
    sys.exit(1)
if index is not None:
    print(f"element {list(index)}: manual {mine[index]!r}, torch {theirs[index]!r}")
size = np.linalg.norm(theirs.astype(float))
error = np.linalg.norm(mine.astype(float) - theirs.astype(float)) / (size or 1.0)
print(f"relative difference of the whole tensor: {error:.3g}")
agree = error <= 1e3 * np.finfo(mine.dtype).eps if np.issubdtype(mine.dtype, np.inexact) else error == 0
print("they agree" if agree else "they disagree")
sys.exit(0 if agree else 1)
''')

UPDATE = Template("""
optimizer = torch.optim.$kind(
    [
$groups
    ],
    $options,
)
for name, parameter in parameters.items():
    for key in state.files:
        if key.startswith(f"{name}."):
            optimizer.state[parameter][key.removeprefix(f"{name}.")] = torch.tensor(state[key])
optimizer.step()
for name, parameter in parameters.items():
    computed[f"{name}.updated"] = parameter
    for key, value in optimizer.state[parameter].items():
        if value is not None:
            computed[f"$prefix.{name}.{key}"] = value""")


def write_divergence(folder: Path, experiment: Experiment, step: Step) -> None:
    """Write the folder of a divergence. Raises OSError."""
    finding = step.finding
    if finding is None:
        raise ValueError("The step has no finding.")
    folder.mkdir()
    save(folder / "manual.npz", step.manual)
    save(folder / "reference.npz", step.reference)
    save(folder / "state.npz", step.state_before)
    (folder / "reproduce.py").write_text(script(experiment, step), encoding="utf-8")


def save(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays; nothing is pickled."""
    kept: dict[str, Any] = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    np.savez(path, **kept)


def script(experiment: Experiment, step: Step) -> str:
    """Return the script that shows the divergence."""
    finding = step.finding
    if finding is None:
        raise ValueError("The step has no finding.")
    layers = [f"    {x.name!r}: {layer_code(x)}," for x in experiment.layers]
    return SCRIPT.substitute(
        about=f"{experiment.name}, step {finding.step}: {finding.tensor} disagrees at {finding.operation}.\n",
        layers="\n".join(layers),
        loss=loss_code(experiment),
        update=update_code(experiment, step) if finding.stage == "update" else "",
        tensor=repr(finding.tensor),
        index=repr(finding.index),
        step=finding.step,
        operation=finding.operation,
    )


def arguments(values: Mapping[str, Any]) -> str:
    """Return keyword arguments as code."""
    return ", ".join(f"{key}={value!r}" for key, value in values.items())


def layer_code(layer: Layer) -> str:
    """Return the torch expression of a layer; a function of torch becomes a module by a small class of its own."""
    if not layer.reference:
        return f"nn.{layer.kind}({arguments(layer.arguments)})"
    name = layer.reference.rpartition(".")[2]
    if name[0].isupper():
        return f"{layer.reference}({arguments(layer.arguments)})"
    given = f", {arguments(layer.arguments)}" if layer.arguments else ""
    forward = f"lambda self, x: {layer.reference}(x{given})"
    return f"type({name!r}, (nn.Module,), {{'forward': {forward}}})()"


def loss_code(experiment: Experiment) -> str:
    """Return the body of the loss function."""
    kind, options = experiment.loss.kind, dict(experiment.loss.arguments)
    reduction = options.pop("reduction", "batchmean" if kind == "SquaredError" else "mean")
    lines = []
    if kind not in ("CrossEntropyLoss", "NLLLoss"):
        lines += [
            "if not target.is_floating_point():",
            "    target = nn.functional.one_hot(target, prediction.shape[1]).to(prediction.dtype)",
        ]
    divided = {"sum": "", "batchmean": " / len(prediction)", "mean": " / prediction.numel()"}[reduction]
    if kind == "SquaredError":
        lines.append(f"return {options.get('factor', 0.5)!r} * (prediction - target).square().sum(){divided}")
    elif reduction == "batchmean":
        summed = arguments({**options, "reduction": "sum"})
        lines.append(f"return nn.{kind}({summed})(prediction, target) / len(prediction)")
    else:
        lines.append(f"return nn.{kind}({arguments({**options, 'reduction': reduction})})(prediction, target)")
    return "\n".join(f"    {line}" for line in lines)


def update_code(experiment: Experiment, step: Step) -> str:
    """Return the lines that take the optimizer's step."""
    names = [name.removesuffix(".updated") for name in step.manual if name.endswith(".updated")]
    options = experiment.optimizer.options(names)
    decays = options.pop("weight_decay")
    groups = (
        "        *[{'params': [p], 'weight_decay': " + repr(decays) + ".get(n, 0.0)} for n, p in parameters.items()],"
    )
    kind = experiment.optimizer.kind
    return UPDATE.substitute(kind=kind, groups=groups, options=arguments(options), prefix=kind.lower())
