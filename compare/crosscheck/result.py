"""What a crosscheck came to, and how it is told."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compare.agreement.verdict import Verdict
from compare.notebook import card

Data = dict[str, Any]


class DerivationError(AssertionError):
    """A derivation does not agree with the reference; `result` has the facts, the message tells them."""

    def __init__(self, result: "Result"):
        super().__init__(str(result))
        self.result = result


@dataclass(frozen=True, repr=False)
class Result:
    """The verdict on a candidate, and what it rests on."""

    candidate: str
    reference: str
    verdict: Verdict
    examples: int
    checks: int  # tensors that were compared
    seed: int
    dtypes: tuple[str, ...]
    failures: list[Data] = field(default_factory=list)  # one a failing tensor, in the order of a step
    structure: dict[str, str] = field(default_factory=dict)  # rule -> "holds", "does not hold", "not asked"
    worst: dict[str, Data] = field(default_factory=dict)
    power: dict[str, Data] = field(default_factory=dict)  # tensor -> the smallest relative mistake it would have shown
    smallest: dict[str, np.ndarray] = field(default_factory=dict)  # the smallest failing input, by name
    bound_kind: str = "measured"
    overflow: str = ""  # what magnitudes up to 1e4 showed, which decide nothing unless asked for
    reason: str = ""  # why nothing can be said
    call: str = ""  # what repeats the check

    @property
    def agrees(self) -> bool:
        """Whether every tensor agrees and every rule holds."""
        return self.verdict is Verdict.AGREES

    def __bool__(self) -> bool:
        return self.agrees

    @property
    def exit_status(self) -> int:
        """0 agrees, 1 diverges, 3 nothing can be said."""
        return self.verdict.exit_status

    @property
    def failing(self) -> list[str]:
        """The names of the failing tensors."""
        return list(dict.fromkeys(failure["tensor"] for failure in self.failures))

    def __repr__(self) -> str:
        return f"<Result: {self.headline()}>"

    def _repr_html_(self) -> str:
        facts = {"examples": f"{self.examples}", "tensors compared": f"{self.checks:,}", "seed": self.seed}
        head = ("tensor", "at", "by hand", "reference", "mistake")
        rows = [
            (
                f["tensor"],
                f["index"] or "",
                f["manual"],
                f["reference"],
                ", ".join(s["name"] for s in f["suspects"][:1]),
            )
            for f in self.failures
        ]
        note = self.reason or " ".join(line for line in self.grounds() if line)
        return card(self.headline(), facts, head, rows, note)

    def to_json(self) -> Data:
        """Return the result as JSON data; numbers that JSON does not have become texts."""
        return plain(
            {
                "verdict": self.verdict.value, "candidate": self.candidate, "reference": self.reference,
                "examples": self.examples, "checks": self.checks, "seed": self.seed, "dtypes": list(self.dtypes),
                "divergence": self.failures[0] if self.failures else None, "failures": self.failures,
                "structure": self.structure, "worst": self.worst, "power": self.power,
                "smallest_input": {name: array.tolist() for name, array in self.smallest.items()},
                "bound_kind": self.bound_kind, "overflow": self.overflow, "reason": self.reason, "reproduce": self.call,
            }
        )  # fmt: skip

    def __str__(self) -> str:
        lines = [self.headline()]
        if self.reason:
            lines.append(self.reason)
        for failure in self.failures:
            lines += ["", *told(failure)]
        if self.smallest:
            lines += ["", "The smallest failing input:"]
            lines += [f"    {name} = {written(array)}" for name, array in self.smallest.items()]
        if self.failures:
            lines += ["", f"To see it again: {self.call}"]
        lines += self.grounds()
        return "\n".join(lines)

    def headline(self) -> str:
        """Return the verdict in one sentence."""
        tried = f"{self.examples} examples, {' and '.join(self.dtypes)}, {self.checks:,} tensors compared"
        if self.agrees:
            return f"{self.candidate} AGREES with {self.reference}: {tried}."
        if self.verdict is Verdict.INCONCLUSIVE:
            return f"{self.candidate} against {self.reference} is INCONCLUSIVE: {tried}."
        return f"{self.candidate} DIVERGES from {self.reference} in {', '.join(self.failing)}: {tried}."

    def grounds(self) -> list[str]:
        """Return what the verdict rests on: structural rules, what could have been seen, overflow."""
        lines = []
        broken = [rule for rule, state in self.structure.items() if state == "does not hold"]
        held = [rule for rule, state in self.structure.items() if state == "holds"]
        if broken:
            lines += ["", f"Does not hold: {'; '.join(broken)}."]
        elif held and self.agrees:
            lines.append(f"Holds: {'; '.join(held)}.")
        if self.power and self.agrees:
            said = ", ".join(
                f"{name} {entry['smallest_relative_mistake']:.0e}" for name, entry in self.power.items()
                if entry["smallest_relative_mistake"] is not None
            )  # fmt: skip
            lines.append(f"Bounds {self.bound_kind}. The smallest relative mistake that would have been seen: {said}.")
            blind = [name for name, e in self.power.items() if e["smallest_relative_mistake"] is None]
            if blind:
                lines.append(f"Zero on both sides in every example, so nothing could be seen in: {', '.join(blind)}.")
        if self.overflow:
            lines.append(self.overflow)
        return lines


def told(failure: Data) -> list[str]:
    """Return a failure in sentences."""
    at = f"[{', '.join(map(str, failure['index']))}]" if failure["index"] else ""
    lines = [f"{failure['tensor']}{at} ({failure['dtype']}): {failure['reason']}"]
    if failure["manual"] is not None:
        lines.append(f"    manual {failure['manual']!r}, reference {failure['reference']!r}")
    if failure["error"] is not None and failure["check"] == "values":
        lines.append(f"    error {failure['error']:.3g}, allowed {failure['bound']:.3g}")
    if failure["examples"]:
        lines.append(f"    It fails in {failure['examples']} of the examples tried.")
    if failure["at_kink"]:
        lines.append(
            "    Only exactly at the kink or tie: with the inputs moved a little the two agree. There is no derivative "
            "at such a point; the reference's convention counts."
        )
    lines += witnessed(failure["witnesses"])
    for suspect in failure["suspects"][:3]:
        lines.append(
            f"    mistake {suspect['name']}: {suspect['about']} Re-enacted, it differs by {suspect['residual']:.1e}."
        )
    if failure["check"] == "values" and not failure["suspects"] and not failure["at_kink"]:
        lines.append("    No known mistake reproduces this tensor.")
    if failure["ruled_out"] and failure["suspects"]:
        lines.append(f"    ruled out: {', '.join(failure['ruled_out'])}")
    if failure["measured"]:
        facts = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in failure["measured"].items())
        lines.append(f"    measured: {facts}")
    return lines


def witnessed(witnesses: Data | None) -> list[str]:
    """Return what the witnesses say."""
    if not witnesses:
        return []
    at = f"[{', '.join(map(str, witnesses['index']))}]" if witnesses["index"] else ""
    lines = [f"    witnesses of {witnesses['tensor']}{at}:"]
    for label in ("manual", "autograd", "complex_step", "central_difference"):
        value = witnesses[label]
        sure = witnesses["central_error"] if label == "central_difference" and value is not None else None
        known = f" +- {sure:.0e}" if sure is not None else ""
        said = "cannot pass through this code" if value is None else repr(value)
        lines.append(f"        {label.replace('_', ' '):<20}{said}{known}")
    return [*lines, f"        {witnesses['conclusion']}"]


def written(array: np.ndarray) -> str:
    """Return an array as code that makes it; a large one in short."""
    if array.size > 60:
        return f"an array of shape {array.shape}, from {array.min()!s} to {array.max()!s}"
    kind = f", np.{array.dtype}" if array.dtype == np.float32 else ""
    digits = np.array2string(array, separator=", ", floatmode="unique", max_line_width=10_000, threshold=100)
    return f"np.array({digits.replace(chr(10), '')}{kind})"


def plain(value: Any) -> Any:
    """Return data that JSON has: tuples become lists, NumPy's numbers Python's, nan and inf texts."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value
