"""The script of a divergence, for every kind of layer, loss and optimizer: torch alone shows the planted mistake.

A correct network beside it shows that the script takes the very step that the reference took.
"""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manual
from compare.agreement.verdict import Finding, Verdict
from compare.diagnosis.mistakes import CATALOGUE
from compare.diagnosis.plant import find_mistake
from compare.experiment.classes import LAYERS, LOSSES, OPTIMIZERS
from compare.experiment.files import from_document, read_experiment
from compare.lockstep.loop import Loop, Step
from compare.records.divergence import write_divergence
from compare.selftest.grounds import Ground, linear, small_dataset, small_grounds
from tests.diagnosis.conftest import Reproduce, Shown

GROUNDS = {ground.experiment.name: ground for ground in small_grounds()}
SEVERAL = {
    "learning rate": {"schedule": {"kind": "SequentialLR", "milestones": [2], "schedules": [
        {"kind": "LinearLR", "total_iters": 2}, {"kind": "CosineAnnealingLR", "T_max": 9},
    ]}},
    "gathered and clipped": {"kind": "AdamW", "lr": 0.01, "accumulate": 3, "max_norm": 0.05, "decays": "weights"},
    "clipped by value": {"lr": 0.3, "momentum": 0.9, "clip_value": 0.01, "accumulate": 2},
}  # fmt: skip


def shown(folder: Path, ground: Ground, step: Step, reproduce: Reproduce) -> Shown:
    """Return what the script of a step says."""
    write_divergence(folder, ground.experiment, step)
    result = reproduce(folder)
    assert result.stderr == ""
    return result


def planted(ground: Ground, name: str) -> Step | None:
    """Return the step at which a planted mistake is found; None if it has no effect here."""
    loop = Loop(ground.experiment, ground.dataset, mistake=find_mistake(name))
    with np.errstate(all="ignore"):
        steps = list(islice(loop, 12))
    assert loop.planted is not None
    finding = steps[-1].finding
    assert (finding is None) == (loop.planted.first_effect is None)
    return steps[-1] if finding else None


def first_mistakes(ground: Ground) -> list[str]:
    """Return, for every operation of the network, a mistake that is particular to it, forward and backward."""
    chosen: dict[tuple[str, bool], str] = {}
    for mistake in CATALOGUE.values():
        # Not those that no operation makes: with the reference's memory shared there is nothing to show.
        for kind in mistake.on if len(mistake.on) <= 2 and "Network" not in mistake.on else ():
            forward = mistake.key in ("output", "value", "updated")
            if (kind, forward) not in chosen and ground.admits(mistake):
                chosen[kind, forward] = mistake.name
    return list(dict.fromkeys(chosen.values()))


@pytest.mark.parametrize(("name", "dtype"), [(n, ("float64", "float32")[i % 2]) for i, n in enumerate(GROUNDS)])
def test_it_shows_a_mistake_in_every_operation(name: str, dtype: str, tmp_path: Path, reproduce: Reproduce) -> None:
    ground = GROUNDS[name].computed_in(dtype)
    mistakes = first_mistakes(ground)
    assert mistakes
    for mistake in mistakes:
        step = planted(ground, mistake)
        if step is None:
            continue
        result = shown(tmp_path / mistake, ground, step, reproduce)
        assert step.finding is not None
        assert step.finding.tensor in result.stdout.splitlines()[0]
        assert result.stdout.splitlines()[-1] == "they disagree", (mistake, result.stdout)
        assert result.returncode == 1
        assert "as it was recorded" not in result.stdout, mistake  # torch finds again what the reference found


def test_the_networks_have_every_layer_loss_and_optimizer() -> None:
    experiments = [ground.experiment for ground in GROUNDS.values()]
    assert {layer.kind for e in experiments for _, layer in e.leaves()} | {"Residual"} == {*LAYERS}
    assert {e.loss.kind for e in experiments} == {*LOSSES}
    assert {e.optimizer.kind for e in experiments} == {*OPTIMIZERS}


def correct(ground: Ground, tensor: str, count: int) -> Step:
    """Return a correct step, with a finding made up for one of its tensors."""
    *_, step = islice(Loop(ground.experiment, ground.dataset), count)
    assert step.finding is None
    stage = "update" if "updated" in tensor or tensor.endswith((".lr", "clipped", "accumulated")) else "backward"
    finding = Finding(step.number, Verdict.DIVERGES, stage, tensor, "made up", "Made up.")
    copies: dict[str, Any] = {key: {n: np.array(a) for n, a in getattr(step, key).items()} for key in SIDES}
    return Step(step.number, 0, 0.0, 0.0, finding=finding, state_before=step.state_before, **copies)


SIDES = ("manual", "reference")


@pytest.mark.parametrize("name", GROUNDS)
def test_of_a_correct_step_it_says_that_every_tensor_agrees(name: str, tmp_path: Path, reproduce: Reproduce) -> None:
    """The last tensor of all: an updated parameter, which everything before has gone into."""
    ground = GROUNDS[name]
    tensor = next(n for n in reversed(list(correct(ground, "loss", 1).manual)) if n.endswith(".updated"))
    for count in (1, 4):
        result = shown(tmp_path / f"{count}", ground, correct(ground, tensor, count), reproduce)
        assert result.stdout.splitlines()[-1] == "they agree", result.stdout


@pytest.mark.parametrize("case", SEVERAL)
def test_what_comes_before_the_rule(case: str, tmp_path: Path, reproduce: Reproduce) -> None:
    document = {
        "name": "prepared", "layers": [linear(16, 5), {"kind": "Tanh"}, linear(5, 3)],
        "loss": {"kind": "CrossEntropyLoss"}, "optimizer": SEVERAL[case],
        "training": {"batch_size": 7, "epochs": 2, "mode": "lockstep"},
    }  # fmt: skip
    ground = Ground(from_document(document, "here"), small_dataset(3))
    for count in range(1, 8):
        trace = correct(ground, "loss", count).manual
        made = [n for n in trace if n.endswith((".lr", ".accumulated", ".clipped", "weight.updated"))]
        for tensor in made:
            folder = tmp_path / f"{count} {tensor}"
            step = correct(ground, tensor, count)
            assert shown(folder, ground, step, reproduce).stdout.splitlines()[-1] == "they agree", (count, tensor)
            spoiled = {**step.manual, tensor: np.asarray(step.manual[tensor] * 1.001, step.manual[tensor].dtype)}
            wrong = Step(count, 0, 0.0, 0.0, finding=step.finding, state_before=step.state_before, manual=spoiled,
                         reference=step.reference)  # fmt: skip
            told = shown(tmp_path / f"{count} {tensor} spoiled", ground, wrong, reproduce)
            assert told.stdout.splitlines()[-1] == "they disagree", (count, tensor)


def test_a_fault_of_the_recorded_reference_is_told(tmp_path: Path, reproduce: Reproduce) -> None:
    """The reference in evaluation: torch, in training, comes to what the manual side has."""
    ground = GROUNDS["small-batchnorm"]
    loop = Loop(ground.experiment, ground.dataset)
    loop.reference.network.layers.eval()
    step = next(iter(loop))
    assert step.finding is not None
    result = shown(tmp_path / "kept", ground, step, reproduce)
    assert "the reference, as it was recorded, differs from torch here by" in result.stdout
    assert result.returncode == 1


def test_a_manual_side_that_raised_is_told(tmp_path: Path, reproduce: Reproduce) -> None:
    class Broken(manual.Flatten):
        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            raise ValueError("not 'today', \\ nor tomorrow\n")

    ground = GROUNDS["small-attention"]
    (step,) = Loop(ground.experiment, ground.dataset, {"flatten1": Broken()})
    result = shown(tmp_path / "kept", ground, step, reproduce)
    assert "is only on one side: the manual side lacks it" in result.stdout
    assert result.returncode == 1


@pytest.mark.parametrize("preset", ["gpt-digits", "attention-rows"])
def test_nested_layers_of_the_presets(preset: str, tmp_path: Path, reproduce: Reproduce) -> None:
    changes = {"training": {"mode": "lockstep", "steps": 1, "batch_size": 3}}
    experiment = read_experiment(preset, changes)
    ground = Ground(experiment, small_dataset(10, 28))
    tensor = "linear1.weight.updated"
    assert shown(tmp_path / "kept", ground, correct(ground, tensor, 1), reproduce).stdout.endswith("they agree\n")
