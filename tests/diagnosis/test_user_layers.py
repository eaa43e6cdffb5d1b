"""Layers of a user's own, from a file: the right ones agree, the wrong ones diverge, and what cannot run is told so."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compare
from compare import cli
from compare.agreement.verdict import Verdict
from compare.experiment.datasets import Dataset
from compare.experiment.files import read_experiment, to_toml

DTYPES = ["float64", "float32"]
ROOT = Path(compare.__file__).resolve().parent.parent

SWISH = '''
import numpy as np


class Swish:
    """a = z s with s = 1 / (1 + e^-z), so da/dz = s + z s (1 - s)."""

    def forward(self, z):
        self.z, self.s = z, 1 / (1 + np.exp(-z))
        return z * self.s

    def backward(self, grad_output):
        return grad_output * (self.s + self.z * self.s * (1 - self.s))
'''

LEARNT = '''
import numpy as np


class Learnt:
    """A ReLU with a slope below 0 that is learnt: torch.nn.PReLU with one number for all units."""

    def __init__(self):
        self.parameters, self.gradients = {"weight": np.full(1, 0.25)}, {}

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.parameters["weight"] * x)

    def backward(self, grad_output):
        self.gradients["weight"] = np.sum(grad_output * np.where(self.x > 0, 0, self.x)).reshape(1)
        return np.where(self.x > 0, grad_output, self.parameters["weight"] * grad_output)
'''

SCALED = '''
class Scaled:
    """A leaky ReLU with its slope given."""

    def __init__(self, negative_slope=0.01):
        self.slope = negative_slope

    def forward(self, x):
        self.factor = (x > 0) + self.slope * (x <= 0)
        self.factor = self.factor.astype(x.dtype)
        return x * self.factor

    def backward(self, grad_output):
        return grad_output * self.factor
'''

EXPERIMENT = """
name = "own"

[[layers]]
kind = "Linear"
in_features = 784
out_features = 16

[[layers]]
{layer}

[[layers]]
kind = "Linear"
in_features = 16
out_features = 10

[loss]
kind = "CrossEntropyLoss"

[optimizer]
lr = 0.1
momentum = 0.5
weight_decay = 0.01

[initial]
weight = "{weight}"
"""

SILU = "torch.nn.functional.silu"


class Folder:
    """A user's folder: a file of classes, and an experiment that names one of them."""

    def __init__(self, path: Path):
        self.path, self.count = path, 0

    def write(
        self, code: str, name: str = "Swish", reference: str = SILU, weight: str = "torch_default", **keys: Any
    ) -> str:
        self.count += 1  # a file of its own each time: what was imported stays imported
        file = self.path / f"own{self.count}.py"
        file.write_text(code)
        return self.describe(f"{file}:{name}", reference, weight, **keys)

    def describe(self, kind: str, reference: str = SILU, weight: str = "torch_default", **keys: Any) -> str:
        lines = [f'kind = "{kind}"', 'name = "own1"', *[f"{key} = {value}" for key, value in keys.items()]]
        if reference:
            lines.append(f'reference = "{reference}"')
        toml = self.path / f"try{self.count}.toml"
        toml.write_text(EXPERIMENT.format(layer="\n".join(lines), weight=weight))
        return str(toml)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def run(experiment: str, **options: Any) -> compare.Outcome:
    return compare.run(experiment, **{"steps": 5, "mode": "lockstep", "batch_size": 20} | options)


# Right ones


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reference", [SILU, "torch.nn.SiLU"])
def test_a_right_layer_agrees_and_its_bound_is_measured(
    reference: str, dtype: str, folder: Folder, small_data: Dataset
) -> None:
    outcome = run(folder.write(SWISH, reference=reference), dtype=dtype)
    assert outcome.verdict is Verdict.AGREES
    assert outcome.exit_status == 0
    tightest = outcome.to_json()["tightest"]
    kinds = {tensor: entry["bound_kind"] for tensor, entry in tightest.items()}
    assert kinds["own1.output"] == kinds["linear1.output.grad"] == "measured"
    assert {kind for tensor, kind in kinds.items() if tensor not in ("own1.output", "linear1.output.grad")} == {
        "derived"
    }
    assert 0 < tightest["own1.output"]["used"] <= 1
    power = outcome.to_json()["power"]["own1.output"]["smallest_relative_mistake"]
    assert power < {"float64": 1e-13, "float32": 1e-4}[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["lockstep", "both", "independent"])
def test_a_right_layer_agrees_in_every_mode(mode: str, dtype: str, folder: Folder, small_data: Dataset) -> None:
    assert run(folder.write(SWISH), dtype=dtype, mode=mode).verdict is Verdict.AGREES


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layer_with_parameters_of_its_own(dtype: str, folder: Folder, small_data: Dataset) -> None:
    experiment = folder.write(LEARNT, "Learnt", "torch.nn.PReLU", weight="uniform")
    outcome = run(experiment, dtype=dtype)
    assert outcome.verdict is Verdict.AGREES
    kinds = {tensor: entry["bound_kind"] for tensor, entry in outcome.to_json()["tightest"].items()}
    assert kinds["own1.weight.grad"] == "measured"
    assert kinds["own1.weight.updated"] == kinds["sgd.own1.weight.momentum_buffer"] == "derived"
    wrong = LEARNT.replace("np.where(self.x > 0, 0, self.x)", "np.where(self.x > 0, self.x, 0)")
    outcome = run(folder.write(wrong, "Learnt", "torch.nn.PReLU", weight="uniform"), dtype=dtype)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert (outcome.finding.operation, outcome.finding.tensor) == ("own1.backward", "own1.weight.grad")


@pytest.mark.parametrize("weight", ["torch_default", "xavier_uniform", "kaiming_normal", "normal"])
def test_its_parameters_are_drawn_like_all_others_or_refused(weight: str, folder: Folder, small_data: Dataset) -> None:
    """An initializer that needs a fan cannot draw one number; it has to say so in a sentence."""
    experiment = folder.write(LEARNT, "Learnt", "torch.nn.PReLU", weight=weight)
    if weight == "normal":
        assert run(experiment).verdict is Verdict.AGREES
        return
    with pytest.raises(compare.DescriptionError, match=rf"{weight}.*own1\.weight"):
        run(experiment)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layer_with_arguments(dtype: str, folder: Folder, small_data: Dataset) -> None:
    """Given to both: the class and torch's function."""
    leaky = "torch.nn.functional.leaky_relu"
    assert run(folder.write(SCALED, "Scaled", leaky, negative_slope=0.3), dtype=dtype).verdict is Verdict.AGREES
    swapped = SCALED.replace("self.slope = negative_slope", "self.slope = 2 * negative_slope")
    outcome = run(folder.write(swapped, "Scaled", leaky, negative_slope=0.3), dtype=dtype)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert outcome.finding.tensor == "own1.output"


def test_the_resolved_experiment_names_the_file_and_the_reference(folder: Folder) -> None:
    path = folder.write(SWISH)
    experiment = read_experiment(path)
    again = folder.path / "again.toml"
    again.write_text(to_toml(experiment))
    assert read_experiment(str(again)) == experiment
    assert experiment.layers[1].reference == SILU
    assert experiment.layers[1].kind.endswith("own1.py:Swish")


# Wrong ones

WRONG_BACKWARD = [
    ("one term forgotten", "grad_output * self.s"),
    ("the sign of a term", "grad_output * (self.s - self.z * self.s * (1 - self.s))"),
    ("the input for the output", "grad_output * (self.s + self.z * self.z * (1 - self.z))"),
    ("off by one in a million", "grad_output * (self.s + self.z * self.s * (1 - self.s)) * (1 + 1e-6)"),
    ("left out", "grad_output"),
    ("zeros", "grad_output * 0"),
    ("one element of all", "(lambda g: (g.__setitem__((3, 5), g[3, 5] + 1), g)[1])(grad_output * self.s)"),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("what", "formula"), WRONG_BACKWARD, ids=[what for what, _ in WRONG_BACKWARD])
def test_a_wrong_backward_pass_diverges_at_the_layer(
    what: str, formula: str, dtype: str, folder: Folder, small_data: Dataset
) -> None:
    if what == "off by one in a million" and dtype == "float32":
        formula = formula.replace("1e-6", "1e-3")
    right = "grad_output * (self.s + self.z * self.s * (1 - self.s))"
    assert right in SWISH
    outcome = run(folder.write(SWISH.replace(right, formula)), dtype=dtype)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.exit_status == 1
    assert outcome.finding is not None
    assert (outcome.finding.step, outcome.finding.operation, outcome.finding.tensor) == (
        1, "own1.backward", "linear1.output.grad"
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wrong_forward_pass_diverges_at_the_layer(dtype: str, folder: Folder, small_data: Dataset) -> None:
    outcome = run(folder.write(SWISH.replace("return z * self.s", "return z * self.s * self.s")), dtype=dtype)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert (outcome.finding.operation, outcome.finding.tensor) == ("own1.forward", "own1.output")


# Layers that give back what they should not: never agreement, always a sentence

BROKEN_FORWARD = {
    "zeros": "return z * 0",
    "nothing": "return None",
    "a list": "return (z * self.s).tolist()",
    "too few columns": "return (z * self.s)[:, 1:]",
    "too few rows": "return (z * self.s)[1:]",
    "one number": "return (z * self.s).sum()",
    "transposed": "return (z * self.s).T",
    "a dimension too many": "return (z * self.s)[:, :, None]",
    "another dtype": "return (z * self.s).astype('float16')",
    "integers": "return (z * self.s).astype(int)",
    "complex numbers": "return z * self.s + 0j",
    "not a number": "return z * self.s * np.nan",
    "infinity": "return z * self.s + np.inf",
    "an exception": "raise RuntimeError('something of the user')",
    "an assertion": "assert z.shape == (1, 1), 'something of the user'",
    "a missing key": "return {}['something of the user']",
    "its input, changed": "z *= self.s; return z",
    "its input, changed to zeros": "z[...] = 0; return z",
}

BROKEN_BACKWARD = {
    "zeros": "return grad_output * 0",
    "nothing": "return None",
    "a list": "return grad_output.tolist()",
    "too few columns": "return grad_output[:, 1:]",
    "too few rows": "return grad_output[1:]",
    "one number": "return grad_output.sum()",
    "one row": "return grad_output[:1]",
    "transposed": "return grad_output.T",
    "another dtype": "return (grad_output * self.s).astype('float16')",
    "integers": "return grad_output.astype(int)",
    "complex numbers": "return grad_output + 0j",
    "not a number": "return grad_output * np.nan",
    "an exception": "raise RuntimeError('something of the user')",
    "what it is given, changed": "grad_output *= self.s; return grad_output",
}


def told(outcome: compare.Outcome) -> str:
    """The reason of a finding: a sentence."""
    assert outcome.finding is not None
    reason = outcome.finding.reason
    assert reason
    assert reason[0].isalnum()
    assert "Traceback" not in reason
    assert "\n" not in reason
    return reason


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("broken", BROKEN_FORWARD)
def test_a_broken_forward_pass_never_agrees(broken: str, dtype: str, folder: Folder, small_data: Dataset) -> None:
    code = SWISH.replace("return z * self.s\n", f"{BROKEN_FORWARD[broken]}\n")
    assert code != SWISH
    outcome = run(folder.write(code), dtype=dtype)
    assert outcome.verdict in (Verdict.DIVERGES, Verdict.INCONCLUSIVE)
    assert outcome.exit_status in (1, 3)
    reason = told(outcome)
    assert outcome.finding is not None
    assert "own1" in reason + outcome.finding.operation + outcome.finding.tensor
    if "something of the user" in code:
        assert "something of the user" in reason
        assert outcome.finding.operation == "own1.forward"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("broken", BROKEN_BACKWARD)
def test_a_broken_backward_pass_never_agrees(broken: str, dtype: str, folder: Folder, small_data: Dataset) -> None:
    right = "return grad_output * (self.s + self.z * self.s * (1 - self.s))"
    outcome = run(folder.write(SWISH.replace(right, BROKEN_BACKWARD[broken])), dtype=dtype)
    assert outcome.verdict in (Verdict.DIVERGES, Verdict.INCONCLUSIVE)
    assert outcome.exit_status in (1, 3)
    reason = told(outcome)
    assert outcome.finding is not None
    assert "own1" in reason + outcome.finding.operation or outcome.finding.tensor == "linear1.output.grad"
    if "something of the user" in BROKEN_BACKWARD[broken]:
        assert "something of the user" in reason
        assert outcome.finding.operation == "own1.backward"


BROKEN_GRADIENTS = {
    "missing": "pass",
    "not a number": "self.gradients['weight'] = np.full(1, np.nan)",
    "too many": "self.gradients['weight'] = np.full(2, 0.1)",
    "a Python number": "self.gradients['weight'] = 0.1",
    "nothing": "self.gradients['weight'] = None",
    "zeros": "self.gradients['weight'] = np.zeros(1, self.x.dtype)",
    "another dtype": "self.gradients['weight'] = np.zeros(1, 'float16')",
}


@pytest.mark.parametrize("broken", BROKEN_GRADIENTS)
def test_a_broken_parameter_gradient_never_agrees(broken: str, folder: Folder, small_data: Dataset) -> None:
    line = 'self.gradients["weight"] = np.sum(grad_output * np.where(self.x > 0, 0, self.x)).reshape(1)'
    assert line in LEARNT
    code = LEARNT.replace(line, BROKEN_GRADIENTS[broken])
    outcome = run(folder.write(code, "Learnt", "torch.nn.PReLU", weight="uniform"))
    assert outcome.verdict in (Verdict.DIVERGES, Verdict.INCONCLUSIVE)
    told(outcome)
    assert outcome.finding is not None
    assert outcome.finding.tensor == "own1.weight.grad"


def test_a_layer_that_fails_only_later(folder: Folder, small_data: Dataset) -> None:
    """In the fourth step: three steps agree, and that is not enough."""
    code = SWISH.replace(
        "self.z, self.s = z,", "self.calls = getattr(self, 'calls', 0) + 1\n        self.z, self.s = z,"
    ).replace("return z * self.s\n", "return z * self.s if self.calls < 4 else z * self.s * self.s\n")
    outcome = run(folder.write(code), steps=12)
    assert outcome.verdict is Verdict.DIVERGES
    assert outcome.finding is not None
    assert outcome.finding.operation == "own1.forward"
    assert outcome.finding.step >= 3


# What cannot be run: usage errors, in sentences


def refusals(folder: Folder) -> dict[str, tuple[str, str]]:
    """Descriptions that cannot be run, and what the message has to name."""
    there = f"{folder.path / 'there.py'}"
    Path(there).write_text(
        SWISH + "\nNOT_A_CLASS = 3\n\n\nclass OneWay:\n    def forward(self, x):\n        return x\n"
    )
    (folder.path / "broken.py").write_text("1 / 0\n")
    (folder.path / "unfinished.py").write_text("class Swish(:\n")
    (folder.path / "wanting.py").write_text("import no_such_module_anywhere\n")
    (folder.path / "leaving.py").write_text("import sys\nsys.exit(7)\n")
    (folder.path / "notes.txt").write_text(SWISH)
    cases = {
        "no file": (f"{folder.path / 'nowhere.py'}:Swish", SILU, "nowhere.py"),
        "a folder": (f"{folder.path}:Swish", SILU, "FILE.py:CLASS"),
        "not Python": (f"{folder.path / 'notes.txt'}:Swish", SILU, "notes.txt"),
        "no class": (f"{there}:Swihs", SILU, "Did you mean 'Swish'"),
        "not a class": (f"{there}:NOT_A_CLASS", SILU, "no class 'NOT_A_CLASS'"),
        "no name": (f"{there}:", SILU, "class"),
        "no method": (f"{there}:OneWay", SILU, "backward"),
        "no reference": (f"{there}:Swish", "", "torch.nn"),
        "a reference that is no name": (f"{there}:Swish", "silu(x)", "torch.nn"),
        "a reference that torch does not have": (f"{there}:Swish", "torch.nn.functional.sillu", "sillu"),
        "a reference in no module of torch": (f"{there}:Swish", "torch.nowhere.silu", "torch.nowhere.silu"),
        "a reference that is a module": (f"{there}:Swish", "torch.nn.functional", "torch.nn.functional"),
        "a reference that is a number": (f"{there}:Swish", "torch.pi", "torch.pi"),
        "a file that raises": (f"{folder.path / 'broken.py'}:Swish", SILU, "ZeroDivisionError"),
        "a file that does not parse": (f"{folder.path / 'unfinished.py'}:Swish", SILU, "SyntaxError"),
        "a file that imports what is not there": (
            f"{folder.path / 'wanting.py'}:Swish", SILU, "no_such_module_anywhere"
        ),
        "a file that exits": (f"{folder.path / 'leaving.py'}:Swish", SILU, "leaving.py"),
        "an unknown kind": ("Swish", "", "Swish"),
        "a reference beside a known kind": ("Sigmoid", "torch.nn.Sigmoid", "reference"),
    }  # fmt: skip
    made = {}
    for what, (kind, reference, named) in cases.items():
        folder.count += 1
        made[what] = (folder.describe(kind, reference), named)
    return made


WHAT = [
    "no file", "a folder", "not Python", "no class", "not a class", "no name", "no method", "no reference",
    "a reference that is no name", "a reference that torch does not have", "a reference in no module of torch",
    "a reference that is a module", "a reference that is a number", "a file that raises", "a file that does not parse",
    "a file that imports what is not there", "a file that exits", "an unknown kind",
    "a reference beside a known kind",
]  # fmt: skip


def test_the_list_of_refusals_is_whole(folder: Folder) -> None:
    assert list(refusals(folder)) == WHAT


@pytest.mark.parametrize("what", WHAT)
def test_what_cannot_be_run_is_refused_in_a_sentence(what: str, folder: Folder, small_data: Dataset) -> None:
    path, named = refusals(folder)[what]
    with pytest.raises(compare.DescriptionError) as refused:
        run(path)
    message = str(refused.value)
    assert named in message
    assert "\n" not in message
    # torch is asked when the experiment's file has been read already
    assert Path(path).name in message or what.startswith("a reference")


def test_a_class_that_cannot_be_made(folder: Folder, small_data: Dataset) -> None:
    needy = SWISH.replace("    def forward", "    def __init__(self, width):\n        pass\n\n    def forward", 1)
    with pytest.raises(compare.DescriptionError, match="width"):
        run(folder.write(needy))
    with pytest.raises(compare.DescriptionError, match=r"no argument 'wdith'.*Did you mean 'width'"):
        run(folder.write(needy, wdith=3))
    made = "    def __init__(self):\n        raise KeyError('something of the user')\n\n    def forward"
    raising = SWISH.replace("    def forward", made, 1)
    with pytest.raises(compare.DescriptionError, match="something of the user"):
        run(folder.write(raising))


def test_arguments_that_torch_does_not_take(folder: Folder, small_data: Dataset) -> None:
    """The class takes it, torch's function does not: a mistake in the description, not in the derivation."""
    with pytest.raises(compare.DescriptionError, match="negative_slope"):
        run(folder.write(SCALED, "Scaled", "torch.nn.functional.silu", negative_slope=0.3))


def test_parameters_that_torch_does_not_have(folder: Folder, small_data: Dataset) -> None:
    """Two learnt numbers against a function with none, and against a module with one."""
    for reference in ("torch.nn.functional.silu", "torch.nn.PReLU"):
        code = LEARNT.replace("np.full(1, 0.25)", "np.full(2, 0.25)")
        with pytest.raises(compare.DescriptionError, match="own1"):
            run(folder.write(code, "Learnt", reference, weight="uniform"))


# On the command line


@pytest.mark.parametrize("what", ["no file", "no class", "a file that raises", "a reference that torch does not have"])
def test_the_command_line_says_it_in_one_line(
    what: str, folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, named = refusals(folder)[what]
    monkeypatch.chdir(folder.path)
    words = ["backproof", "run", path, "--steps", "2", "--out", str(folder.path / "results")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as left:
        cli.main()
    out, err = capsys.readouterr()
    assert left.value.code == 2
    assert out == ""
    assert err.startswith("backproof: ")
    assert named in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_the_command_line_runs_a_file_beside_the_experiment(folder: Folder) -> None:
    """`own1.py:Swish` is found from the folder in which one stands."""
    folder.write(SWISH)
    folder.describe("own1.py:Swish")
    command = [sys.executable, "-m", "compare", "run", "try1.toml", "--steps", "2", "--quiet", "--mode", "lockstep"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, cwd=folder.path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (ended.returncode, ended.stdout) == (0, "AGREES\n")


def test_a_name_in_upper_or_lower_case_decides_nothing(folder: Folder, small_data: Dataset) -> None:
    """torch.nn.functional.silu is a function, torch.nn.SiLU a class: told by what they are."""
    for reference in ("torch.sin", "torch.nn.functional.logsigmoid"):
        derivative = {"torch.sin": ("np.sin(z)", "np.cos(self.z)")}.get(
            reference, ("-np.log1p(np.exp(-z))", "1 / (1 + np.exp(self.z))")
        )
        code = SWISH.replace("return z * self.s\n", f"return {derivative[0]}\n").replace(
            "(self.s + self.z * self.s * (1 - self.s))", derivative[1]
        )
        assert run(folder.write(code, reference=reference)).verdict is Verdict.AGREES


def test_the_measuring_of_the_bound_leaves_the_layer_alone(folder: Folder, small_data: Dataset) -> None:
    """It runs copies: after an audit the layer's own cache is still that of the step."""
    layers, seen = [], []
    compare.run(
        folder.write(SWISH), steps=1, mode="lockstep", batch_size=20,
        begin=lambda loop: layers.append(loop.manual.network.layers["own1"]),
        watchers=[lambda step: seen.append((layers[0].z.copy(), step.manual["linear1.output"].copy()))],
    )  # fmt: skip
    ((cached, z),) = seen
    assert cached.dtype == np.float64
    np.testing.assert_array_equal(cached, z)


LOGISTIC = """
import numpy as np


class Logistic:
    def forward(self, z):
        self.a = 1 / (1 + np.exp(-z))
        return self.a

    def backward(self, grad_output):
        return grad_output * self.a * (1 - self.a)
"""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["SquaredError", "BCELoss"])
def test_a_layer_of_ones_own_may_be_the_last(loss: str, dtype: str, folder: Folder, small_data: Dataset) -> None:
    """It need not say what shape it gives: what has forward and backward is a layer."""
    toml = Path(folder.write(LOGISTIC, "Logistic", "torch.nn.functional.sigmoid"))
    hidden = toml.read_text().split("[[layers]]")[1]
    own = f'kind = "{folder.path / "own1.py"}:Logistic"\nname = "own1"\nreference = "torch.sigmoid"\n'
    output = "kind = 'Linear'\nin_features = 16\nout_features = 10\n"
    layers = [hidden, own, output, own.replace('"own1"', '"own2"')]
    toml.write_text("[[layers]]\n" + "\n[[layers]]\n".join(layers) + f"\n[loss]\nkind = '{loss}'\n")
    outcome = run(str(toml), dtype=dtype)
    assert outcome.verdict is Verdict.AGREES
    assert outcome.to_json()["tightest"]["own2.output"]["bound_kind"] == "measured"


def test_the_test_images_may_come_in_other_numbers_than_a_batch(folder: Folder, small_data: Dataset) -> None:
    """A layer that was written for batches of 20: all steps agree; the scores that it cannot give are not a crash."""
    code = SWISH.replace("self.z, self.s = z,", "assert len(z) == 20, 'twenty, please'\n        self.z, self.s = z,")
    outcome = run(folder.write(code))
    assert outcome.verdict is Verdict.AGREES
    assert outcome.tally.steps == 5
    assert outcome.to_json()["accuracy"] is None
