"""A divergence kept whole: what the folder holds, and a script that shows the disagreement without this project."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compare
import manual
from compare.agreement.verdict import Finding, Verdict
from compare.experiment.datasets import Dataset
from compare.experiment.files import changes_of, from_document, read_experiment
from compare.lockstep.loop import Loop, Step
from compare.records.divergence import save, write_divergence
from tests.diagnosis.conftest import Reproduce

Array = np.ndarray[Any, Any]


def kept(tmp_path: Path, experiment: Any, layers: Any = None, begin: Any = None, **options: Any) -> tuple[Path, Step]:
    """Run an experiment that diverges and is recorded; return the divergence's folder and the last step."""
    steps: list[Step] = []

    def keep(step: Step) -> None:
        copies = {k: {n: np.array(a) for n, a in getattr(step, k).items()} for k in ("manual", "reference")}
        steps[:] = [replace(step, **copies)]

    outcome = compare.run(
        experiment, layers=layers, begin=begin, out=tmp_path / "results", watchers=[keep],
        **{"steps": 4, "mode": "lockstep", "batch_size": 20} | options,
    )  # fmt: skip
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.record is not None
    return outcome.record / "divergence", steps[0]


class Mistaken:
    """Right code with one wrong line each."""

    class Forward(manual.Linear):
        def forward(self, x: Array) -> Array:
            return super().forward(x) - self.parameters["bias"] / 2

    class Backward(manual.Sigmoid):
        def backward(self, grad_output: Array) -> Array:
            return grad_output * self.a

    class Loss(manual.CrossEntropyLoss):
        def forward(self, logits: Array, target: Array) -> Any:
            return super().forward(logits, target) * 1.25

    class NeverSummed(manual.Linear):
        def backward(self, grad_output: Array) -> Array | None:
            gradient = super().backward(grad_output)
            self.gradients["bias"] = grad_output
            return gradient

    class Velocity(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            direction = super().direction(name, parameter, gradient)
            if name == "linear2.weight":
                self.state[f"{name}.momentum_buffer"] *= 0.9
            return direction

    class NoDecay(manual.SGD):
        def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
            self.weight_decay = {}
            return super().direction(name, parameter, gradient)


def with_optimizer(kind: Any) -> Any:
    def begin(loop: Loop) -> None:
        right = loop.manual.optimizer
        options = {key: getattr(right, key) for key in ("lr", "momentum", "dampening", "nesterov", "weight_decay")}
        loop.manual.optimizer = kind(loop.manual.network, **options)

    return begin


def dimmed(loop: Loop) -> None:
    loss = loop.manual.network.loss
    loop.manual.network.loss = lambda x, target: loss((x * 0.9).astype(x.dtype), target)


def shifted(loop: Loop) -> None:
    loss = loop.manual.network.loss
    loop.manual.network.loss = lambda x, target: loss(x, (target + 1) % 10)


DECAYING = {"lr": 0.2, "momentum": 0.8, "weight_decay": 0.03, "decays": "weights", "nesterov": True}


def document(**sections: Any) -> dict[str, Any]:
    layers: list[dict[str, Any]] = [
        {"kind": "Linear", "in_features": 784, "out_features": 14}, {"kind": "Tanh"},
        {"kind": "Linear", "in_features": 14, "out_features": 10, "bias": False},
    ]  # fmt: skip
    return {"name": "kept", "layers": layers, "loss": {"kind": "CrossEntropyLoss"}} | sections


def described(**sections: Any) -> Any:
    return from_document(document(**sections), "here")


CASES: dict[str, tuple[Any, dict[str, Any], Any, str, dict[str, Any]]] = {
    "forward": ("article", {"linear2": Mistaken.Forward(30, 10)}, None, "linear2.output", {}),
    "forward in float32": (
        "article", {"linear2": Mistaken.Forward(30, 10)}, None, "linear2.output", {"dtype": "float32"}
    ),
    "backward": ("article", {"sigmoid1": Mistaken.Backward()}, None, "linear1.output.grad", {}),
    "loss": ("article-cross-entropy", {"loss": Mistaken.Loss()}, None, "loss", {}),
    "update with momentum and decay": (
        described(optimizer=DECAYING), {}, with_optimizer(Mistaken.Velocity), "sgd.linear2.weight.momentum_buffer", {}
    ),
    "decay forgotten, in float32, dampened": (
        described(optimizer={"lr": 0.2, "momentum": 0.5, "dampening": 0.25, "weight_decay": 0.2}), {},
        with_optimizer(Mistaken.NoDecay), "sgd.linear1.weight.momentum_buffer", {"dtype": "float32"},
    ),
    "plain decay": (
        described(optimizer={"lr": 0.2, "weight_decay": 0.1}), {}, with_optimizer(Mistaken.NoDecay),
        "linear1.weight.updated", {},
    ),
    "images": ("article", {}, dimmed, "input", {}),
    "labels": ("article", {}, shifted, "target", {}),
    "wrong shape": ("article", {"linear2": Mistaken.NeverSummed(30, 10)}, None, "linear2.bias.grad", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_script_shows_the_disagreement_alone(
    case: str, tmp_path: Path, small_data: Dataset, reproduce: Reproduce
) -> None:
    experiment, layers, begin, tensor, options = CASES[case]
    folder, step = kept(tmp_path, experiment, layers, begin, **options)
    finding = step.finding
    assert finding is not None
    assert finding.tensor == tensor
    assert sorted(path.name for path in folder.iterdir()) == [
        "manual.npz", "reference.npz", "reproduce.py", "state.npz"
    ]  # fmt: skip
    shown = reproduce(folder)
    assert shown.stderr == ""
    assert shown.returncode == 1
    assert f"step {finding.step}, {tensor}, made by {finding.operation}" in shown.stdout
    if case == "wrong shape":
        assert "shapes differ: manual (20, 10), torch (10,)" in shown.stdout
        return
    assert shown.stdout.splitlines()[-1] == "they disagree"
    mine, theirs = np.load(folder / "manual.npz")[tensor], np.load(folder / "reference.npz")[tensor]
    if finding.index is not None:
        line = next(line for line in shown.stdout.splitlines() if line.startswith("element "))
        assert line.startswith(f"element {list(finding.index)}: manual {mine[finding.index]!r}, torch ")
        told = float(line.rpartition("(")[2].rstrip(")"))
        assert told == pytest.approx(float(theirs[finding.index]), rel=1e-6 if theirs.dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("case", ["backward", "update with momentum and decay", "labels", "wrong shape"])
def test_the_files_hold_the_step_whole(case: str, tmp_path: Path, small_data: Dataset) -> None:
    experiment, layers, begin, tensor, options = CASES[case]
    folder, step = kept(tmp_path, experiment, layers, begin, **options)
    for side, trace in {"manual": step.manual, "reference": step.reference}.items():
        with np.load(folder / f"{side}.npz", allow_pickle=False) as arrays:
            assert arrays.files == list(trace)
            assert {"input", "target", "linear1.weight", "loss", tensor} <= set(arrays.files)
            for name in arrays.files:
                np.testing.assert_array_equal(arrays[name], trace[name])
                assert arrays[name].dtype == trace[name].dtype
    with np.load(folder / "state.npz", allow_pickle=False) as state:
        assert set(state.files) == set(step.state_before)
        for name in state.files:
            np.testing.assert_array_equal(state[name], step.state_before[name])


def test_the_state_is_that_before_the_step(tmp_path: Path, small_data: Dataset, reproduce: Reproduce) -> None:
    """A mistake that shows in the third step: the script has to begin with the velocity of the second."""

    class Late(manual.SGD):
        steps = 0

        def step(self) -> None:
            self.steps += 1
            super().step()
            if self.steps == 3:
                self.network.parameters["linear2.weight"] *= 1.01

    folder, step = kept(tmp_path, described(optimizer=DECAYING), {}, with_optimizer(Late))
    assert step.finding is not None
    assert (step.finding.step, step.finding.tensor) == (3, "linear2.weight.updated")
    with np.load(folder / "state.npz") as state:
        assert sorted(state.files) == [
            "linear1.bias.momentum_buffer", "linear1.weight.momentum_buffer", "linear2.weight.momentum_buffer", "micro"
        ]  # fmt: skip
        assert state["micro"] == 2  # how many steps the optimizer had taken
    shown = reproduce(folder)
    assert (shown.stderr, shown.returncode) == ("", 1)
    error = float(shown.stdout.partition("whole tensor: ")[2].split()[0])
    assert error == pytest.approx(0.01, rel=0.01)  # and no more: everything else is repeated exactly


SWISH = '''
import numpy as np


class Swish:
    """x sigmoid(x), with the second term of its derivative forgotten."""

    def forward(self, x):
        self.s = 1 / (1 + np.exp(-x))
        return x * self.s

    def backward(self, dy):
        return dy * self.s
'''


@pytest.mark.parametrize("reference", ["torch.nn.functional.silu", "torch.nn.SiLU"])
def test_a_layer_of_the_users_own(reference: str, tmp_path: Path, small_data: Dataset, reproduce: Reproduce) -> None:
    (tmp_path / "own.py").write_text(SWISH)
    layers = document()["layers"]
    layers[1] = {"kind": f"{tmp_path / 'own.py'}:Swish", "name": "swish1", "reference": reference}
    folder, step = kept(tmp_path, described(layers=layers))
    assert step.finding is not None
    assert step.finding.tensor == "linear1.output.grad"
    (tmp_path / "own.py").unlink()  # the script needs the file no more: torch's function is named in it
    shown = reproduce(folder)
    assert (shown.stderr, shown.returncode) == ("", 1)
    assert "they disagree" in shown.stdout


def test_as_a_user_runs_it(tmp_path: Path, small_data: Dataset) -> None:
    """python reproduce.py, from another folder, where this project cannot be found."""
    folder, _ = kept(tmp_path, "article", {"sigmoid1": Mistaken.Backward()})
    hidden = "import sys, runpy; sys.modules.update(dict.fromkeys(('compare', 'manual', 'reference')))"
    program = f"{hidden}; runpy.run_path({str(folder / 'reproduce.py')!r}, run_name='__main__')"
    command = [sys.executable, "-I", "-c", program]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (shown.stderr, shown.returncode) == ("", 1)
    assert "they disagree" in shown.stdout


# On a correct step


@pytest.mark.parametrize(
    ("case", "tensor"),
    [
        ("article", "linear1.weight.grad"),
        ("article", "target"),
        ("relu", "linear3.weight.updated"),
        ("relu", "linear3.bias.updated"),
        ("batchmean", "loss"),
        ("nll", "linear1.output.grad"),
        ("bce", "sigmoid1.output.grad"),
        ("user", "linear1.weight.updated"),
        ("own weight", "own1.weight.updated"),
        ("own argument", "linear1.output.grad"),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_on_a_correct_step_it_says_that_they_agree(
    case: str, tensor: str, dtype: str, tmp_path: Path, small: Dataset, reproduce: Reproduce
) -> None:
    changes = changes_of(steps=3, mode="lockstep", batch_size=20, dtype=dtype)
    given = document()
    match case:
        case "batchmean":
            given["loss"] = {"kind": "MSELoss", "reduction": "batchmean"}
        case "nll":
            given["layers"] += [{"kind": "LogSoftmax", "dim": 1}]
            given["loss"] = {"kind": "NLLLoss", "reduction": "sum"}
        case "bce":
            given["layers"] += [{"kind": "Sigmoid"}]
            given["loss"] = {"kind": "BCELoss"}
        case "user":
            (tmp_path / "own.py").write_text(ELU)
            given["layers"][1] = {
                "kind": f"{tmp_path / 'own.py'}:Own", "name": "own1", "reference": "torch.nn.functional.elu",
            }  # fmt: skip
        case "own weight":
            (tmp_path / "own.py").write_text(PRELU)
            given["layers"][1] = {
                "kind": f"{tmp_path / 'own.py'}:Own", "name": "own1", "reference": "torch.nn.PReLU",
            }  # fmt: skip
            given["optimizer"] = {"lr": 0.2, "momentum": 0.8, "weight_decay": 0.3}
        case "own argument":
            (tmp_path / "own.py").write_text(LEAKY)
            given["layers"][1] = {
                "kind": f"{tmp_path / 'own.py'}:Own", "name": "own1", "negative_slope": 0.2,
                "reference": "torch.nn.functional.leaky_relu",
            }  # fmt: skip
    if case in ("article", "relu"):
        experiment = read_experiment(case, changes)
    else:
        given["training"] = changes["training"]
        experiment = from_document(given, "here")
    for step in Loop(experiment, small):
        assert step.finding is None
        if step.number < 3:
            continue
        operation = "optimizer.step" if tensor.endswith("updated") else "batch" if tensor == "target" else "x.backward"
        stage = "update" if tensor.endswith("updated") else "backward"
        place = (0,) * step.manual[tensor].ndim
        finding = Finding(3, Verdict.DIVERGES, stage, tensor, operation, "made up", place)
        write_divergence(tmp_path / "divergence", experiment, replace(step, finding=finding))
    shown = reproduce(tmp_path / "divergence")
    assert (shown.stderr, shown.returncode) == ("", 0)
    assert shown.stdout.splitlines()[-1] == "they agree"


ELU = '''
import numpy as np


class Own:
    """The exponential linear unit, right."""

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))

    def backward(self, dy):
        return dy * np.where(self.x > 0, 1, np.exp(np.minimum(self.x, 0))).astype(dy.dtype)
'''


PRELU = '''
import numpy as np


class Own:
    """A ReLU with a slope below 0 that is learnt: one number for all units."""

    def __init__(self):
        self.parameters, self.gradients = {"weight": np.full(1, 0.25)}, {}

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.parameters["weight"] * x)

    def backward(self, dy):
        below = np.where(self.x > 0, 0, self.x)
        self.gradients["weight"] = (dy * below).sum(keepdims=True).reshape(1)
        return np.where(self.x > 0, dy, self.parameters["weight"] * dy)
'''

LEAKY = '''
import numpy as np


class Own:
    """A ReLU with a slope below 0 that is given."""

    def __init__(self, negative_slope):
        self.slope = negative_slope

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.slope * x)

    def backward(self, dy):
        return np.where(self.x > 0, dy, self.slope * dy)
'''


def test_nothing_is_pickled(tmp_path: Path) -> None:
    save(tmp_path / "arrays.npz", {"kept": np.ones(2), "objects": np.array([object()]), "text": "x"})
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert list(arrays) == ["kept"]


def test_a_step_without_a_finding_has_no_divergence(tmp_path: Path, small: Dataset) -> None:
    experiment = read_experiment("article", changes_of(steps=1, mode="lockstep"))
    (step,) = list(Loop(experiment, small))
    with pytest.raises(ValueError, match="no finding"):
        write_divergence(tmp_path / "divergence", experiment, step)
    assert not (tmp_path / "divergence").exists()
