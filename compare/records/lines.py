"""A line of steps.jsonl: what is recorded of one step."""

import binascii
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from compare.lockstep.loop import Step


def line_of(step: Step) -> dict[str, Any]:
    """Return a step's line: losses to the bit, the worst tensor, and marks of all; at an audited step the details."""
    line: dict[str, Any] = {
        "step": step.number,
        "epoch": step.epoch,
        "loss": [step.loss_manual, step.loss_reference],
    }
    if step.errors:
        worst = max(step.errors, key=step.errors.__getitem__)
        line["worst"] = [worst, round(step.errors[worst], 3)]
        line["checks"] = len(step.errors)
        line["marks"] = marks(step.errors)
    if step.checks:
        line["errors"] = {name: round(error, 3) for name, error in step.errors.items()}
        line["audit"] = {check.tensor: round(check.used, 5) for check in step.checks}
    if step.drift:
        line["drift"] = [step.drift.parameters, step.drift.loss_reference]
    if step.finding:
        line["finding"] = step.finding.tensor
    if step.kinks:
        line["kinks"] = [asdict(kink) for kink in step.kinks]
    return line


def marks(errors: Mapping[str, float]) -> str:
    """Return two bytes for every tensor's error, in their order, as base64.

    The error of a tensor, ||manual - reference|| / (u ||reference||), moves with the last bit of any element of either
    side; its own 64 bits folded to 16 tell of any such change but one in 65,536, at a tenth of the room.
    """
    quarters = np.frombuffer(struct.pack(f"<{len(errors)}d", *errors.values()), "<u2").reshape(-1, 4)
    return binascii.b2a_base64(np.bitwise_xor.reduce(quarters, axis=1), newline=False).decode("ascii")


def changed_mark(recorded: str, here: str, tensors: list[str]) -> str | None:
    """Return the first of the tensors whose mark is another than the recorded one; None if all are equal."""
    try:
        old, new = (np.frombuffer(binascii.a2b_base64(text), "<u2") for text in (recorded, here))
    except ValueError:  # what was recorded is no base64, or not of whole marks
        return tensors[0]
    if len(old) != len(new):
        return tensors[min(len(old), len(new), len(tensors) - 1)]
    changed = np.flatnonzero(old != new)
    return tensors[changed[0]] if len(changed) else None
