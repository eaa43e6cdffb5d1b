"""How a recorded run stands: going on or killed, and where it was resumed."""

from collections.abc import Sequence
from typing import Any

from compare.language import joint, passage, say
from compare.records.folder import in_use
from compare.records.reading import Recorded

MOST_DIFFERENCES = 20


def standing(record: Recorded) -> str:
    """Return finished, interrupted, failed, running, or killed: it says `running`, and nobody writes it."""
    return "killed" if record.status == "running" and not in_use(record.folder) else record.status


def resumptions(resumed: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return for each time that a run was resumed what there is to say, and the warnings."""
    return [(resumption(entry), warnings(entry)) for entry in resumed]


def resumption(entry: dict[str, Any]) -> str:
    """Return where a run was resumed, and how many steps were computed again."""
    again, step = entry["computed_again"], entry["step"]
    if step:
        told = [
            say("Resumed after step {step:,}; {again:,} recorded steps were computed again.", step=step, again=again)
        ]
    else:
        told = [say("Resumed from its start; {again:,} recorded steps were computed again.", again=again)]
    if entry["same_bits"]:
        told.append(say("The step before, taken again, had the recorded bits."))
    return passage(told)


def warnings(entry: dict[str, Any]) -> list[str]:
    """Return what makes a resumed run another than an undisturbed one."""
    apart = entry["environment_differences"]
    told = []
    if entry["same_bits"] is False:
        told.append(say("WARNING: the step before, taken again, had OTHER BITS than the record."))
    if apart:
        each = [
            say("{key}: {before}, then {after}", key=d["key"], before=d["recorded"], after=d["here"])[:300]
            for d in apart[:MOST_DIFFERENCES]
        ]
        if len(apart) > MOST_DIFFERENCES:
            each.append(say("and {count:,} more", count=len(apart) - MOST_DIFFERENCES))
        differences = joint("facts").join(each)
        told.append(
            say("WARNING: the environment was ANOTHER than at the start: {differences}.", differences=differences)
        )
    return told
