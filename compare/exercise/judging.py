"""Judging an answer by crosscheck: autograd's gradients, drawn inputs, and manual's own rounding as the measure.

An answer's own rounding is not asked for: one that scatters wildly would widen its own bound. What manual's derivation
may err by is allowed, times FORMULAS, since another right formula rounds at other places.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import manual
import reference
from compare.crosscheck.bounds import Bounds
from compare.crosscheck.cause import Cause, explain
from compare.crosscheck.check import ORDER, quietly
from compare.crosscheck.drawing import Choice
from compare.crosscheck.search import Plan, Search, Survey, allowed_sizes
from compare.crosscheck.setting import Setting, prepare
from compare.crosscheck.trial import Failure, Tester, Trial
from compare.exercise.answer import Answer
from compare.exercise.entries import Entry
from compare.exercise.networks import (
    AnsweredNetwork,
    NetworkOracle,
    NetworkSubject,
    explain_operation,
    plan_of,
    shared_origin,
)
from compare.exercise.process import Process
from compare.exercise.settings import settings_of, shown_setting
from compare.exercise.subjects import AnsweredLayer, AnsweredLoss, AnsweredUpdate
from compare.experiment.classes import build_layer

Explain = Callable[[Failure, Trial], Cause]

# Chosen, not derived: of eleven other formulas ten keep within manual's own bounds (of four seeds each), and the worst,
# the two quotients of binary cross-entropy before they are put on one denominator (27), within eight times as much.
FORMULAS = 16.0
EXAMPLES = 8
FEW = 2  # examples of a further setting


@dataclass
class Judgement:
    """What the check of an answer found: nothing, or the first tensor that is wrong, and what is known of it."""

    right: bool
    tensors: list[str] = field(default_factory=list)  # all that were compared, in the order of a step
    tensor: str = ""
    failure: Failure | None = None
    trial: Trial | None = None
    cause: Cause | None = None
    compared: int = 0
    origin: str = ""  # the tensor that it is made of, and that is as wrong, where the answer does not give that one
    settings: list[str] = field(default_factory=list)  # that were judged; where it is wrong, that one


class Examiner(Tester):
    """Holds an answer against its reference, with the rounding of another derivation as the measure."""

    def __init__(self, subject: Any, oracle: Any, yardstick: Any):
        super().__init__(subject, oracle)
        self.yardstick = yardstick

    def bounds(self, given: Any, dtype: str, wanted: Any) -> Bounds:
        """Return manual's own bounds, as many times as wide as formulas may differ."""
        return Wider(self.yardstick, given, dtype, wanted, self.reference)


class Wider(Bounds):
    """Bounds of one derivation that another one is held against."""

    def __call__(self, samples: int = 8) -> tuple[dict[str, np.ndarray], str]:
        """Return what is allowed, element by element."""
        allowed, kind = super().__call__(samples)
        return {name: FORMULAS * bound for name, bound in allowed.items()}, kind

    def surely(self) -> dict[str, np.ndarray]:
        """Return what needs no further look."""
        return {name: bound for name, bound in super().surely().items() if name in self.wanted}


def setting_of(entry: Entry) -> Setting:
    """Return how an exercise is tried, with manual's own class in the answer's place."""
    arguments = dict(entry.arguments)
    options: dict[str, Any] = {
        "parameters": {}, "inputs": None, "indices": entry.indices or None, "target": entry.target or None,
        "classes": 0, "arguments": {}, "between": entry.between, "training": True,
    }  # fmt: skip
    if entry.group == "optimizer":
        made: Any = getattr(manual, entry.kind)
        setting = prepare(made, f"torch.optim.{entry.kind}", entry.shape, **{**options, "arguments": arguments})
    elif entry.group == "loss":
        against = reference.build_loss(entry.kind, arguments)
        setting = prepare(getattr(manual, entry.kind)(**arguments), against, entry.shape, **options)
    else:
        made, against = build_layer(entry.kind, arguments), reference.build_layer(entry.kind, arguments)
        setting = prepare(made, against, entry.shape, **options)
    return replace(setting, kind=entry.kind, arguments={**setting.arguments, **arguments})


def facts_of(entry: Entry) -> dict[str, Any]:
    """Return what the process has to know of an exercise."""
    arguments = dict(entry.arguments)
    if "layers" in arguments:
        arguments["layers"] = {
            table["name"]: (table["kind"], {k: v for k, v in table.items() if k not in ("kind", "name")})
            for table in arguments["layers"]
        }
    return {"kind": entry.kind, "group": entry.group, "arguments": arguments}


def judge(answer: Answer, seed: int, examples: int = EXAMPLES) -> Judgement:
    """Return what the check of an answer finds in the first of its settings in which it is wrong, or in its own.

    Without examples it is tried on one input alone. Raises AnswerError where its process gives no answer.
    """
    own, *further = settings_of(answer.entry)
    judgement = judge_setting(answer, own, seed, examples)
    judged = [own]
    for entry in further:
        if not judgement.right:
            break
        again = judge_setting(answer, entry, seed, min(examples, FEW))
        judged.append(entry)
        judgement = judgement if again.right else again
    if own.group != "network":
        judgement.settings = [shown_setting(entry) for entry in (judged if judgement.right else judged[-1:])]
    return judgement


def judge_setting(answer: Answer, entry: Entry, seed: int, examples: int) -> Judgement:
    """Return what the check of an answer finds in one setting."""
    with quietly(), Process(answer.code, facts_of(entry)) as process:
        if entry.group == "network":
            return judge_network(entry, process, seed, examples)
        setting = setting_of(entry)
        own = setting.subject
        match entry.group:
            case "optimizer":
                subject: Any = AnsweredUpdate(own.candidate, entry.arguments, process)
            case "loss":
                subject = AnsweredLoss(own.candidate, process)
            case _:
                subject = AnsweredLayer(own.candidate, process)
        subject.name = entry.kind
        tester = Examiner(subject, setting.oracle, own)
        return searched(
            setting.plan, tester, seed, examples, setting.sizes_of_parameters(),
            lambda failure, trial: explain(failure, trial, tester, setting.kind, setting.arguments),
        )  # fmt: skip


def judge_network(entry: Entry, process: Process, seed: int, examples: int) -> Judgement:
    """Return what the check of a whole network finds."""
    subject, own = AnsweredNetwork(entry, process), NetworkSubject(entry)
    plan = plan_of(own)
    names = subject.returned(plan.make(Choice({"batch": 3}, seed)))
    tester = Examiner(subject, NetworkOracle(entry, names), own)
    judgement = searched(
        plan, tester, seed, examples, (), lambda failure, trial: explain_operation(entry, failure, trial)
    )
    origin = shared_origin(entry, judgement.trial) if judgement.trial else None
    if origin and judgement.trial:
        judgement.origin = origin.tensor
        judgement.cause = explain_operation(entry, origin, judgement.trial)
    return judgement


def searched(
    plan: Plan, tester: Examiner, seed: int, examples: int, sizes: tuple[int, ...], cause: Explain
) -> Judgement:
    """Draw inputs, try the answer on them, and explain the first tensor that is wrong.

    One input of middling size comes first: an answer that is wrong there need not wait for more.
    """
    plan.sizes = allowed_sizes(plan, tester, sizes)
    search = Search(plan, tester, ("float64", "float32"), examples, seed)
    for subject in (tester.subject, tester.yardstick):
        subject.count(plan.make(search.base(seed)))
    base = search.base(seed)
    trial = search.trial(plan.make(base), "float64", plan.upstream(base), thorough=False)
    found, survey = [(f.tensor, f.check, f, trial) for f in trial.failures], Survey()
    survey.add(base, [trial])
    if not found and examples:
        survey = search.survey()
        found = [(tensor, check, f, trial) for (tensor, check), (_, trial, f) in survey.first.items()]
    if not found:
        tensors = [name for name in survey.zeros if name.endswith((".grad", ".updated"))]
        return Judgement(survey.compared > 0, tensors, compared=survey.compared)
    tensor, failure, trial = first_of(found)
    order = [name for name in trial.wanted if name.endswith((".grad", ".updated")) or name == tensor]
    return Judgement(False, order, tensor, failure, trial, cause(failure, trial), survey.compared)


def first_of(found: list[tuple[str, str, Failure, Trial]]) -> tuple[str, Failure, Trial]:
    """Return the failure that comes first, in the order of the tensors; what was changed in place before all."""
    order = list(found[0][3].wanted)

    def rank(entry: tuple[str, str, Failure, Trial]) -> tuple[int, int]:
        return order.index(entry[0]) if entry[0] in order else -1, ORDER.index(entry[1])

    tensor, _, failure, trial = min(found, key=rank)
    return tensor, failure, trial
