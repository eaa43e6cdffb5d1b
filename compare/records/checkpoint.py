"""The checkpoint of a run: one file, replaced in one move, from which the run goes on with the same bits.

It holds the loop's state before its last step and the tally after it. Who resumes takes that step again: the evidence
that a divergence at the next one may need, of the step before, is then at hand; and its losses show whether this
machine makes the same bits.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from compare.experiment.description import Experiment
from compare.lockstep.state import LoopState
from compare.lockstep.tally import Tally
from compare.records.folder import write_whole
from compare.records.schema import RecordError, regular_file

FILE = "checkpoint.safetensors"
LARGEST = 2**36  # bytes


@dataclass(frozen=True)
class Checkpoint:
    """A loop's state before a step, the tally after it, and how much of steps.jsonl had been written by then."""

    state: LoopState
    tally: Tally
    written: int  # bytes
    digest: str  # their SHA-256


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint in the place of the one before. Raises OSError."""
    state = checkpoint.state
    facts = json.dumps({
        "taken": state.taken,
        "arrays": list(state.arrays),  # safetensors keeps an order of its own, and the trace has the state's
        "loop": state.facts,
        "tally": checkpoint.tally.to_facts(),
        "written": checkpoint.written,
        "digest": checkpoint.digest,
    })  # fmt: skip
    metadata = {"facts": facts, "sha256": fingerprint(facts, state.arrays)}
    write_whole(folder / FILE, save(state.arrays, metadata))


def read_checkpoint(folder: Path, experiment: Experiment) -> Checkpoint:
    """Return the checkpoint of a record. Raises RecordError for a file that is none, or was changed."""
    path = folder / FILE
    regular_file(path, LARGEST)
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        text = metadata["facts"]
        if fingerprint(text, arrays) != metadata["sha256"]:
            raise ValueError("its SHA-256 is not the one it gives")
        facts = json.loads(text)
        arrays = {name: arrays[name] for name in facts["arrays"]}
        state = LoopState(int(facts["taken"]), arrays, facts["loop"])
        tally = Tally.from_facts(experiment, facts["tally"])
        return Checkpoint(state, tally, int(facts["written"]), str(facts["digest"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as broken:
        raise RecordError(f"{path}: the checkpoint is damaged: {broken}.") from None


def fingerprint(facts: str, arrays: Mapping[str, Any]) -> str:
    """Return a SHA-256 of everything that a checkpoint holds."""
    whole = hashlib.sha256(facts.encode())
    for name in sorted(arrays):
        array: np.ndarray = arrays[name]
        whole.update(f"{name} {array.dtype} {array.shape}".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()
