"""Going on with a run: it ends with the bits of an undisturbed one, wherever it was stopped."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compare
import manual
from compare.experiment.datasets import Dataset
from compare.experiment.files import changes_of, read_experiment
from compare.lockstep.loop import Loop
from compare.records.checkpoint import FILE as CHECKPOINT
from compare.records.folder import only_writer, write_whole
from compare.records.reading import read_record
from compare.records.replay import replay
from compare.records.resume import resume
from compare.records.schema import RecordError
from tests.records.conftest import assert_same_bits, change_manifest, make, manifest_of

GATHERED = """
name = "gathered"
layers = [
  { kind = "Linear", in_features = 784, out_features = 12 },
  { kind = "BatchNorm1d", num_features = 12 },
  { kind = "Tanh" },
  { kind = "Dropout", p = 0.3 },
  { kind = "Linear", in_features = 12, out_features = 10 },
]
loss = { kind = "CrossEntropyLoss" }
[optimizer]
kind = "SGD"
lr = 0.3
momentum = 0.9
accumulate = 3
max_norm = 0.5
schedule = { kind = "CosineAnnealingLR", T_max = 5 }
[training]
batch_size = 7
"""


def stopped_at(number: int, out: Path, small: Dataset, experiment: str, **options: Any) -> Path:
    """Return the record of a run that was asked to stop after a step."""
    seen: list[int] = []
    return make(
        out, small, experiment, watchers=[lambda step: seen.append(step.number)], stop=lambda: len(seen) == number,
        **options,
    )  # fmt: skip


def experiment_file(name: str, folder: Path) -> str:
    """Return the name of an experiment; that of GATHERED is a file."""
    if name != "gathered":
        return name
    (folder / "gathered.toml").write_text(GATHERED, encoding="utf-8")
    return str(folder / "gathered.toml")


# Each keeps something else from one step to the next: momentum and running statistics, Adam's averages with a schedule
# and masks, gathered gradients, the state of recurrent layers, masks in a Residual, token batches. How many examples a
# batch has is nothing to it: they are few where a step costs much.
CASES = [
    ("article", 12, 7, {}),
    ("article", 12, 1, {}),
    ("article", 12, 11, {"dtype": "float32"}),
    ("article", 40, 33, {"batch_size": 20, "mode": "independent"}),
    ("article", 9, 4, {"mode": "lockstep"}),
    ("article", 65, 61, {"batch_size": 10}),  # into the second epoch of 600 examples
    ("relu", 8, 5, {"dtype": "float32", "batch_size": 8}),
    ("batchnorm", 8, 5, {"batch_size": 8}),
    ("adam", 10, 6, {"batch_size": 8}),
    ("gathered", 14, 7, {}),
    ("gathered", 14, 8, {"mode": "independent"}),
    ("lenet", 3, 2, {"batch_size": 4}),
    ("lstm-rows", 3, 2, {"batch_size": 4}),
    ("attention-rows", 3, 2, {"batch_size": 4}),
]


@pytest.mark.parametrize(("name", "steps", "stop", "options"), CASES, ids=lambda x: str(x))
def test_it_ends_with_the_bits_of_an_undisturbed_run(
    name: str, steps: int, stop: int, options: dict[str, Any], tmp_path: Path, small: Dataset, small_data: Dataset
) -> None:
    experiment = experiment_file(name, tmp_path)
    options = {"steps": steps, "checkpoint_every": 0.0, **options}
    whole = make(tmp_path / "whole", small, experiment, **options)
    folder = stopped_at(stop, tmp_path / "stopped", small, experiment, **options)
    assert manifest_of(folder)["status"] == "interrupted"
    outcome = resume(folder)
    assert outcome.record == folder
    assert_same_bits(folder, whole)
    (resumption,) = manifest_of(folder)["resumed"]
    if stop > 1:  # the first checkpoint is written behind the second step
        assert resumption["step"] == stop
        assert resumption["same_bits"] is True
    assert resumption["environment_differences"] == []
    assert manifest_of(folder)["status"] == "finished"
    assert not (folder / CHECKPOINT).exists()
    read_record(folder)


def test_a_run_may_be_stopped_again_and_again(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    options: dict[str, Any] = {"steps": 20, "checkpoint_every": 0.0}
    whole = make(tmp_path / "whole", small, **options)
    folder = stopped_at(3, tmp_path / "stopped", small, "article", **options)
    for number in (7, 8, 9, 15):
        seen: list[int] = []
        outcome = resume(
            folder, watchers=[lambda step, seen=seen: seen.append(step.number)],
            stop=lambda seen=seen, number=number: seen[-1] == number,
        )  # fmt: skip
        assert outcome.interrupted
        assert seen[-1] == number
    resume(folder)
    assert_same_bits(folder, whole)
    # A checkpoint is written behind the step after it: a run stopped at its first step goes on from the one before.
    assert [entry["step"] for entry in manifest_of(folder)["resumed"]] == [3, 7, 7, 9, 15]


def test_without_a_checkpoint_it_begins_anew(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    whole = make(tmp_path / "whole", small)
    folder = stopped_at(5, tmp_path / "stopped", small, "article")
    assert not (folder / CHECKPOINT).exists()  # ten seconds have not gone by
    resume(folder)
    assert_same_bits(folder, whole)
    (resumption,) = manifest_of(folder)["resumed"]
    assert (resumption["step"], resumption["computed_again"], resumption["same_bits"]) == (0, 5, None)


class WrongInTheEnd(manual.Sigmoid):
    """Right until its ninth step; then it takes the output of the step before for this one's."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.stale = 0, None

    def forward(self, z: np.ndarray) -> np.ndarray:
        output = super().forward(z)
        self.count += 1
        self.before, self.now = getattr(self, "now", output), output
        return output

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        a = self.before if self.count >= self.wrong_from else self.now
        return grad_output * a * (1 - a)

    wrong_from = 9


def test_a_finding_at_the_first_step_after_it_has_the_evidence_of_the_step_before(
    tmp_path: Path, small: Dataset, small_data: Dataset
) -> None:
    whole = make(tmp_path / "whole", small, layers={"sigmoid1": WrongInTheEnd()}, checkpoint_every=0.0)
    folder = stopped_at(
        8, tmp_path / "stopped", small, "article", layers={"sigmoid1": WrongInTheEnd()}, checkpoint_every=0.0
    )
    again = WrongInTheEnd()
    again.wrong_from = 2  # it is new: it counts from the step that is taken again
    resume(folder, layers={"sigmoid1": again})
    assert_same_bits(folder, whole)
    found = read_record(folder).outcome
    assert found is not None
    assert found["divergence"]["step"] == 9
    assert found["divergence"]["suspects"]  # which only the step before can name


@pytest.mark.parametrize(
    "victim", ["metrics.json", "final_manual.safetensors", "final_reference.safetensors", "manifest.json"]
)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_a_run_that_ends_while_its_end_is_written_is_finished_later(
    victim: str,
    error: BaseException,
    tmp_path: Path,
    small: Dataset,
    small_data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What of the end had been written already does not count: the record can be read, and is resumed."""
    whole, seen = make(tmp_path / "whole", small), []

    def write(path: Path, content: bytes) -> None:
        seen.append(path.name)
        if path.name == victim and seen.count(victim) == (2 if victim == "manifest.json" else 1):
            raise error
        write_whole(path, content)

    monkeypatch.setattr("compare.records.record.write_whole", write)
    with pytest.raises((RecordError, KeyboardInterrupt)):
        make(tmp_path / "ended", small)
    monkeypatch.undo()
    (folder,) = (tmp_path / "ended").iterdir()
    record = read_record(folder)
    assert record.status == ("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
    assert (record.outcome, record.manifest["verdict"]) == (None, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compare.experiment.datasets.load", lambda *_: small)
        resume(folder)
    assert_same_bits(folder, whole)


# --------------------------------------------------------------------------------------------------------- refusals


def test_layers_from_python_must_be_given_again(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    folder = stopped_at(3, tmp_path, small, "article", layers={"sigmoid1": manual.Sigmoid()})
    with pytest.raises(RecordError, match="sigmoid1"):
        resume(folder)
    assert manifest_of(folder)["status"] == "interrupted"
    assert not resume(folder, layers={"sigmoid1": manual.Sigmoid()}).interrupted


def test_a_finished_run_is_not_gone_on_with(copied: Path, small_data: Dataset) -> None:
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    with pytest.raises(RecordError, match="has finished"):
        resume(copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_a_record_has_one_writer(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    folder = stopped_at(3, tmp_path, small, "article")
    with only_writer(folder), pytest.raises(RecordError, match="another process"):
        resume(folder)
    resume(folder)


def test_a_folder_that_is_no_record_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"manifest\.json"):
        resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


def interrupted(out: Path, small: Dataset) -> Path:
    return stopped_at(6, out, small, "article", checkpoint_every=0.0)


def test_other_lines_than_those_the_checkpoint_counts_on(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    folder = interrupted(tmp_path, small)
    path = folder / "steps.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[1] = lines[1].replace('"checks":23', '"checks":24')
    path.write_text("".join(lines), encoding="utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    change_manifest(folder, lambda m: m["files"].__setitem__("steps.jsonl", digest))
    with pytest.raises(RecordError, match=r"steps\.jsonl: was changed"):
        resume(folder)


@pytest.mark.parametrize("position", [0.01, 0.3, 0.6, 0.99])
def test_a_damaged_checkpoint_is_refused_by_name(
    position: float, tmp_path: Path, small: Dataset, small_data: Dataset
) -> None:
    folder = interrupted(tmp_path, small)
    content = bytearray((folder / CHECKPOINT).read_bytes())
    content[int(position * len(content))] ^= 1
    (folder / CHECKPOINT).write_bytes(content)
    # The manifest of an interrupted run names it; that of a killed one does not, and the file has to speak for itself.
    with pytest.raises(RecordError, match=CHECKPOINT):
        resume(folder)
    change_manifest(folder, lambda m: m["files"].pop(CHECKPOINT))
    with pytest.raises(RecordError, match=CHECKPOINT):
        resume(folder)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    folder = interrupted(tmp_path / "one", small)
    other = stopped_at(6, tmp_path / "other", small, "relu", checkpoint_every=0.0)
    (folder / CHECKPOINT).write_bytes((other / CHECKPOINT).read_bytes())
    (folder / "steps.jsonl").write_bytes((other / "steps.jsonl").read_bytes())
    change_manifest(folder, lambda m: [m["files"].pop(name) for name in (CHECKPOINT, "steps.jsonl")])
    with pytest.raises(RecordError, match="does not fit"):
        resume(folder)


def test_what_is_resumed_elsewhere_says_what_differs(tmp_path: Path, small: Dataset, small_data: Dataset) -> None:
    folder = interrupted(tmp_path, small)
    path = folder / "environment.json"
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace(f'"numpy": "{np.__version__}"', '"numpy": "1.0.0"'), encoding="utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    change_manifest(folder, lambda m: m["files"].__setitem__("environment.json", digest))
    resume(folder)
    (resumption,) = manifest_of(folder)["resumed"]
    assert resumption["environment_differences"] == [
        {"key": "packages.numpy", "recorded": "1.0.0", "here": np.__version__}
    ]


def test_other_bits_at_the_step_taken_again_are_noted_or_refused(
    tmp_path: Path, small: Dataset, small_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = interrupted(tmp_path, small)
    forward = manual.Sigmoid.forward
    monkeypatch.setattr(manual.Sigmoid, "forward", lambda self, z: forward(self, z) * (1 + 2**-52))
    with pytest.raises(RecordError, match="other bits"):  # for nothing explains them
        resume(folder)
    assert manifest_of(folder)["status"] == "failed"
    other = {"key": "cpu", "recorded": "another", "here": "this"}
    monkeypatch.setattr("compare.records.resume.differences", lambda *_: [other])
    resume(folder)
    entry = manifest_of(folder)["resumed"][-1]
    assert (entry["same_bits"], entry["environment_differences"]) == (False, [other])
    assert replay(folder).environment_differences[-1]["key"] == "cpu (resumed after step 6)"


def test_the_walk_can_begin_at_any_step(small: Dataset) -> None:
    """The batches of a walk that begins later are those of the whole walk, over the end of an epoch too."""
    experiment = read_experiment("article", changes_of(epochs=3, batch_size=70, steps=None))
    whole = Loop(experiment, small)
    from compare.experiment.streams import batches

    every = list(batches(experiment, 600))
    assert len(every) == whole.steps == 27
    for taken in (0, 1, 8, 9, 10, 26, 27):
        rest = list(batches(experiment, 600, taken))
        assert [epoch for epoch, _ in rest] == [epoch for epoch, _ in every[taken:]]
        for (_, one), (_, other) in zip(rest, every[taken:], strict=True):
            np.testing.assert_array_equal(one, other)
    assert json.dumps([epoch for epoch, _ in every]).count("2") == 9
    assert compare.resume is resume
