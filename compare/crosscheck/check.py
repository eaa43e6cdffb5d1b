"""`crosscheck`: one derivation of a user's own against autograd."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
import torch

from compare.agreement.verdict import Verdict
from compare.crosscheck.cause import explain
from compare.crosscheck.result import DerivationError, Result
from compare.crosscheck.search import Plan, Search, Survey, allowed_sizes
from compare.crosscheck.setting import Setting, prepare
from compare.crosscheck.shrinking import Shrinking
from compare.crosscheck.structure import RULES
from compare.crosscheck.subject import UpdateSubject
from compare.crosscheck.trial import Failure, Tester, Trial
from compare.experiment.description import DescriptionError

ORDER = ("runs", "returns", "shapes", "dtypes", "values", "finite", *RULES)  # what is told first
SHRUNK = 3  # failing tensors whose own smallest input is looked for


def crosscheck(
    candidate: Any,
    reference: Any,
    input_shape: Any = ("batch", "n"),
    *,
    parameters: Mapping[str, Any] | None = None,
    inputs: Any = None,
    indices: int | Mapping[str, int] | None = None,
    target: str | Sequence[int | str] | None = None,
    classes: int = 0,
    arguments: Mapping[str, Any] | None = None,
    dtypes: Any = ("float64", "float32"),
    examples: int = 200,
    seed: int = 0,
    between: Any = None,
    training: bool = True,
    overflow: Literal["report", "fail"] = "report",
    raises: bool = True,
) -> Result:
    """Hold a derivation against autograd on drawn inputs; raise DerivationError where it does not agree.

    candidate    an object with forward and backward (parameters, gradients, buffers if it has any), or a class of such;
                 a loss (forward(prediction, target), backward()); an optimizer's class (made from a network; step());
                 a subclass of torch.autograd.Function
    reference    a function of torch tensors, an nn.Module or its class, a torch.optim class, or "torch.nn.functional.x"
    input_shape  sizes, a name for any from 1 to 7: ("batch", "n"); a list or a dict of such for several inputs
    parameters   how parameters are drawn where normal numbers will not do: name -> (low, high), an array, or a shape
    inputs       inputs of your own, by name or one array, tried before those that are drawn
    indices      inputs of integers from 0 to this number less one; a mapping says which
    target       what a loss is given: "labels", "like", "probabilities", "signs", or a shape
    classes      labels are drawn below this number; 0: the size of the prediction's second dimension
    arguments    of the constructor or function, of both sides, by name
    between      the interval that inputs are drawn from: (low, high), or a mapping from names
    training     False: both sides in evaluation mode
    overflow     magnitudes up to 1e4 are tried apart: "report" what is not finite there, or "fail" on it
    raises       False: return the result whatever it is

    Parameters are matched by name to those of the module or to the arguments of the function. Raises DescriptionError
    where the check cannot be set up: no such reference, shapes it does not take, parameters that do not match.
    """
    __tracebackhide__ = True
    if examples < 1:
        raise DescriptionError(f"examples is {examples}; wanted at least 1: nothing compared proves nothing.")
    kinds = tuple(np.dtype(x).name for x in ([dtypes] if isinstance(dtypes, str | type) else dtypes))
    if not kinds or any(kind not in ("float64", "float32") for kind in kinds):
        raise DescriptionError(f"dtypes is {dtypes!r}; wanted float64, float32, or both.")
    with quietly():
        setting = prepare(
            candidate, reference, input_shape, parameters=dict(parameters or {}), inputs=inputs, indices=indices,
            target=target, classes=classes, arguments=dict(arguments or {}), between=between, training=training,
        )  # fmt: skip
        result = judged(setting, kinds, examples, seed, overflow)
    if raises and not result.agrees:
        raise DerivationError(result)
    return result


class quietly:  # noqa: N801 - a context manager, named like a verb
    """While it lasts: one thread, no warnings of the user's code, torch's own random numbers left alone."""

    def __enter__(self) -> None:
        self.threads, self.state = torch.get_num_threads(), torch.get_rng_state()
        torch.set_num_threads(1)
        self.within = ExitStack()
        self.within.enter_context(warnings.catch_warnings())
        self.within.enter_context(np.errstate(all="ignore"))
        warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        self.within.close()
        torch.set_num_threads(self.threads)
        torch.set_rng_state(self.state)


def judged(setting: Setting, dtypes: tuple[str, ...], examples: int, seed: int, overflow: str) -> Result:
    """Search, and return what was found."""
    tester, plan = Tester(setting.subject, setting.oracle), setting.plan
    plan.sizes = allowed_sizes(plan, tester, setting.sizes_of_parameters())
    search = Search(plan, tester, dtypes, examples, seed)
    setting.subject.count(plan.make(search.base(seed)))
    survey = search.survey()
    failures, smallest = told_failures(setting, search, survey)
    note = ""
    if not failures:
        search.extremes(survey)
        note = overflow_note(survey)
        if survey.overflow and overflow == "fail" and survey.overflowing is not None:
            failures = [facts(setting, f, survey.overflowing, 0, tester) for f in survey.overflow]
            smallest = survey.overflowing.given.cast(survey.overflowing.dtype).arrays()
    verdict, reason = Verdict.AGREES, ""
    if failures:
        verdict = Verdict.DIVERGES
    elif not survey.examples or not survey.compared:
        verdict, reason = (
            Verdict.INCONCLUSIVE,
            f"Nothing was compared: {setting.oracle.name} took none of the inputs drawn. {survey.refusal}",
        )
    elif not survey.zeros:
        verdict, reason = Verdict.INCONCLUSIVE, "Neither side was finite: nothing was compared."
    return Result(
        setting.subject.name, setting.oracle.name, verdict, survey.examples, survey.compared, seed, dtypes, failures,
        structure(setting, survey), survey.worst, powers(survey), smallest,
        " and ".join(sorted(survey.bound_kinds)) or "not needed", note, reason, call(setting, plan, seed),
    )  # fmt: skip


def told_failures(setting: Setting, search: Search, survey: Survey) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a failing tensor after the other, the first of a step first, and the smallest input of the first."""
    if not survey.first:
        return [], {}
    order = list(next(iter(survey.first.values()))[1].wanted)
    place = {name: position for position, name in enumerate(order)}

    def rank(entry: tuple[str, str]) -> tuple[int, int]:
        return ORDER.index(entry[1]), place.get(entry[0], -1)

    told, shown, smallest, shrunk = [], set(), {}, []
    for tensor, check in sorted(survey.first, key=rank):
        if tensor in shown and check not in ("unchanged", "repeatable", "forgets"):
            continue  # the tensor is wrong: that it does not double either says nothing new
        choice, trial, failure = survey.first[tensor, check]
        known = next(((t, f) for t in shrunk for f in t.failures if (f.tensor, f.check) == (tensor, check)), None)
        if known:
            trial, failure = known
        elif len(shrunk) < SHRUNK:
            trial = Shrinking(search).smallest(tensor, check, (choice, trial))
            failure = next(f for f in trial.failures if (f.tensor, f.check) == (tensor, check))
            shrunk.append(trial)
        told.append(facts(setting, failure, trial, survey.counts.get(tensor, 0), search.tester))
        smallest = smallest or trial.given.cast(trial.dtype).arrays()
        shown.add(tensor)
    return told, smallest


def facts(setting: Setting, failure: Failure, trial: Trial, examples: int, tester: Tester) -> dict[str, Any]:
    """Return all that is known of a failure as data."""
    cause = explain(failure, trial, tester, setting.kind, setting.arguments)
    return {
        "tensor": failure.tensor, "check": failure.check, "reason": failure.reason, "dtype": failure.dtype,
        "index": list(failure.index) if failure.index is not None else None, "manual": failure.manual,
        "reference": failure.reference, "error": failure.error, "bound": failure.bound, "examples": examples,
        "at_kink": cause.at_kink, "witnesses": cause.witnesses, "suspects": cause.suspects,
        "ruled_out": cause.ruled_out, "measured": cause.measured,
        "input": {name: array.tolist() for name, array in trial.given.arrays().items()},
    }  # fmt: skip


def structure(setting: Setting, survey: Survey) -> dict[str, str]:
    """Return for every structural rule whether it holds."""
    broken = {check for _, check in survey.first}
    asked = dict.fromkeys(RULES, "holds")
    if setting.subject.kind in ("loss", "update"):
        asked |= {"zero": "not asked", "doubling": "not asked"}
    if not survey.batches:
        asked["batch"] = "not asked"
    elif not all(survey.batches.values()) and any(survey.batches.values()):
        asked["batch"] = "does not hold"
    states = {rule: "does not hold" if rule in broken else state for rule, state in asked.items()}
    sizes = [size for size, agreed in survey.batches.items() if agreed == (states["batch"] == "holds")]
    tried = f"batch size{'s' if len(sizes) > 1 else ''} {', '.join(map(str, sizes))}"
    return {tried if rule == "batch" and sizes else RULES[rule]: state for rule, state in states.items()}


def powers(survey: Survey) -> dict[str, dict[str, Any]]:
    """Return for every tensor the smallest relative mistake that would have been seen, None where nothing could."""
    names = dict.fromkeys(name for powers in survey.power.values() for name in powers)
    found = {}
    for name in names:
        smallest = min(powers.get(name, np.inf) for powers in survey.power.values())
        found[name] = {
            "smallest_relative_mistake": float(smallest) if np.isfinite(smallest) else None,
            "zeros": float(np.mean(survey.zeros.get(name, [0.0]))),
            **{dtype: float(powers[name]) for dtype, powers in survey.power.items() if name in powers},
        }
    return found


def overflow_note(survey: Survey) -> str:
    """Return what large magnitudes showed, in a sentence."""
    if not survey.overflow:
        return ""
    first = survey.overflow[0]
    return (
        f"Overflow: with magnitudes up to 1e4 (or at the ends of the interval) {first.tensor} is {first.manual} where "
        f"torch gives {first.reference!r} ({first.dtype}). The formula is right and its computation is not safe there; "
        "overflow='fail' makes this a failure."
    )


def call(setting: Setting, plan: Plan, seed: int) -> str:
    """Return the call that repeats the check, as far as it can be written."""
    shapes = {name: spec.shape for name, spec in plan.inputs.items() if not spec.kind}
    shape = next(iter(shapes.values())) if len(shapes) == 1 else shapes
    made = "" if isinstance(setting.subject, UpdateSubject) or setting.subject.kind == "function" else "()"
    return f"crosscheck({setting.subject.name}{made}, {setting.oracle.name}, {shape!r}, ..., seed={seed})"
