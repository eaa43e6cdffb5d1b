"""What a trace proves that does not hold everything: compared how, caught or not, and how much is said to be proved."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from compare.exchange import companions
from compare.exchange.verified import Verified
from compare.exchange.verify import verify
from compare.experiment.files import changes_of, read_experiment
from compare.experiment.networks import build_manual
from tests.exchange.conftest import Exported
from tests.exchange.port import Steps, chosen, raw, train, write_raw


def losses(folder: Path, steps: Steps, form: str = "%.17g") -> None:
    (folder / "trace").mkdir()
    lines = [f"{step},{form % float(tensors['loss'])}" for step, tensors in steps.items()]
    (folder / "trace" / "losses.csv").write_text("\n".join(["step,loss", *lines]) + "\n")


def judged(folder: Path, steps: Steps) -> Verified:
    write_raw(folder, steps)
    return verify(folder)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "wanted",
    ["loss", ".grad", ".updated", ".output", "linear1.weight.grad", "linear1.weight"],
)
def test_a_right_port_agrees_whatever_part_it_records(exported: Exported, dtype: str, wanted: str) -> None:
    folder = exported(dtype=dtype)
    outcome = judged(folder, chosen(train(folder), lambda _, name: name.endswith(wanted))).to_json()
    assert outcome["verdict"] == "AGREES"
    assert outcome["checks"] > 0
    # The smallest mistake that was seen is far from none at all, in every tensor.
    assert all(0 < p["smallest_relative_mistake"] < 0.05 for p in outcome["power"].values())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("mistake", "wanted", "tensor", "name"),
    [
        ("no-1/N", "linear1.weight.grad", "linear1.weight.grad", "delta-summed-instead-of-averaged"),
        ("no-derivative", ".updated", "linear1.weight.updated", "activation-derivative-missing"),
        ("bias-first-example", ".updated", "linear1.bias.updated", "bias-gradient-first-example"),
        ("no-1/N", "loss", "loss", "delta-summed-instead-of-averaged"),
    ],
)
def test_a_mistake_is_named_by_its_effect_alone(
    exported: Exported, dtype: str, mistake: str, wanted: str, tensor: str, name: str
) -> None:
    folder = exported(dtype=dtype)
    finding = judged(folder, chosen(train(folder, mistake), lambda _, n: n.endswith(wanted))).finding
    assert finding is not None
    assert (finding.tensor, finding.step) == (tensor, 2 if wanted == "loss" else 1)
    assert name in [suspect["name"] for suspect in finding.suspects]
    if dtype == "float64":
        assert finding.suspects[0]["name"] == name
        assert finding.suspects[0]["residual"] < 1e-12
    assert ("or in a step before" in finding.reason) == (wanted == "loss")


def test_only_the_inputs_that_are_recorded_make_a_proof_of_one_operation(exported: Exported) -> None:
    folder = exported()
    wanted = {"linear2.output.grad", "sigmoid1.output", "linear2.weight.grad", "linear2.weight", "linear1.weight.grad"}
    outcome = judged(folder, chosen(train(folder), lambda _, name: name in wanted)).to_json()
    how = outcome["exchange"]["compared_how"]
    assert "derived" in how["linear2.weight.grad"]
    assert how["linear1.weight.grad"] == ["measured"]
    assert outcome["exchange"]["steps"] == {"exported": 3, "compared": 3, "on_their_own": 1}


def test_the_statement_of_a_losses_only_trace_is_measured(exported: Exported) -> None:
    folder = exported()
    losses(folder, train(folder))
    outcome = verify(folder).to_json()
    exchange = outcome["exchange"]
    assert (outcome["verdict"], outcome["checks"]) == ("AGREES", 3)
    assert exchange["given"]["fraction"] == pytest.approx(1 / 17)
    names = verify(folder).bundle.names
    assert exchange["missing"] == [name for name in names[6:] if name != "loss"]
    assert set(exchange["unnoticed"]) == {f"{name}.grad" for name in names[2:6]}
    # Four times what is said to go unnoticed is noticed, a tenth of it is not.
    for factor, verdict in ((4, "DIVERGES"), (0.1, "AGREES")):
        size = factor * exchange["unnoticed"]["linear2.weight.grad"]
        other = exported()
        losses(other, spoiled(other, "linear2.weight", size))
        assert str(verify(other).verdict) == verdict


def spoiled(folder: Path, parameter: str, size: float) -> Steps:
    """Return the trace of a right network with one gradient too large by a relative size."""
    parameters, batches = raw(folder)
    side = build_manual(read_experiment("article", changes_of(steps=3, batch_size=7)), parameters)
    steps: Steps = {}
    for step in (1, 2, 3):
        side.network.loss(batches[step, "input"], batches[step, "target"])
        side.network.backward()
        side.network.gradients[parameter] *= 1 + size
        side.optimizer.step()
        steps[step] = {"loss": np.array(side.network.value)}
    return steps


def test_the_loss_of_one_step_says_nothing_of_gradients(exported: Exported) -> None:
    folder = exported()
    losses(folder, {1: train(folder, "no-derivative")[1]})
    outcome = verify(folder).to_json()
    assert outcome["verdict"] == "AGREES"
    assert set(outcome["exchange"]["unnoticed"].values()) == {"inf"}


def test_few_digits_widen_what_is_allowed_and_what_is_said_to_be_caught(exported: Exported) -> None:
    folder, fine = exported(), exported()
    losses(folder, train(folder), "%.5f")
    losses(fine, train(fine))
    coarse_power, fine_power = (
        verify(f).to_json()["power"]["loss"]["smallest_relative_mistake"] for f in (folder, fine)
    )
    assert fine_power < 1e-10 < 1e-7 < coarse_power < 1e-3
    assert verify(folder).to_json()["exchange"]["digits_allow"] == 0.5e-5


def test_losses_as_json(exported: Exported) -> None:
    folder = exported()
    (folder / "trace").mkdir()
    values = [float(tensors["loss"]) for tensors in train(folder).values()]
    (folder / "trace" / "losses.json").write_text(json.dumps(values))
    assert verify(folder).to_json()["checks"] == 3


def test_safetensors_and_raw_binaries_together(exported: Exported) -> None:
    folder = exported()
    steps = train(folder)
    write_raw(folder, chosen(steps, lambda step, _: step == 1))
    for step in (2, 3):
        tensors = {name: np.array(array, order="C") for name, array in steps[step].items()}
        save_file(tensors, folder / "trace" / f"step-{step:06d}.safetensors")
    outcome = verify(folder).to_json()
    assert (outcome["verdict"], outcome["audits"]["checks"]) == ("AGREES", 51)


def test_a_step_must_start_where_the_one_before_ended(exported: Exported) -> None:
    folder = exported()
    steps = train(folder)
    steps[2]["linear2.bias"][3] += 1e-9
    finding = judged(folder, steps).finding
    assert finding is not None
    assert (finding.step, finding.tensor, finding.index, finding.stage) == (2, "linear2.bias", (3,), "parameters")
    assert "linear2.bias.updated of step 1" in finding.reason


def test_the_batch_and_the_initial_weights_must_be_those_exported(exported: Exported) -> None:
    for name in ("input", "linear1.weight"):
        folder = exported()
        steps = train(folder)
        steps[1][name] = steps[1][name] * (1 + 1e-9)
        finding = judged(folder, steps).finding
        assert finding is not None
        assert (finding.step, finding.tensor) == (1, name)
        assert "exported" in finding.reason


def test_a_network_with_kinks_and_momentum(exported: Exported) -> None:
    folder = exported("relu")
    parameters, batches = raw(folder)
    side = build_manual(read_experiment("relu"), parameters)
    steps: Steps = {}
    for step in (1, 2, 3):
        side.network.loss(batches[step, "input"], batches[step, "target"])
        side.network.backward()
        side.optimizer.step()
        steps[step] = {name: np.array(array) for name, array in side.network.trace().items()}
    whole = judged(folder, steps).to_json()
    assert (whole["verdict"], whole["audits"]["checks"]) == ("AGREES", 3 * 29)
    without_state = judged(folder, chosen(steps, lambda _, name: not name.startswith("sgd."))).to_json()
    assert without_state["verdict"] == "AGREES"
    # Without the momentum buffers an update can be audited at the first step alone, where there are none yet.
    assert without_state["exchange"]["compared_how"]["linear1.weight.updated"] == ["derived", "measured"]


def test_nothing_recorded_is_inconclusive(exported: Exported) -> None:
    folder = exported()
    (folder / "trace").mkdir()
    verified = verify(folder)
    assert (str(verified.verdict), verified.exit_status, verified.to_json()["checks"]) == ("INCONCLUSIVE", 3, 0)


def test_data_and_initial_parameters_alone_are_nothing(exported: Exported) -> None:
    folder = exported()
    start = ("input", "target", "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias")
    steps = chosen(train(folder), lambda step, name: step == 1 and name in start)
    assert judged(folder, steps).exit_status == 3


def test_a_bound_that_would_let_anything_pass_compares_nothing(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companions, "LAMBDA", 1e12)
    folder = exported(dtype="float32")
    verified = judged(folder, chosen(train(folder), lambda step, name: step > 1 and name == "linear1.weight.grad"))
    outcome = verified.to_json()
    assert (outcome["verdict"], outcome["checks"], verified.exit_status) == ("INCONCLUSIVE", 0, 3)
    assert outcome["exchange"]["too_wide"] == ["linear1.weight.grad"]
