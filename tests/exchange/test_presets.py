"""Every preset goes through the files: right, in part, and wrong as people are; caught, located, and named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare.agreement.operations import PREPARATION
from compare.exchange.export import export
from compare.exchange.formulas import loss_formula, update_formula
from compare.exchange.verified import Verified
from compare.exchange.verify import verify
from compare.experiment.classes import LOSSES, OPTIMIZERS
from compare.experiment.description import Loss, Optimizer
from compare.experiment.files import changes_of, preset_names, read_experiment
from compare.experiment.networks import Side
from compare.lockstep.loop import Loop
from tests.exchange.conftest import Exported
from tests.exchange.port import Steps, chosen, raw, write_raw
from tests.exchange.side import Spoil, Wrong, train

SMALL = {"steps": 3, "batch_size": 5}


def judged(folder: Path, steps: Steps) -> Verified:
    write_raw(folder, steps)
    return verify(folder)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("preset", preset_names())
def test_a_right_port_of_every_preset_agrees_tensor_by_tensor(exported: Exported, preset: str, dtype: str) -> None:
    folder = exported(preset, dtype=dtype, **SMALL)
    outcome = judged(folder, train(folder)).to_json()
    exchange = outcome["exchange"]
    assert outcome["verdict"] in ("AGREES", "EXPLAINED")
    assert (exchange["given"]["fraction"], exchange["missing"], exchange["unmatched"]) == (1, [], {})
    assert outcome["audits"] == {"steps": 3, "checks": outcome["checks"]}
    assert exchange["steps"] == {"exported": 3, "compared": 3, "on_their_own": 3}


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("lenet", "loss"),
        ("adam", "loss"),
        ("adam", ".grad"),
        ("batchnorm", ".updated"),
        ("lstm-rows", ".output"),
        ("attention-rows", ".updated"),
    ],
)
def test_a_right_port_agrees_whatever_part_it_records(exported: Exported, preset: str, wanted: str) -> None:
    folder = exported(preset, **SMALL)
    outcome = judged(folder, chosen(train(folder), lambda _, name: name.endswith(wanted))).to_json()
    assert outcome["verdict"] == "AGREES"
    assert outcome["exchange"]["too_wide"] == []
    # In nearly every tensor a relative mistake of 1e-8 would have been seen.
    powers = [float(p["smallest_relative_mistake"]) for p in outcome["power"].values()]
    assert np.quantile(powers, 0.9) < 1e-8


# --------------------------------------------------------------------------------------------------- mistakes, by hand


def kernel_gradient_flipped(side: Side) -> None:
    def backward(layer: Any, grad_output: np.ndarray) -> Any:
        grad_input = layer.backward(grad_output)
        layer.gradients["weight"] = np.flip(layer.gradients["weight"], (2, 3)).copy()
        return grad_input

    side.network.layers["conv2d2"] = Wrong(side.network.layers["conv2d2"], backward=backward)


def gates_swapped(side: Side) -> None:
    def swapped(arrays: Any) -> dict[str, np.ndarray]:
        return {key: np.concatenate([*np.split(a, 4)[1::-1], *np.split(a, 4)[2:]]) for key, a in arrays.items()}

    def forward(layer: Any, x: np.ndarray) -> Any:
        own = dict(layer.parameters)
        layer.parameters.update(swapped(own))
        y = layer.forward(x)
        layer.parameters.update(own)
        return y

    side.network.layers["lstm1"] = Wrong(side.network.layers["lstm1"], forward=forward)


def variance_biased(side: Side) -> None:
    def forward(layer: Any, x: np.ndarray) -> Any:
        before, y = layer.buffers["running_var"], layer.forward(x)
        layer.buffers["running_var"] = before * 0.9 + 0.1 * x.var(axis=0)
        return y

    side.network.layers["batchnorm1d2"] = Wrong(side.network.layers["batchnorm1d2"], forward=forward)


def correction_forgotten(side: Side) -> None:
    optimizer = side.optimizer

    def update(name: str, parameter: np.ndarray, gradient: np.ndarray) -> None:
        optimizer.direction(name, parameter, gradient)
        m, v = (optimizer.state[f"{name}.{key}"] for key in ("exp_avg", "exp_avg_sq"))
        parameter -= optimizer.lr * m / (np.sqrt(v) + optimizer.eps)

    optimizer.update = update


def scale_missing(side: Side) -> None:
    attention = side.network.layers["residual1"].layers["multiheadattention1"]
    width = attention.embed_dim

    def forward(layer: Any, x: np.ndarray) -> Any:
        own = dict(layer.parameters)
        for key in ("in_proj_weight", "in_proj_bias"):
            queries, others = own[key][:width], own[key][width:]
            layer.parameters[key] = np.concatenate([queries * 2**1.5, others])  # the root of a head's 8 features
        y = layer.forward(x)
        layer.parameters.update(own)
        return y

    side.network.layers["residual1"].layers["multiheadattention1"] = Wrong(attention, forward=forward)


def skip_forgotten(side: Side) -> None:
    def backward(layer: Any, grad_output: np.ndarray) -> Any:
        for inner in reversed(layer.layers.values()):
            grad_output = inner.backward(grad_output)
        return grad_output

    side.network.layers["residual2"] = Wrong(side.network.layers["residual2"], backward=backward)


WRONG = {
    "conv-weight-gradient-flipped": (
        "lenet", kernel_gradient_flipped, "conv2d2.weight.grad", "conv2d2.backward"
    ),
    "lstm-input-and-forget-gate-swapped": ("lstm-rows", gates_swapped, "lstm1.output", "lstm1.forward"),
    "batchnorm-running-var-biased": (
        "batchnorm", variance_biased, "batchnorm1d2.running_var.updated", "batchnorm1d2.forward"
    ),
    "adam-uncorrected": ("adam", correction_forgotten, "linear1.weight.updated", "optimizer.step"),
    "attention-scale-missing": ("attention-rows", scale_missing, "residual1.output", "residual1.forward"),
    "residual-skip-gradient-forgotten": (
        "attention-rows", skip_forgotten, "residual1.output.grad", "residual2.backward"
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_caught_located_and_named(exported: Exported, name: str, dtype: str) -> None:
    preset, spoil, tensor, operation = WRONG[name]
    folder = exported(preset, dtype=dtype, **SMALL)
    verified = judged(folder, train(folder, spoil))
    finding = verified.to_json()["divergence"]
    assert (verified.exit_status, finding["verdict"], finding["step"]) == (1, "DIVERGES", 1)
    assert (finding["tensor"], finding["operation"]) == (tensor, operation)
    assert finding["suspects"][0]["name"] == name
    assert name not in finding["ruled_out"]


@pytest.mark.parametrize(
    ("preset", "spoil", "wanted", "tensor", "name"),
    [
        ("lenet", kernel_gradient_flipped, ".updated", "conv2d2.weight.updated", "conv-weight-gradient-flipped"),
        ("adam", correction_forgotten, ".updated", "linear1.weight.updated", "adam-uncorrected"),
        ("adam", correction_forgotten, "loss", "loss", "adam-uncorrected"),
        ("lenet", kernel_gradient_flipped, "loss", "loss", "conv-weight-gradient-flipped"),
    ],
)
def test_a_mistake_is_named_by_its_effect_alone(
    exported: Exported, preset: str, spoil: Spoil, wanted: str, tensor: str, name: str
) -> None:
    folder = exported(preset, **SMALL)
    finding = judged(folder, chosen(train(folder, spoil), lambda _, n: n.endswith(wanted))).finding
    assert finding is not None
    assert (finding.tensor, finding.step) == (tensor, 2 if wanted == "loss" else 1)
    assert name in [suspect["name"] for suspect in finding.suspects]


# ----------------------------------------------------------------------------------------------- what a port is given


def test_the_masks_are_those_that_a_run_draws(exported: Exported, small: Any) -> None:
    folder = exported("adam", **SMALL)
    _, given = raw(folder)
    loop = Loop(read_experiment("adam", changes_of(mode="lockstep", **SMALL)), small)
    for step in loop:
        assert np.array_equal(given[step.number, "dropout1.mask"], step.manual["dropout1.mask"])
        assert np.array_equal(given[step.number, "input"], step.manual["input"])


def test_a_mask_of_its_own_is_a_finding(exported: Exported) -> None:
    folder = exported("adam", **SMALL)
    steps = train(folder)
    steps[2]["dropout1.mask"] = ~steps[2]["dropout1.mask"]
    finding = judged(folder, steps).finding
    assert finding is not None
    assert (finding.step, finding.tensor) == (2, "dropout1.mask")
    assert "does not use the dropout1.mask that was exported" in finding.reason


def test_a_count_of_steps_need_not_be_recorded(exported: Exported) -> None:
    folder = exported("adam", **SMALL)
    steps = chosen(train(folder), lambda _, name: not name.endswith(".step"))
    outcome = judged(folder, steps).to_json()
    assert outcome["verdict"] == "AGREES"
    assert outcome["exchange"]["compared_how"]["linear1.weight.updated"] == ["derived"]


def test_nested_layers_and_forms_stand_in_the_architecture(exported: Exported) -> None:
    document = json.loads((exported("gpt-digits", **SMALL) / "architecture.json").read_text())
    layers = {layer["name"]: layer for layer in document["layers"]}
    inner = layers["residual2"]["layers"]
    assert [(x["name"], x["output_shape"]) for x in inner] == [
        ("residual2.layernorm1", [49, 32]), ("residual2.linear1", [49, 128]), ("residual2.gelu1", [49, 128]),
        ("residual2.linear2", [49, 32]),
    ]  # fmt: skip
    assert inner[1]["parameters"][0] == {"name": "residual2.linear1.weight", "shape": [128, 32]}
    assert document["input"]["form"] == "tokens"
    assert document["input"]["shape"] == [49]
    assert {t["name"]: t["shape"] for t in document["tensors"]}["target"] == ["49 N"]
    assert document["optimizer"]["formula"][0] == "p <- p - lr weight_decay p"
    assert document["optimizer"]["eps"] == 1e-8


CONFIG = """
[optimizer]
kind = "RMSprop"
momentum = 0.9
centered = true
accumulate = 2
max_norm = 0.01

[optimizer.schedule]
kind = "SequentialLR"
milestones = [1]
schedules = [{kind = "LinearLR"}, {kind = "CosineAnnealingLR", T_max = 3}]
"""


@pytest.mark.parametrize("wanted", ["", ".updated", "loss"])
def test_gathering_clipping_and_a_schedule(tmp_path: Path, small_data: Any, wanted: str) -> None:
    (tmp_path / "more.toml").write_text(CONFIG)
    experiment = read_experiment("article", changes_of(steps=5, batch_size=5), tmp_path / "more.toml")
    folder = export(experiment, tmp_path / "export")
    text = (folder / "FORM.md").read_text()
    assert "lr (0.33333333333333331 + (1 - 0.333333) min(s, 5) / 5)" in text
    assert "g <- g min(1, 0.01 / (norm + 1e-6))" in text
    steps = train(folder)
    outcome = judged(folder, chosen(steps, lambda _, name: name.endswith(wanted))).to_json()
    assert outcome["verdict"] == "AGREES"
    if not wanted:
        assert (outcome["exchange"]["given"]["fraction"], outcome["exchange"]["missing"]) == (1, [])


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss_has_a_formula(kind: str) -> None:
    experiment = read_experiment("article")
    said = loss_formula(replace(experiment, loss=Loss(kind)))
    assert said.startswith("C = ")
    assert "divided by N" in said
    assert "{" not in said


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_option_of_every_optimizer_stands_in_its_formula(kind: str) -> None:
    experiment = replace(read_experiment("article"), optimizer=Optimizer(kind))
    said = update_formula(experiment)
    rule = {key for key in experiment.optimizer.defaults() if key not in (*PREPARATION, "maximize")}
    assert rule == {part.split(" = ")[0] for part in said[-1].removeprefix("with ").split(", ") if " = " in part}
    assert any(line.startswith("p <- p - ") for line in said)
