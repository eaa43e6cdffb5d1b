"""Drawing and judging: the search for inputs on which a derivation fails."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.errors import Flaky, Unsatisfiable

from compare.crosscheck import drawing
from compare.crosscheck.drawing import Choice, Spec
from compare.crosscheck.given import Given
from compare.crosscheck.oracle import Refused
from compare.crosscheck.structure import check_structure
from compare.crosscheck.trial import Failure, Tester, Trial
from compare.experiment.description import DescriptionError

BATCHES = (1, 2, 7)
THOROUGH = 8  # every eighth example has its structure checked and all of its bounds computed
ENOUGH = 20  # failing examples: more would say nothing new
EXTREMES = 12
HEALTH = tuple(HealthCheck.__members__.values())


class Found(Exception):
    """A failing example, while it shrinks; or as many failing examples as are wanted."""


@dataclass
class Plan:
    """What is drawn: the specs of all arrays by name, the sizes allowed, an optimizer's steps."""

    inputs: Mapping[str, Spec]
    parameters: Mapping[str, Spec] = field(default_factory=dict)
    buffers: Mapping[str, Spec] = field(default_factory=dict)
    own: tuple[Mapping[str, np.ndarray], ...] = ()  # inputs of the user's, tried first
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    steps: int = 1

    def make(self, choice: Choice) -> Given:
        """Return the arrays of a choice; the gradient from above is drawn when the outputs' shapes are known."""
        inputs: dict[str, np.ndarray] = {}
        for name, spec in self.inputs.items():
            like = next(iter(inputs.values()), None)
            inputs[name] = drawing.drawn(spec, name, choice, choice.inputs, like)
        parameters = {n: drawing.drawn(s, n, choice, choice.parameters) for n, s in self.parameters.items()}
        buffers = {n: drawing.drawn(s, n, choice, "plain") for n, s in self.buffers.items()}
        return Given(inputs, parameters, buffers)

    def upstream(self, choice: Choice) -> Callable[[list[tuple[int, ...]]], tuple[np.ndarray, ...]]:
        """Return what draws the gradients from above."""

        def draw(shapes: list[tuple[int, ...]]) -> tuple[np.ndarray, ...]:
            above = enumerate(shapes * self.steps)
            return tuple(
                np.asarray(drawing.real(drawing.generator(choice.seed, f"upstream{i}"), shape, choice.upstream))
                for i, shape in above
            )

        return draw


@dataclass
class Survey:
    """What all trials showed together."""

    examples: int = 0
    compared: int = 0
    failing: int = 0  # examples
    first: dict[tuple[str, str], tuple[Choice | None, Trial, Failure]] = field(default_factory=dict)  # tensor, check
    counts: dict[str, int] = field(default_factory=dict)  # tensor -> failing examples
    worst: dict[str, dict[str, Any]] = field(default_factory=dict)
    power: dict[str, dict[str, float]] = field(default_factory=dict)  # dtype -> tensor -> smallest relative mistake
    zeros: dict[str, list[float]] = field(default_factory=dict)
    bound_kinds: set[str] = field(default_factory=set)
    batches: dict[int, bool] = field(default_factory=dict)  # batch size -> whether it agreed
    refusal: str = ""  # why the reference did not take inputs
    overflow: list[Failure] = field(default_factory=list)
    overflowing: Trial | None = None

    def add(self, choice: Choice | None, trials: list[Trial]) -> None:
        """Add an example, tried in each dtype."""
        self.examples += 1
        failing = set()
        for trial in trials:
            self.compared += trial.compared
            if trial.bound_kind:
                self.bound_kinds.add(trial.bound_kind)
            for name, (used, index, bound, wanted) in trial.used.items():
                worst = {"used": used, "index": list(index), "bound": bound, "error": used * bound,
                         "reference": wanted, "dtype": trial.dtype}  # fmt: skip
                if used >= self.worst.get(name, {"used": -1.0})["used"]:
                    self.worst[name] = worst
            for name, power in trial.power.items():
                powers = self.power.setdefault(trial.dtype, {})
                powers[name] = min(power, powers.get(name, np.inf))
            for name, share in trial.zeros.items():
                self.zeros.setdefault(name, []).append(share)
            for failure in trial.failures:
                failing.add(failure.tensor)
                known = self.first.get((failure.tensor, failure.check))
                if known is None or trial.given.size < known[1].given.size:
                    self.first[failure.tensor, failure.check] = (choice, trial, failure)
        self.failing += bool(failing)
        for tensor in failing:
            self.counts[tensor] = self.counts.get(tensor, 0) + 1


class Search:
    """The search on one plan."""

    def __init__(self, plan: Plan, tester: Tester, dtypes: tuple[str, ...], examples: int, seed: int):
        self.plan, self.tester, self.dtypes, self.examples, self.seed = plan, tester, dtypes, examples, seed
        self.before: Given | None = None

    def trials(self, choice: Choice, thorough: bool = False) -> list[Trial]:
        """Try a choice in each dtype. Raises Refused where the reference does not take it."""
        given, upstream = self.plan.make(choice), self.plan.upstream(choice)
        return [self.trial(given, dtype, upstream, thorough) for dtype in self.dtypes]

    def trial(self, given: Given, dtype: str, upstream: Any, thorough: bool) -> Trial:
        """Try arrays in one dtype, with their structure if thorough."""
        trial = self.tester.try_on(given, dtype, upstream, thorough)
        if thorough:
            trial.failures += check_structure(self.tester, trial, self.before)
        return trial

    def survey(self) -> Survey:
        """Try the batch sizes 1, 2 and 7, the user's own inputs, and as many examples as were asked for."""
        survey = Survey()
        for inputs in self.plan.own:
            given = replace(self.plan.make(self.base(0)), inputs=dict(inputs))
            upstream = self.plan.upstream(self.base(0))
            survey.add(None, [self.trial(given, dtype, upstream, True) for dtype in self.dtypes])
        self.by_batch(survey)
        count = 0

        def example(choice: Choice) -> None:
            nonlocal count
            if survey.failing >= ENOUGH:
                raise Found
            try:
                trials = self.trials(choice, count % THOROUGH == 0)
            except Refused as refused:
                survey.refusal = str(refused)
                hypothesis.reject()
            count += 1
            survey.add(choice, trials)
            self.before = trials[0].given

        run(example, self.plan.sizes, self.examples, self.seed, [Phase.generate])
        return survey

    def base(self, seed: int, **sizes: int) -> Choice:
        """Return a choice of middling sizes, those given apart."""
        middle = {name: allowed[min(2, len(allowed) - 1)] for name, allowed in self.plan.sizes.items()}
        return Choice(middle | sizes, seed)

    def by_batch(self, survey: Survey) -> None:
        """Try the batch sizes 1, 2 and 7, where the first size of the first input has a name."""
        shape = next(iter(self.plan.inputs.values())).shape
        batch = shape[0] if shape else None
        if not isinstance(batch, str):
            return
        for number, size in enumerate(BATCHES):
            if size not in self.plan.sizes[batch]:
                continue
            choice = self.base(self.seed + number, **{batch: size})
            try:
                trials = self.trials(choice, thorough=True)
            except Refused:
                continue
            survey.add(choice, trials)
            survey.batches[size] = not any(trial.failures for trial in trials)
            self.before = trials[0].given

    def extremes(self, survey: Survey) -> None:
        """Try magnitudes up to 1e4, or the ends of the interval: note where the candidate alone is not finite."""
        for number in range(EXTREMES):
            choice = self.base(self.seed + number)
            given = self.plan.make(choice)
            inputs = dict(given.inputs)
            for name, spec in self.plan.inputs.items():
                if spec.between is None and not spec.kind and inputs[name].dtype.kind == "f":
                    inputs[name] = drawing.extreme(name, choice)(inputs[name])
                elif spec.between is not None:
                    middle = sum(spec.between) / 2
                    inputs[name] = np.where(inputs[name] > middle, spec.between[1], inputs[name])
            for dtype in self.dtypes:
                try:
                    trial = self.tester.overflow(replace(given, inputs=inputs), dtype, self.plan.upstream(choice))
                except Refused:
                    continue
                found = [failure for failure in trial.failures if failure.check == "finite"]
                if found and survey.overflowing is None:
                    survey.overflow, survey.overflowing = found, trial


def run(
    example: Callable[[Choice], None],
    sizes: Mapping[str, tuple[int, ...]],
    examples: int,
    seed: int,
    phases: list[Phase],
) -> None:
    """Let Hypothesis draw the examples, reproducibly, without a database, and without its own reports."""
    settings = hypothesis.settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=HEALTH, phases=phases,
        report_multiple_bugs=False, verbosity=Verbosity.quiet, print_blob=False, backend="hypothesis",
        derandomize=False,
    )  # fmt: skip

    def drawn(choice: Choice) -> None:
        example(choice)

    test = hypothesis.seed(seed)(settings(hypothesis.given(drawing.choices(sizes))(drawn)))
    try:
        test()
    except (Found, Flaky, Unsatisfiable, BaseExceptionGroup) as end:
        if isinstance(end, BaseExceptionGroup) and not end.split(Found)[0]:
            raise


def allowed_sizes(plan: Plan, tester: Tester, extra: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return for every named size those of 1 to 7, and of `extra`, that the reference takes.

    Raises DescriptionError, with the reference's own words, where it takes none.
    """
    names = drawing.symbols([*plan.inputs.values(), *plan.parameters.values(), *plan.buffers.values()])
    usual = tuple(range(1, drawing.LARGEST_SIZE + 1))
    tried = tuple(dict.fromkeys((3, 2, 5, *extra, *usual)))
    refusal = ""

    def taken(sizes: Mapping[str, int]) -> bool:
        nonlocal refusal
        try:
            given = tester.subject.draw(plan.make(Choice(sizes, 0)))
            tester.oracle(given, 1)
        except Refused as error:
            refusal = str(error)
            return False
        return True

    start = next((sizes for sizes in assignments(names, tried) if taken(sizes)), None)
    if start is None:
        shapes = ", ".join(f"{name} {spec.shape}" for name, spec in plan.inputs.items())
        raise DescriptionError(f"{tester.oracle.name} takes none of the inputs drawn ({shapes}): {refusal}")
    found = {}
    for name in names:
        fitting = tuple(size for size in usual if size == start[name] or taken({**start, name: size}))
        found[name] = fitting if start[name] in usual else tuple(sorted({*fitting, start[name]}))
    return found


def assignments(names: list[str], tried: tuple[int, ...]) -> Iterator[dict[str, int]]:
    """Yield sizes for all names: all alike first, then every combination, up to some thousands."""
    for count, sizes in enumerate(product(tried, repeat=len(names))):
        if count > 3000:
            return
        yield dict(zip(names, sizes, strict=True))
