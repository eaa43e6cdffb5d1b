"""The form: what an export holds, what is refused with a sentence, and what is a finding."""

import filecmp
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from compare import cli
from compare.exchange.export import export
from compare.exchange.files import ExchangeError
from compare.exchange.verify import verify
from compare.experiment.description import DescriptionError
from compare.experiment.files import changes_of, read_experiment
from tests.exchange.conftest import Exported
from tests.exchange.port import chosen, raw, train, write_raw

ROOT = Path(__file__).resolve().parents[2]

# ----------------------------------------------------------------------------------------------------------- the export


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_exporting_twice_gives_equal_files(tmp_path: Path, small_data: Any) -> None:
    experiment = read_experiment("article", changes_of(steps=2))
    one, two = export(experiment, tmp_path / "one"), export(experiment, tmp_path / "deeper" / "two")
    assert files(one) == files(two)
    assert filecmp.cmpfiles(one, two, files(one), shallow=False)[0] == files(one)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "deeper", one]  # nothing is left beside it


def test_the_architecture_says_what_a_program_needs(exported: Exported) -> None:
    document = json.loads((exported() / "architecture.json").read_text())
    assert (document["schema_version"], document["steps"], document["batch_size"]) == (1, 3, 7)
    assert document["dtype"] == "float64"
    assert [(x["name"], x["kind"]) for x in document["layers"]] == [
        ("linear1", "Linear"), ("sigmoid1", "Sigmoid"), ("linear2", "Linear"), ("sigmoid2", "Sigmoid"),
    ]  # fmt: skip
    assert document["layers"][2]["parameters"] == [
        {"name": "linear2.weight", "shape": [10, 30]}, {"name": "linear2.bias", "shape": [10]},
    ]  # fmt: skip
    assert document["loss"]["formula"] == (
        "C = 0.5 times the sum over examples n and outputs k of (prediction[n,k] - target[n,k])^2, divided by N, the "
        "number of examples of the batch."
    )
    assert (document["optimizer"]["kind"], document["optimizer"]["lr"]) == ("SGD", 4.0)
    assert [t["name"] for t in document["tensors"]] == list(train(exported())[1])
    assert {t["name"]: t["shape"] for t in document["tensors"]}["sigmoid1.output"] == ["N", 30]


def test_safetensors_and_raw_binaries_hold_the_same(exported: Exported) -> None:
    folder = exported(dtype="float32")
    parameters, batches = raw(folder)
    for name, array in load_file(folder / "initial.safetensors").items():
        assert parameters[name].dtype == array.dtype == np.float32
        assert np.array_equal(parameters[name], array)
    stored = load_file(folder / "batches.safetensors")
    assert len(stored) == len(batches) == 6
    for (step, name), array in batches.items():
        assert np.array_equal(stored[f"step-{step:06d}.{name}"], array)
    first = struct.unpack("<f", (folder / "tensors" / "initial.bin").read_bytes()[:4])
    assert first == (parameters["linear1.weight"][0, 0],)


def test_every_tensor_and_the_formula_stand_in_the_form(exported: Exported) -> None:
    folder = exported()
    text = (folder / "FORM.md").read_text()
    document = json.loads((folder / "architecture.json").read_text())
    assert all(f"| `{tensor['name']}` |" in text for tensor in document["tensors"])
    assert document["loss"]["formula"] in text
    assert "$" not in text.replace("${", "")


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path, small_data: Any) -> None:
    experiment = read_experiment("article", changes_of(steps=2))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name in ("mine", "file"):
        with pytest.raises(DescriptionError, match=r"holds something else already.*Nothing written"):
            export(experiment, tmp_path / name)
    assert files(tmp_path / "mine") == ["thesis.txt"]
    folder = export(experiment, tmp_path / "mine" / "new")
    before = (folder / "architecture.json").read_bytes()
    with pytest.raises(DescriptionError, match="another export"):
        export(experiment.changed("training", steps=3), folder)
    assert (folder / "architecture.json").read_bytes() == before
    assert export(experiment, folder) == folder  # this very one: nothing to do


@pytest.mark.parametrize("name", ["initial.safetensors", "batches.safetensors", "tensors/initial.bin", "FORM.md"])
def test_an_export_that_has_been_changed_is_refused(exported: Exported, name: str) -> None:
    folder = exported()
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    write_raw(folder, train(exported()))
    with pytest.raises(ExchangeError, match="is not as it was exported"):
        verify(folder)


# ------------------------------------------------------------------------------------------------------------ the names


def test_names_that_match_nothing_are_told_with_the_nearest(exported: Exported) -> None:
    folder = exported()
    steps = train(folder)
    for tensors in steps.values():
        tensors["linear1.weights.grad"] = tensors.pop("linear1.weight.grad")
        tensors["fc2.bias.grad"] = tensors.pop("linear2.bias.grad")
    write_raw(folder, steps)
    outcome = verify(folder).to_json()
    assert outcome["exchange"]["unmatched"] == {
        "linear1.weights.grad": "Did you mean 'linear1.weight.grad'?",
        "fc2.bias.grad": "Did you mean 'linear2.bias.grad'?",
    }
    assert outcome["exchange"]["missing"] == ["linear2.bias.grad", "linear1.weight.grad"]
    assert (outcome["verdict"], outcome["checks"]) == ("AGREES", 3 * 15)


def test_names_that_all_match_nothing_are_an_empty_comparison(exported: Exported) -> None:
    folder = exported()
    steps = {s: {f"net.{n}": a for n, a in tensors.items()} for s, tensors in train(folder).items()}
    write_raw(folder, steps)
    verified = verify(folder)
    assert (str(verified.verdict), verified.exit_status) == ("INCONCLUSIVE", 3)
    assert len(verified.to_json()["exchange"]["unmatched"]) == 23


# --------------------------------------------------------------------------------------------------- wrong as a finding


def transposed(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.T)


def with_nan(a: np.ndarray) -> np.ndarray:
    return np.where(np.arange(a.size).reshape(a.shape) == 5, np.nan, a)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (transposed, r"has shape \[784, 30\]; wanted \[30, 784\]. It is that of the transpose"),
        (lambda a: a.ravel(), r"has shape \[23520\]; wanted \[30, 784\]"),
        (lambda a: a.astype(np.float32), "is float32; wanted float64, the dtype of the export"),
        (with_nan, r"\[0, 5\] is nan in the port; the reference's is finite"),
    ],
)
def test_a_malformed_tensor_is_a_finding(exported: Exported, change: Callable[[Any], Any], said: str) -> None:
    folder = exported()
    steps = train(folder)
    steps[2]["linear1.weight.grad"] = change(steps[2]["linear1.weight.grad"])
    write_raw(folder, steps)
    verified = verify(folder)
    finding = verified.finding
    assert finding is not None
    assert (verified.exit_status, finding.step, finding.tensor) == (1, 2, "linear1.weight.grad")
    assert finding.last_agreeing == "linear1.output.grad"
    assert re.search(said, finding.reason)


@pytest.mark.parametrize(
    ("options", "said"), [({"byte_order": ">"}, "big-endian"), ({"order": "F"}, "column by column")]
)
def test_bytes_in_another_order_are_recognised(exported: Exported, options: dict[str, Any], said: str) -> None:
    folder = exported()
    write_raw(folder, chosen(train(folder), lambda _, name: name == "linear1.weight.grad"), **options)
    finding = verify(folder).finding
    assert finding is not None
    assert f"Read {said} it agrees" in finding.reason


# -------------------------------------------------------------------------------------------------- unreadable, refused


def index_with(**changes: Any) -> Callable[[Path], None]:
    def change(trace: Path) -> None:
        entries = json.loads((trace / "index.json").read_text())
        entries[0] = {k: v for k, v in {**entries[0], **changes}.items() if v != "gone"}
        (trace / "index.json").write_text(json.dumps(entries))

    return change


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def change(trace: Path) -> None:
        (trace / name).write_bytes(content)

    return change


REFUSED = {
    "truncated binary": (lambda t: os.truncate(t / "trace.bin", 1000), r"trace.bin: ends \d+ bytes too early"),
    "no binary": (lambda t: (t / "trace.bin").unlink(), "trace.bin: cannot be read"),
    "not JSON": (write("index.json", b'[{"step": 1, '), "index.json: not JSON"),
    "not UTF-8": (write("index.json", b"\xff\xfe["), "index.json: not JSON"),
    "deep JSON": (write("index.json", b"[" * 100000), "index.json: not JSON"),
    "no list": (write("index.json", b"{}"), "found dict; wanted a list of entries"),
    "no entry": (write("index.json", b"[3]"), "entry 0 is 3; wanted an object"),
    "no name": (index_with(name="gone"), "entry 0: name is missing; wanted a text"),
    "step as text": (index_with(step="1"), "entry 0: step is '1'; wanted a whole number"),
    "step too large": (index_with(step=4), "step 4; the export has the steps 1 to 3"),
    "unknown dtype": (index_with(dtype="float65"), "dtype is 'float65'. Did you mean 'float64'"),
    "wrong length": (index_with(length=8), "length is 8 bytes; float64 of shape"),
    "negative shape": (index_with(shape=[-7, 784]), r"shape is \[-7, 784\]; wanted whole numbers"),
    "outside": (index_with(file="../tensors/initial.bin"), "wanted a file inside"),
    "far outside": (index_with(file="a\0b"), "wanted a file inside"),
    "far beyond the end": (index_with(offset=10**30), r"trace.bin: ends \d+ bytes too early"),
    "far too large": (index_with(shape=[10**30], length=8 * 10**30), r"trace.bin: ends \d+ bytes too early"),
    "given twice": (write("losses.csv", b"step,loss\n1,0.5\n"), "loss of step 1 is given already"),
    "no header": (write("losses.csv", b"1,0.5\n"), "first line is not the header"),
    "no number": (write("losses.csv", b"step,loss\n1,half\n"), "line 2: the loss is 'half'; wanted a number"),
    "no step": (write("losses.csv", b"step,loss\n0.5\n"), "line 2 is '0.5'; wanted a step's number and its loss"),
    "losses no list": (write("losses.json", b'{"1": 2}'), "found dict; wanted a list of numbers"),
    "losses no numbers": (write("losses.json", b"[null]"), "the loss of step 1 is None"),
    "broken safetensors": (write("step-000001.safetensors", b"\x08\0\0\0\0\0\0\0{}"), "not a whole safetensors file"),
    "step's name": (write("step-one.safetensors", b""), "no step's number in the name"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_a_sentence(exported: Exported, case: str) -> None:
    spoil, said = REFUSED[case]
    folder = exported()
    write_raw(folder, train(folder))
    spoil(folder / "trace")
    with pytest.raises(ExchangeError, match=said):
        verify(folder)


def test_what_is_no_export_is_refused(tmp_path: Path, exported: Exported) -> None:
    with pytest.raises(ExchangeError, match=r"is no export: there is no architecture.json"):
        verify(tmp_path)
    folder = exported()
    with pytest.raises(ExchangeError, match="trace is not there"):
        verify(folder)
    path = folder / "architecture.json"
    document = json.loads(path.read_text())
    for broken, said in (
        ("{", "not JSON"),
        ("[]", "not an architecture"),
        (json.dumps({**document, "schema_version": 99}), "schema version 99; this backproof reads 1"),
        (json.dumps({**document, "files": {}}), "architecture.json is not as it was exported"),
        (json.dumps({**document, "steps": 2}), "architecture.json is not as it was exported"),
    ):
        path.write_text(broken)
        with pytest.raises(ExchangeError, match=said):
            verify(folder)


# ----------------------------------------------------------------------------------------------------- the command line


class Said(NamedTuple):
    """What a command said, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def backproof(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["backproof", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        code = left.value.code or 0
        assert isinstance(code, int)
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return run


def in_process(*words: object) -> Said:
    """Run a command line in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-W", "error", "-m", "compare", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    return Said(ended.returncode, ended.stdout, ended.stderr)


def test_the_way_through_on_the_command_line(tmp_path: Path, backproof: Callable[..., Said]) -> None:
    folder = tmp_path / "port"
    said = backproof("export", folder, "--steps", 2, "--batch-size", 5, "--lr", 0.5, "--seed", 7, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    assert json.loads(said.stdout) == {"folder": str(folder), "experiment": "article", "steps": 2}
    write_raw(folder, train(folder, "bias-first-example"))
    said = in_process("verify", folder, "--json")  # which has nothing of the export but its folder
    assert (said.returncode, said.stderr) == (1, "")
    outcome = json.loads(said.stdout)
    assert {"verdict", "steps", "checks", "worst", "divergence", "kinks"} <= outcome.keys()
    assert outcome["divergence"]["suspects"][0]["name"] == "bias-gradient-first-example"
    write_raw(folder, chosen(train(folder), lambda _, name: name in ("loss", "linear1.weight.updated")))
    said = backproof("verify", folder)
    assert (said.returncode, said.stderr) == (0, "")
    assert "Given: 4 of the 34 tensors" in said.stdout
    assert "Would have gone unnoticed" in said.stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("export", "article"), 2, "export needs a folder to write: backproof export article DIR"),
        (("export", "artcle", "x"), 2, "Did you mean 'article'"),
        (("export", "article", ROOT), 2, "holds something else already"),
        (("verify", ROOT), 3, "is no export"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(
    words: tuple, status: int, said: str, backproof: Callable[..., Said]
) -> None:
    answer = backproof(*words)
    assert (answer.returncode, answer.stdout) == (status, "")
    assert said in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
