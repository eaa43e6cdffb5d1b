"""What a report says of one record, as plain values for the templates. Nothing is built of the record."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compare.agreement.trace import place
from compare.language import listing, mark, passage, retell, say, tell
from compare.records.reading import Recorded
from compare.views.console import audited, brought_together, in_u
from compare.views.names import called
from compare.views.report.course import Course, course_of
from compare.views.report.examples import MOST_IMAGES, Disagreements, disagreements
from compare.views.report.figures import Figure, audits, drift, losses
from compare.views.report.formulas import Formula, loss_formula, update_formula
from compare.views.report.pictures import Picture, weight_pictures
from compare.views.standing import resumptions, standing

MOST_UNITS = 100  # of the first layer, in a page
MOST_KINKS = 200

MEANING = {
    "AGREES": mark("Every tensor of every step agrees within what rounding alone may do."),
    "EXPLAINED": mark(
        "Every difference beyond rounding comes from a kink, where both sides are right. All are listed."
    ),
    "DIVERGES": mark("The hand-derived gradients and autograd differ by more than rounding can."),
    "INCONCLUSIVE": mark("The comparison could not be made, so it shows nothing."),
}
ENDED = {
    "running": mark("The run is still going on. This is as far as it has got."),
    "killed": mark("The run was killed. This is as far as it got."),
    "interrupted": mark("The run was interrupted by its user."),
    "failed": mark("The run ended by an error."),
}
MARKS = {"AGREES": "=", "EXPLAINED": "≈", "DIVERGES": "≠", "INCONCLUSIVE": "?"}


@dataclass(frozen=True)
class Facts:
    """A record, as its part of the page shows it. `anchor` is its place in the page, `label` its name there."""

    anchor: str
    label: str
    record: Recorded
    status: str  # the record's, but `killed` where it says `running` and nobody writes it
    course: Course
    figures: tuple[Figure, ...]
    weight: str  # the name of the first layer's weight
    weights: tuple[Picture, ...]
    examples: Disagreements | None
    loss: Formula
    update: Formula

    @property
    def outcome(self) -> dict[str, Any]:
        """What `backproof run --json` printed, {} for a run that did not come to an end."""
        return self.record.outcome or {}

    @property
    def verdict(self) -> str:
        """The verdict, or in capitals how the run stands."""
        return self.outcome.get("verdict") or self.record.manifest["verdict"] or self.status.upper()

    @property
    def mark(self) -> str:
        """A sign beside the verdict, so that it can be told from others at a glance."""
        return MARKS.get(self.verdict, "…")

    @property
    def tone(self) -> str:
        """The verdict's class in the style sheet: good, bad or open."""
        return {"AGREES": "good", "EXPLAINED": "good", "DIVERGES": "bad"}.get(self.verdict, "open")

    @property
    def meaning(self) -> str:
        """What the verdict says, in a sentence."""
        said = (table[key] for table, key in ((MEANING, self.verdict), (ENDED, self.status)) if key in table)
        return passage(tell(sentence) for sentence in said)

    @property
    def standing(self) -> str:
        """How the run stands, where the verdict alone would not tell: interrupted, failed, running, killed."""
        return self.status if self.record.status != "finished" and self.verdict in MARKS else ""

    @property
    def closest(self) -> tuple[str, float, int] | None:
        """The tensor that came closest to its bound: its name, the share, the step; None before the first audit."""
        if not self.course.worst:
            return None
        tensor = max(self.course.worst, key=lambda name: self.course.worst[name][0])
        return (tensor, *self.course.worst[tensor])

    @property
    def tensors(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        """The rows of the table of tensors, by stage, in the order of a step."""
        stages: dict[str, list[tuple[str, ...]]] = {}
        for name, worst in self.outcome.get("worst", {}).items():
            row = (name, in_u(worst["error"]), f"{worst['step']:,}", *audited(self.outcome, name))
            stages.setdefault(place(name).stage, []).append(row)
        return list(stages.items())

    @property
    def kinks(self) -> list[tuple[str, ...]]:
        """The rows of the table of kinks."""
        return [
            (
                f"{kink['step']:,}", kink["layer"], f"{kink['example']:,}", str(kink["unit"])[:60],
                number(kink["value"]), number(kink["reference"]), number(kink["bound"]), brought_together(kink),
            )
            for kink in self.outcome.get("kinks", [])[:MOST_KINKS]
        ]  # fmt: skip

    @property
    def differ_on(self) -> str:
        """On how many of what they were asked the two answer differently: tokens or images."""
        count = self.outcome["accuracy"]["disagreements"]
        if section(self.record, "data").get("form") == "tokens":
            return say("1 token") if count == 1 else say("{count:,} tokens", count=count)
        return say("1 image") if count == 1 else say("{count:,} images", count=count)

    @property
    def held_out(self) -> bool:
        """Whether the two were scored on training images that did not train, not on the test images."""
        return section(self.record, "data").get("score_on") == "held-out"

    @property
    def classes(self) -> list[str]:
        """The names of the classes that the networks tell apart; numbers where the record's do not fit."""
        names, data = list(self.record.data["classes"]), section(self.record, "data")
        count = len((self.record.metrics or {}).get("confusion_manual", ()))
        if data.get("form") == "tokens":
            levels = [say("brightness {level}", level=level) for level in range(count - len(names))]
            names = [*levels, *(say("digit {digit}", digit=name) for name in names)]
        return names if len(names) == count else [str(number) for number in range(count)]

    @property
    def confusions(self) -> list[list[list[int]]]:
        """The confusion matrices of manual and reference; [] where they are not square and of one size."""
        scores = self.record.metrics or {}
        found = [scores.get("confusion_manual", []), scores.get("confusion_reference", [])]
        sizes = {len(found[0]), *(len(row) for matrix in found for row in (matrix, *matrix))}
        return found if len(sizes) == 1 and found[0] else []

    @property
    def resumptions(self) -> list[tuple[str, list[str]]]:
        """Where the run was resumed, each with its warnings."""
        return resumptions(self.record.manifest["resumed"])

    @property
    def commands(self) -> list[tuple[str, str]]:
        """What one may do with the record next: what it does, and the command."""
        folder = shlex.quote(str(self.record.folder))
        run_again = (
            say("Run the same experiment anew"),
            f"backproof run {shlex.quote(f'{self.record.folder}/config.toml')}",
        )
        if self.status == "running":
            return [run_again]
        if self.status != "finished":
            return [(say("Go on where it stopped"), f"backproof resume {folder}"), run_again]
        again = say("Repeat the run, and say whether it is the same to the bit")
        said = [(again, f"backproof replay {folder}"), run_again]
        if self.record.has("divergence/reproduce.py"):
            script = shlex.quote(f"{self.record.folder}/divergence/reproduce.py")
            about = say(
                "Show the disagreement with NumPy and torch alone; this is code, to be run only if the record is your "
                "own"
            )
            said.insert(0, (about, f"python {script}"))
        return said

    @property
    def surroundings(self) -> list[tuple[str, str]]:
        """Where the run took place: names and values, as text."""
        facts = {key: value for key, value in self.record.environment.items() if key != "packages"}
        packages = {name: version for name, version in self.record.environment["packages"].items() if version}
        data = {key: value for key, value in self.record.data.items() if key not in ("digests", "classes")}
        times = {key: self.record.manifest[key] for key in ("start", "end", "plant")}
        times["exit_reason"] = retell(self.record.manifest["exit_reason"] or "")
        rows = {"command": shlex.join(self.record.manifest["command"]), **times, **packages, **facts, **data}
        return [(called(key), text(value)) for key, value in rows.items() if value not in (None, {}, [], "")]


def facts_of(record: Recorded, number: int, of: int) -> Facts:
    """Return what the page says of the record, which is its `number`-th `of` so many. Raises RecordError."""
    tensors = len((record.outcome or {}).get("tightest", {})) or 30
    course = course_of(record.steps(), tensors, of)
    anchor = f"r{number}"
    loss, update = (section(record, key) for key in ("loss", "optimizer"))
    drawn = (
        losses(f"{anchor}-losses", course, record.status == "finished"),
        audits(f"{anchor}-audits", course),
        drift(f"{anchor}-drift", course),
    )
    weight, pictures = first_layer(record, max(4, MOST_UNITS // of))
    return Facts(
        anchor, f"{number}. {label(record)}" if of > 1 else label(record), record, standing(record), course,
        tuple(figure for figure in drawn if figure is not None), weight, tuple(pictures),
        disagreements(record, max(6, MOST_IMAGES // of)), loss_formula(loss), update_formula(update),
    )  # fmt: skip


def label(record: Recorded) -> str:
    """Return a name by which a reader knows the run: experiment, seed, dtype."""
    training = section(record, "training")
    plant = record.manifest["plant"]
    words = [
        record.name, say("seed {seed}", seed=training["seed"]) if "seed" in training else "",
        str(training.get("dtype", "")), say("with {plant} planted", plant=plant) if plant else "",
    ]  # fmt: skip
    return text(listing(word for word in words if word), 120)


def section(record: Recorded, key: str) -> Mapping[str, Any]:
    """Return a section of config.toml, {} for what is none."""
    found = record.document.get(key)
    return found if isinstance(found, Mapping) else {}


def first_layer(record: Recorded, most: int) -> tuple[str, list[Picture]]:
    """Return the name of the first layer's weight, and its pictures; nothing where there is no such weight."""
    sides = {"initial": "initial", "manual": "final_manual", "reference": "final_reference"}
    arrays = {side: record.weights(file) for side, file in sides.items() if record.has(f"{file}.safetensors")}
    if "initial" not in arrays:
        return "", []
    name = first_weight(record.document.get("layers"), arrays["initial"])
    weights = {side: found[name] for side, found in arrays.items() if name in found}
    if not name or any(weight.dtype.kind != "f" for weight in weights.values()):
        return "", []
    return name, weight_pictures(weights, most)


def first_weight(layers: Any, arrays: Mapping[str, Any]) -> str:
    """Return the name of the first tensor with at least two axes, in the order of the layers; "" where none is."""
    names = [n for n, array in arrays.items() if array.ndim in (2, 3, 4) and array.size]
    for layer in layers if isinstance(layers, list) else []:
        called = layer.get("name") if isinstance(layer, Mapping) else None
        own = [n for n in names if n.startswith(f"{called}.") and ".weight" in n]
        if own:
            return min(own, key=lambda n: ("_hh" in n, n))
    return ""


def number(value: Any) -> str:
    """Return a number of a record, which may be the text "nan", with six digits; empty for None."""
    return f"{value:.6g}" if isinstance(value, int | float) else "" if value is None else str(value)[:60]


def text(value: Any, most: int = 400) -> str:
    """Return a value of a record as text of a length that a page can bear."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {text(item)}" for key, item in value.items() if item is not None)
    elif isinstance(value, list):
        value = "; ".join(text(item) for item in value)
    said = str(value)
    return said if len(said) <= most else f"{said[:most]}..."
