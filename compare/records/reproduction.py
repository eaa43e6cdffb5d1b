"""The script `reproduce.py`: takes the failing step once more, with torch alone, and holds the recorded tensor to it.

It is written from the description: torch's own expressions of the layers, the loss and the optimizer. Layers that
torch.nn has not, or not so that they take one tensor and give one, are copied into it from `reference`.
"""

import inspect
from collections.abc import Mapping
from string import Template
from typing import Any

import numpy as np

from compare.agreement.operations import PREPARATION, preparation
from compare.agreement.verdict import Finding
from compare.experiment.description import Experiment, Layer
from reference.layers import DEFAULTS, OURS
from reference.losses import OF_LABELS, WEIGHTS

SCRIPT = Template('''"""Shows the disagreement that backproof found, with NumPy and torch alone: python reproduce.py

$about
manual.npz     every named tensor of the failing step, as the manual side had it: batch, parameters, outputs, gradients
reference.npz  the same of the reference
state.npz      the optimizer's state before the step, and how many steps it had taken
"""

import sys
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

warnings.filterwarnings("ignore", message="reduction: 'mean' divides|Detected call of `lr_scheduler.step")
here = Path(__file__).resolve().parent
manual, recorded, state = (np.load(here / f"{name}.npz") for name in ("manual", "reference", "state"))


def tensor_of(name):
    return torch.tensor(recorded[name])

$classes
network = nn.Sequential(OrderedDict([
$layers
]))


def loss_function(prediction, target):
$loss


# The same step once more, from the recorded batch, parameters, statistics, masks and state.
computed = {"input": tensor_of("input"), "target": tensor_of("target")}
network.to(tensor_of("loss").dtype)
parameters, buffers = dict(network.named_parameters()), dict(network.named_buffers())
for name, tensor in {**parameters, **buffers}.items():
    tensor.data = tensor_of(name)
    computed[name] = tensor.detach().clone()
for name, module in network.named_modules():
    if f"{name}.mask" in recorded.files:
        module.replay({"mask": tensor_of(f"{name}.mask")})
        computed[f"{name}.mask"] = tensor_of(f"{name}.mask")
outputs, x = {}, computed["input"]
for name, layer in network.named_children():
    x = outputs[name] = layer(x)
    if x.requires_grad:
        x.retain_grad()
    computed[f"{name}.output"] = x
for name, buffer in buffers.items():
    computed[f"{name}.updated"] = buffer
computed["loss"] = loss_function(x, computed["target"])
computed["loss"].backward()
for name, output in outputs.items():
    if output.grad is not None:
        computed[f"{name}.output.grad"] = output.grad
for name, parameter in parameters.items():
    computed[f"{name}.grad"] = parameter.grad
$update

def relative_difference(found, wanted):
    return np.linalg.norm(np.ravel(found - wanted)) / (np.linalg.norm(np.ravel(wanted)) or 1.0)


tensor, index = $tensor, $index
bound = $bound  # the difference that rounding allows
print(f"step $step, {tensor}, made by $operation")
print($reason)
if tensor not in manual.files or tensor not in computed:
    print(f"{tensor} is only on one side: the manual side {'has' if tensor in manual.files else 'lacks'} it")
    sys.exit(1)
mine, theirs = manual[tensor], computed[tensor].detach().numpy()
if mine.shape != theirs.shape:
    print(f"shapes differ: manual {mine.shape}, torch {theirs.shape}")
    sys.exit(1)
if mine.dtype != theirs.dtype:
    print(f"dtypes differ: manual {mine.dtype}, torch {theirs.dtype}")
    sys.exit(1)
if index is not None:
    print(f"element {list(index)}: manual {mine[index]!r}, torch {theirs[index]!r}")
error = relative_difference(mine.astype(float), theirs.astype(float))
other = relative_difference(recorded[tensor].astype(float), theirs.astype(float))
allowed = 1e3 * np.finfo(mine.dtype).eps if np.issubdtype(mine.dtype, np.inexact) else 0.0
print(f"relative difference of the whole tensor: {error:.3g}")
if other > allowed:
    print(f"the reference, as it was recorded, differs from torch here by {other:.3g}")
agree = error <= allowed and other <= allowed
if index is not None and bound is not None and np.isfinite(bound):
    agree = agree and abs(float(mine[index]) - float(theirs[index])) <= bound
print("they agree" if agree else "they disagree")
sys.exit(0 if agree else 1)
''')

UPDATE = Template("""
optimizer = torch.optim.$kind(
    [
        *[{"params": [p], "weight_decay": $decay} for n, p in parameters.items()],
    ],
    $options,
)
for full in state.files:
    name, _, key = full.rpartition(".")
    if name in parameters and key != "accumulated":
        optimizer.state[parameters[name]][key] = torch.tensor(state[full])
steps = int(state["micro"])  # taken before this one
$preparation
if (steps + 1) % $accumulate == 0:
    optimizer.step()
for name, parameter in parameters.items():
    computed[f"{name}.updated"] = parameter
    for key, value in optimizer.state[parameter].items():
        if value is not None:
            computed[f"$prefix.{name}.{key}"] = value
""")

ACCUMULATION = Template("""for name, parameter in parameters.items():
    before = torch.tensor(state[f"{name}.accumulated"]) if steps % $accumulate else torch.zeros_like(parameter)
    parameter.grad = computed[f"{name}.grad.accumulated"] = before + computed[f"{name}.grad"] / $accumulate
""")

CLIPPING = Template("""if (steps + 1) % $accumulate == 0:
    for name, parameter in parameters.items():
        parameter.grad = computed[f"{name}.grad.clipped"] = parameter.grad.clone()
    $clip
""")

SCHEDULE = Template("""schedule = $schedule
for _ in range(steps // $accumulate):
    schedule.step()
computed["$prefix.lr"] = torch.tensor(optimizer.param_groups[0]["lr"], dtype=x.dtype)
""")


def script(experiment: Experiment, finding: Finding) -> str:
    """Return the script that shows the divergence."""
    return SCRIPT.substitute(
        about=f"{experiment.name}, step {finding.step}: {finding.tensor} disagrees at {finding.operation}.\n",
        classes=classes_code(experiment),
        layers="\n".join(f"    ({x.name!r}, {layer_code(x)})," for x in experiment.layers),
        loss=loss_code(experiment),
        update=update_code(experiment) if finding.stage == "update" else "",
        tensor=repr(finding.tensor),
        index=repr(finding.index),
        bound="None" if finding.bound is None else f"float({str(finding.bound)!r})",
        reason=repr(finding.reason),
        step=finding.step,
        operation=finding.operation,
    )


def arguments(values: Mapping[str, Any]) -> str:
    """Return keyword arguments as code."""
    return ", ".join(f"{key}={value!r}" for key, value in values.items())


def classes_code(experiment: Experiment) -> str:
    """Return the classes of the reference's layers that torch.nn has not, those that the network uses."""
    kinds = {layer.kind for layer in experiment.layers} | {layer.kind for _, layer in experiment.leaves()}
    return "".join(f"\n{inspect.getsource(made)}\n" for kind, made in OURS.items() if kind in kinds)


def layer_code(layer: Layer) -> str:
    """Return the expression of a layer; a function of torch becomes a module by a small class of its own."""
    if layer.kind == "Residual":
        inner = ", ".join(f"({x.name!r}, {layer_code(x)})" for x in layer.inner)
        return f"Residual(OrderedDict([{inner}]))"
    if not layer.reference:
        given = {**DEFAULTS.get(layer.kind, {}), **layer.arguments}
        return f"{'' if layer.kind in OURS else 'nn.'}{layer.kind}({arguments(given)})"
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
    weights = {key: options.pop(key) for key in WEIGHTS if options.get(key) is not None}
    lines = []
    if kind not in OF_LABELS:
        lines += [
            "if not target.is_floating_point():",
            "    target = nn.functional.one_hot(target.long(), prediction.shape[1]).to(prediction.dtype)",
        ]
    else:
        lines += ["target = target if target.is_floating_point() else target.long()"]
    divided = {"sum": "", "batchmean": " / len(prediction)", "mean": " / prediction.numel()"}[reduction]
    if kind == "SquaredError":
        lines.append(f"return {options.get('factor', 0.5)!r} * (prediction - target).square().sum(){divided}")
    else:
        own = {**options, "reduction": "sum" if reduction == "batchmean" else reduction}
        given = [arguments(own), *(f"{key}={weight_code(weight)}" for key, weight in weights.items())]
        whole = f"nn.{kind}({', '.join(given)})(prediction, target)"
        lines.append(f"return {whole}{divided if reduction == 'batchmean' else ''}")
    return "\n".join(f"    {line}" for line in lines)


def weight_code(weight: Any) -> str:
    """Return a loss's weights as a tensor of the prediction's dtype."""
    return f"torch.tensor({np.asarray(weight).tolist()!r}, dtype=prediction.dtype)"


def update_code(experiment: Experiment) -> str:
    """Return the lines that take the optimizer's step: gather, clip, set the learning rate, update."""
    kind, before = experiment.optimizer.kind, preparation(experiment)
    options = {k: v for k, v in experiment.optimizer.options([]).items() if k not in (*PREPARATION, "weight_decay")}
    k, prefix, decay = before["accumulate"], kind.lower(), repr(experiment.optimizer.weight_decay)
    lines = ACCUMULATION.substitute(accumulate=k) if k > 1 else ""
    if before["max_norm"] is not None:
        given = f"{before['max_norm']!r}, {before['norm_type']!r}"
        lines += CLIPPING.substitute(accumulate=k, clip=f"nn.utils.clip_grad_norm_(list(parameters.values()), {given})")
    if before["clip_value"] is not None:
        clip = f"nn.utils.clip_grad_value_(list(parameters.values()), {before['clip_value']!r})"
        lines += CLIPPING.substitute(accumulate=k, clip=clip)
    if before["schedule"]:
        lines += SCHEDULE.substitute(schedule=schedule_code(before["schedule"]), accumulate=k, prefix=prefix)
    return UPDATE.substitute(
        kind=kind, options=arguments(options), prefix=prefix, accumulate=k, preparation=lines.rstrip(),
        decay=decay if experiment.optimizer.decays == "all" else f'{decay} if n.endswith("weight") else 0.0',
    )  # fmt: skip


def schedule_code(description: Mapping[str, Any]) -> str:
    """Return torch's expression of a schedule of the learning rate; SequentialLR's own are nested."""
    given = {key: value for key, value in description.items() if key not in ("kind", "schedules")}
    nested_ones = ", ".join(schedule_code(inner) for inner in description.get("schedules", ()))
    own = f", schedulers=[{nested_ones}]" if nested_ones else ""
    return f"lr_scheduler.{description['kind']}(optimizer{own}, {arguments(given)})"
