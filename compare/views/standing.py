"""How a recorded run stands: going on or killed, and where it was resumed."""

from collections.abc import Sequence
from typing import Any

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
    start = f"after step {entry['step']:,}" if entry["step"] else "from its start"
    bits = " The step before, taken again, had the recorded bits." if entry["same_bits"] else ""
    return f"Resumed {start}; {entry['computed_again']:,} recorded steps were computed again.{bits}"


def warnings(entry: dict[str, Any]) -> list[str]:
    """Return what makes a resumed run another than an undisturbed one."""
    apart = entry["environment_differences"]
    other = (
        ["WARNING: the step before, taken again, had OTHER BITS than the record."]
        if entry["same_bits"] is False
        else []
    )
    if apart:
        shown = "; ".join(f"{d['key']}: {d['recorded']}, then {d['here']}"[:300] for d in apart[:MOST_DIFFERENCES])
        more = f"; and {len(apart) - MOST_DIFFERENCES:,} more" if len(apart) > MOST_DIFFERENCES else ""
        other.append(f"WARNING: the environment was ANOTHER than at the start: {shown}{more}.")
    return other
