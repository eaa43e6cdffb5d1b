"""Watching a repetition go by, with the recorded lines beside it: the first differing bit, and what rounding allows."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from compare.agreement.carried import carried_bounds
from compare.agreement.rounding.unit import norm
from compare.agreement.verdict import Verdict
from compare.lockstep.loop import Loop, Step
from compare.lockstep.outcome import jsonable
from compare.records.lines import changed_mark, line_of
from compare.records.reading import Recorded
from compare.records.repetition import Difference, Repetition

COUNTS = ("step", "epoch", "checks")  # which no rounding moves


class Watch:
    """Holds every step of a repetition against its recorded line.

    A run of two networks that trained apart is repeated with every step checked, too: `checks_more`.
    """

    def __init__(self, recorded: Recorded, loop: Loop):
        self.recorded, self.loop = recorded, loop
        self.repetition = Repetition(recorded.folder, recorded.name, recorded.status, recorded.manifest["verdict"])
        self.checks_more = recorded.mode == "independent"
        self.lines: Iterator[dict[str, Any]] = recorded.steps()
        self.last = next(self.lines, None)  # the line of the coming step
        self.at_the_end = self.last is None
        # Steps after which another machine may have gone on, from its own bits.
        self.resumed = {entry["step"] for entry in recorded.manifest["resumed"] if not entry["same_bits"]}
        self.rounding: Mapping[str, float] = {}  # of the weights at the coming step: parameter -> bound by norm
        drift = (recorded.outcome or {}).get("independent")
        if drift and drift["drift"]:
            self.repetition.drift = drift["drift"][-1]["parameters"]

    def compare(self, step: Step) -> None:
        """Hold a step against its line."""
        line, repetition = self.last, self.repetition
        if line is None:
            return
        repetition.steps = step.number
        judged = repetition.first is None or bool(self.rounding)
        here = self.line_here(step)
        tensor = self.first_change(line, here, list(step.errors))
        if tensor is not None:
            self.differ(step, tensor, line, here, judged)
        self.rounding = self.rounding_of(step) if self.is_needed(step) else {}
        self.last = next(self.lines, None)
        self.at_the_end = self.last is None

    def line_here(self, step: Step) -> dict[str, Any]:
        """Return the line of a step as the recorded run would have written it."""
        line = line_of(step)
        if self.checks_more:
            free = step.loss_free if step.loss_free is not None else step.loss_reference
            line = {"step": step.number, "epoch": step.epoch, "loss": [step.loss_manual, free]}
        return jsonable(line)

    def first_change(self, recorded: Mapping[str, Any], here: Mapping[str, Any], tensors: list[str]) -> str | None:
        """Return the first tensor of a step that differs from its recorded line; None if they are equal to the bit."""
        if "marks" in recorded and "marks" in here:
            changed = changed_mark(recorded["marks"], here["marks"], tensors)
            if changed is not None:
                return changed
        for key in here if self.checks_more else {**recorded, **here}:
            old, new = recorded.get(key), here.get(key)
            if old == new:
                continue
            if isinstance(old, dict) and isinstance(new, dict):
                return next(name for name in {**old, **new} if old.get(name) != new.get(name))
            return str(new or old) if key == "finding" else "loss"
        return None

    def differ(self, step: Step, tensor: str, line: Mapping[str, Any], here: Mapping[str, Any], judged: bool) -> None:
        """Note a step that is not equal to the bit; hold its losses to their bound where there is one."""
        repetition = self.repetition
        losses = differences_of_loss(step.number, line["loss"], here["loss"])
        worst = max(losses, key=apart)
        if repetition.largest_loss is None or apart(worst) > apart(repetition.largest_loss):
            repetition.largest_loss = worst
        for key in COUNTS:
            if key in line and key in here and line[key] != here[key]:
                where = Difference(step.number, tensor)
                repetition.contradict(where, f"{key} is {here[key]} here, recorded is {line[key]}")
        found = line.get("finding"), step.finding and step.finding.tensor
        overflow = step.finding is not None and step.finding.verdict is Verdict.INCONCLUSIVE
        if found[0] != found[1] and not self.checks_more and not (overflow and repetition.first is not None):
            ends = "the repetition" if step.finding else "the record"
            repetition.contradict(
                Difference(step.number, str(found[1] or found[0])), f"{ends} alone has a finding there"
            )
        if judged and not step.finding:
            self.judge(step, losses)
        if repetition.first is None:
            repetition.first = Difference(step.number, tensor)

    def judge(self, step: Step, losses: list[Difference]) -> None:
        """Hold both losses of a step to what rounding may part them by."""
        bound = self.bound_of_loss(step)
        held = max((bounded(loss, bound) for loss in losses), key=lambda loss: loss.used or 0.0)
        used, largest = held.used or 0.0, self.repetition.largest
        if largest is None or used > (largest.used or 0.0):
            self.repetition.largest = held
        if used > 1:
            self.repetition.contradict(held, "a loss differs from the recorded one by more than rounding allows there")

    def bound_of_loss(self, step: Step) -> float:
        """Return how far two correct evaluations of this step's loss may be apart, of both runs; inf: not known."""
        if not step.errors:
            return math.inf
        bound = self.carried(step)["loss"]
        for name, rounding in self.rounding.items():
            bound += norm(np.asarray(step.manual[f"{name}.grad"], np.float64)) * rounding
        return float(bound)

    def is_needed(self, step: Step) -> bool:
        """Whether the coming step may start from weights that differ by the rounding of this one, and is judged."""
        first = self.repetition.first
        just_now = first is not None and first.step == step.number
        apart_before = self.checks_more and first is None
        return just_now or apart_before or (step.number in self.resumed and first is None)

    def rounding_of(self, step: Step) -> dict[str, float]:
        """Return by how much the updated parameters may differ from those of the recorded run, by norm."""
        if not step.errors or step.finding:
            return {}
        bounds = self.carried(step)
        return {name: bounds[f"{name}.updated"] for name in self.loop.initial if f"{name}.updated" in bounds}

    def carried(self, step: Step) -> Mapping[str, float]:
        """Return the bounds carried through the step."""
        return step.bounds or carried_bounds(self.loop.experiment, step.manual, step.state_before)


def differences_of_loss(number: int, recorded: list[Any], here: list[Any]) -> list[Difference]:
    """Return what both losses were and are; texts stand for numbers that JSON has not."""
    return [Difference(number, "loss", float(old), float(new)) for old, new in zip(recorded, here, strict=True)]


def apart(loss: Difference) -> float:
    """Return how far a loss is from the recorded one; infinite if just one of them is not a finite number."""
    old, new = loss.recorded, loss.here
    if old is None or new is None or old == new or (math.isnan(old) and math.isnan(new)):
        return 0.0
    gap = abs(new - old)
    return math.inf if math.isnan(gap) else gap


def bounded(loss: Difference, bound: float) -> Difference:
    """Return a loss's difference with its share of the bound; 0 where it does not differ, or no bound is known."""
    gap = apart(loss)
    used = 0.0 if gap == 0 or math.isinf(bound) else gap / bound if bound else math.inf
    return Difference(loss.step, "loss", loss.recorded, loss.here, bound, used)
