"""Going on with a run that was interrupted or killed, to the bits that it would have ended with undisturbed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compare.experiment.datasets import Dataset
from compare.lockstep.loop import Loop, Step, Watcher
from compare.lockstep.outcome import Outcome, jsonable
from compare.lockstep.run import run_loop, threads
from compare.lockstep.state import restore_loop
from compare.lockstep.tally import Tally
from compare.records.checkpoint import FILE as CHECKPOINT
from compare.records.checkpoint import read_checkpoint
from compare.records.environment import differences, environment
from compare.records.folder import only_writer, remove
from compare.records.lines import line_of
from compare.records.reading import AT_THE_END, AT_THE_START, Recorded, digest_of_start, read_record
from compare.records.rebuild import rebuild
from compare.records.record import Record, now, write_json
from compare.records.schema import RecordError, read_lines


@dataclass(frozen=True)
class Start:
    """Where a run goes on: what has been kept of it, how much of steps.jsonl counts, and its last line."""

    tally: Tally
    written: int = 0  # bytes of steps.jsonl
    last: Mapping[str, Any] | None = None
    computed_again: int = 0  # steps that had been recorded behind it


def resume(
    record: Path | str,
    *,
    layers: Mapping[str, Any] | None = None,
    data_root: Path | str | None = None,
    trust: bool = False,
    watchers: Iterable[Watcher] = (),
    begin: Callable[[Loop], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Go on with a recorded run from its last checkpoint, or from its start if it has none; return the outcome.

    It ends with the same bits as it would have undisturbed. The options are those of `compare.run` and of `rebuild`.
    Raises RecordError for a record that is none, has finished, is being written, or whose files were changed.
    """
    folder = Path(record)
    recorded = unfinished(folder)
    loop, dataset = rebuild(recorded, layers, data_root, trust)
    with only_writer(folder):
        recorded = unfinished(folder)  # again: it may have been another's until now
        start = start_of(recorded, loop)
        return go_on(recorded, loop, dataset, start, begin, watchers, stop)


def unfinished(folder: Path) -> Recorded:
    """Return a record whose run has not come to its end; raise RecordError for another."""
    recorded = read_record(folder)
    if recorded.status == "finished":
        raise RecordError(f"{folder}: this run has finished ({recorded.manifest['verdict']}): nothing is left to do.")
    return recorded


def start_of(recorded: Recorded, loop: Loop) -> Start:
    """Put the loop where the checkpoint was taken; return what was kept until then. Raises RecordError."""
    folder, lines = recorded.folder, sum(1 for _ in recorded.steps())
    if not (folder / CHECKPOINT).exists():
        return Start(Tally(loop.experiment), computed_again=lines)
    checkpoint = read_checkpoint(folder, loop.experiment)
    tally, path = checkpoint.tally, folder / "steps.jsonl"
    try:
        found = digest_of_start(path, checkpoint.written)
    except OSError as failure:
        raise RecordError(f"{path}: cannot be read ({failure.strerror}).") from None
    if found != checkpoint.digest:
        raise RecordError(f"{path}: was changed after the run: the checkpoint was taken after other lines.")
    last, checks, audited = None, 0, 0
    for line in read_lines(path, "step", checkpoint.written):
        last, checks, audited = line, checks + line.get("checks", 0), audited + len(line.get("audit", ()))
    told = (tally.steps, tally.checks, tally.audited, checkpoint.state.taken)
    if last is None or told != (last["step"], checks, audited, last["step"] - 1) or not 1 < tally.steps <= loop.steps:
        raise RecordError(f"{folder / CHECKPOINT}: does not tell of the steps that {path.name} has.")
    try:
        restore_loop(loop, checkpoint.state)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as misfit:
        raise RecordError(f"{folder / CHECKPOINT}: does not fit the network of config.toml: {misfit}.") from None
    return Start(tally, checkpoint.written, last, lines - tally.steps)


def go_on(
    recorded: Recorded,
    loop: Loop,
    dataset: Dataset,
    start: Start,
    begin: Callable[[Loop], None] | None,
    watchers: Iterable[Watcher],
    stop: Callable[[], bool],
) -> Outcome:
    """Walk on from the start; the record tells that, and where, it was resumed."""
    training, folder = loop.experiment.training, recorded.folder
    with threads(training.threads):
        apart = differences(recorded.environment, environment(training.device))
    resumption = {
        "step": start.tally.steps,
        "time": now(),
        "computed_again": start.computed_again,
        "same_bits": None,
        "environment_differences": apart,
    }
    manifest = begun_again(recorded.manifest, resumption, start.tally.steps)

    def again(step: Step) -> None:
        """Note whether the step before, taken again, has the bits that were recorded."""
        here = jsonable(line_of(step))
        resumption["same_bits"] = start.last is not None and all(
            here.get(key) == start.last.get(key) for key in ("loss", "marks", "audit")
        )
        if not resumption["same_bits"] and not apart:
            raise RecordError(
                f"{folder}: step {step.number}, taken again here, has other bits than were recorded, though nothing in "
                "the environment differs: the checkpoint is not of this run, or the run does not repeat itself."
            )

    with Record(folder, manifest, loop, start.tally) as record:
        try:
            write_json(folder / "manifest.json", manifest)  # first: it no longer speaks of what is removed now
            remove_end(folder)
        except OSError as failure:
            raise RecordError(f"{folder}: the record cannot be written ({failure.strerror}).") from None
        record.open_log(start.written)
        if begin:
            begin(loop)
        outcome = run_loop(loop.experiment, dataset, loop, [record.add, *watchers], stop, start.tally, again)
        outcome = replace(outcome, record=folder)
        record.finish(outcome)
    return outcome


def begun_again(manifest: Mapping[str, Any], resumption: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return the manifest of a run that goes on."""
    return {
        **manifest,
        "status": "running",
        "verdict": None,
        "exit_reason": None,
        "end": None,
        "steps": steps,
        "resumed": [*manifest["resumed"], resumption],
        "files": {name: manifest["files"][name] for name in sorted(AT_THE_START)},
    }


def remove_end(folder: Path) -> None:
    """Remove what the first part of a run had written as its end. Raises OSError."""
    for name in sorted(AT_THE_END - {"steps.jsonl"}):
        (folder / name).unlink(missing_ok=True)
    remove(folder / "divergence")
