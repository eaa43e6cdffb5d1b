"""The loop: both sides take every step, and what happened is yielded.

lockstep     before each step the reference takes over the manual side's parameters and optimizer state, bit for bit, so
             that each step is a proof of its own, and the whole run one by induction.
independent  a second reference trains alone from the same initial weights on the same batches; it drifts apart, as two
             correct implementations do, and how far is reported.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from compare.agreement.audit import Check
from compare.agreement.inputs import changed_in_place
from compare.agreement.kinks import Kink
from compare.agreement.operations import state_of
from compare.agreement.step_check import TRIGGER, StepCheck
from compare.agreement.trace import Breach, Trace, first_non_finite, places, shared_memory, structural_breach
from compare.agreement.verdict import Finding, Judge, Judgement, Verdict
from compare.agreement.witnesses import hear
from compare.diagnosis.evidence import Evidence
from compare.diagnosis.mistakes import Mistake
from compare.diagnosis.plant import correct_steps, plant
from compare.diagnosis.planted import Planted
from compare.diagnosis.reenactment import diagnose
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.networks import Side, build_manual, build_trained_reference, parameter_shapes
from compare.experiment.streams import batches, count_steps, initial_parameters
from compare.language import stored
from compare.lockstep.failures import finding_of, partial_trace

FIRST_AUDITS = 3  # the first steps are always audited: most mistakes show in the first


@dataclass(frozen=True)
class Drift:
    """How far the independent reference is from the manual side after a step."""

    step: int
    parameters: float  # the largest ||manual - reference|| / ||reference|| over the parameters
    loss_manual: float
    loss_reference: float


@dataclass(frozen=True)
class Step:
    """What happened at one step. The traces are live: the next step changes their tensors, or takes them away."""

    number: int  # from 1
    epoch: int  # from 0
    loss_manual: float
    loss_reference: float
    errors: Mapping[str, float] = field(default_factory=dict)  # tensor -> u; {} where the step was not compared
    checks: list[Check] = field(default_factory=list)  # of the audit; [] where there was none
    finding: Finding | None = None
    kinks: list[Kink] = field(default_factory=list)  # those that explain this step
    drift: Drift | None = None
    manual: Trace = field(default_factory=dict)
    reference: Trace = field(default_factory=dict)
    state_before: Trace = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)  # carried through the step, where it was judged
    loss_free: float | None = None  # of the reference that trains apart, where there is one beside the other


@dataclass(frozen=True)
class Taken:
    """A step that both sides have taken: losses (manual's first), traces, errors; a finding that stopped it halfway."""

    losses: tuple[float, float]
    manual: dict[str, np.ndarray]
    reference: dict[str, np.ndarray]
    state_before: Trace
    errors: Mapping[str, float]
    finding: Finding | None


class Loop:
    """The two networks of an experiment, and their walk through the data."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        replaced: Mapping[str, Any] | None = None,
        mistake: Mistake | None = None,
        initial: Mapping[str, np.ndarray] | None = None,
    ):
        """Build both sides from the same initial parameters: those drawn from the seed, or `initial`.

        `dataset` is that of the experiment, as `experiment.examples` makes it.
        `replaced` puts a user's layers in manual's places; `mistake` is planted into the manual side.
        """
        self.experiment, self.dataset, self.replaced, self.mistake = experiment, dataset, replaced, mistake
        self.steps = count_steps(experiment, len(dataset.train_images))
        self.taken = 0  # steps taken before the walk begins: see lockstep.state
        self.initial = initial or initial_parameters(experiment, parameter_shapes(experiment))
        self.manual = build_manual(experiment, self.initial, replaced)
        self.reference = build_trained_reference(experiment, self.initial)
        both = experiment.training.mode == "both"
        self.free: Side | None = build_trained_reference(experiment, self.initial) if both else None
        if experiment.training.mode == "independent":
            self.free = self.reference
        # The tensors that a step starts from: equal to the bit, or it proves nothing.
        self.start = frozenset(("input", "target", *self.initial, *self.manual.network.buffers))
        self.step_check = StepCheck(experiment.training.dtype)
        self.judge = Judge(experiment, dict(self.manual.network.layers))
        self.planted = self.plant(mistake) if mistake else None
        # What a step starts from is the loop's to keep: the manual side is what is tried. So its optimizer need not.
        self.weights_before = {name: np.array(weight) for name, weight in self.initial.items()}
        self.manual.optimizer.keeps_previous = bool(mistake)
        self.before: Taken | None = None  # the step before, for mistakes that mix two

    def plant(self, mistake: Mistake) -> Planted:
        """Put a mistake of the catalogue into the manual side."""
        planted = plant(mistake, self.manual, correct_steps(self.experiment, self.dataset, self.initial))
        if planted.share_memory:
            self.reference.network.share(self.manual.network.parameters)
        return planted

    def batch(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs and labels of these rows of the training images."""
        images, labels, training = self.dataset.train_images, self.dataset.train_labels, self.experiment.training
        return take_batch(images, labels, rows, training.dtype, self.experiment.data)

    @property
    def has_user_layers(self) -> bool:
        """Whether a layer of the manual side is not manual's own."""
        return bool(self.replaced or self.mistake or any(layer.reference for layer in self.experiment.layers))

    @property
    def trained_reference(self) -> Side:
        """The reference whose training is reported: the independent one where there is one."""
        return self.free or self.reference

    def __iter__(self) -> Iterator[Step]:
        """Yield every step that has not been taken yet; after a finding no more."""
        walk = batches(self.experiment, len(self.dataset.train_images), self.taken)
        for number, (epoch, rows) in enumerate(walk, start=self.taken + 1):
            x, target = self.batch(rows)
            if self.free is not self.reference or number == 1:
                step = self.compared_step(number, epoch, x, target)
            else:
                step = self.unwatched_step(number, epoch, x, target)
            yield step
            if step.finding:
                return

    def unwatched_step(self, number: int, epoch: int, x: np.ndarray, target: np.ndarray) -> Step:
        """Take one step on both sides, each from its own weights: nothing is compared, but an overflow ends it."""
        losses, finding = self.passes(number, x, target)
        if finding is None and not all(math.isfinite(loss) for loss in losses):
            finding = self.overflow(number, losses)
        if finding is None:
            self.manual.optimizer.step()
            self.reference.optimizer.step()
        return Step(number, epoch, *losses, finding=finding)

    def overflow(self, number: int, losses: tuple[float, float]) -> Finding:
        """Return the finding of a loss that is not finite: the first tensor of the step that is not."""
        traces = self.manual.network.trace(), self.reference.network.trace()
        breach = first_non_finite(*traces)
        first = stored("It is the first that is not finite.")
        tensor, what = (breach.tensor, breach.message) if breach else ("loss", first)
        where = places([*traces[0], tensor], self.judge.layers)[tensor]
        reason = stored(
            "The loss is {manual} on the manual side and {reference} on the reference. {what}",
            manual=losses[0], reference=losses[1], what=what,
        )  # fmt: skip
        return Finding(number, Verdict.INCONCLUSIVE, where.stage, tensor, where.operation, reason)

    def compared_step(self, number: int, epoch: int, x: np.ndarray, target: np.ndarray) -> Step:
        """Take one step on both sides from the same state; compare every tensor; judge it where that is due."""
        if self.before:
            release(self.before)
        free_loss = train_alone(self.free, x, target) if self.free and self.free is not self.reference else None
        self.take_over(number)
        taken = self.take(number, x, target)
        judgement = Judgement([], taken.finding)
        if taken.finding is None and (self.audit_is_due(number) or self.judge.suspicious(taken.errors)):
            network = self.manual.network
            judgement = self.judge.judge(
                number, network, taken.manual, taken.reference, taken.errors, taken.state_before
            )
        finding = judgement.finding and self.explain(judgement.finding, taken)
        self.before = taken
        drift = None
        if finding is None and self.free is not self.reference:
            drift = self.drift(number, taken.losses[0], free_loss)
        return Step(
            number, epoch, *taken.losses, taken.errors, judgement.checks, finding, judgement.kinks, drift,
            taken.manual, taken.reference, taken.state_before, judgement.bounds, free_loss,
        )  # fmt: skip

    def take_over(self, number: int) -> None:
        """Keep a copy of the manual side's parameters; after the first step give them, and the state, to the reference.

        At the first step both have their own copies of the initial ones, which is for the comparison to find true.
        """
        for name, weight in self.manual.network.parameters.items():
            np.copyto(self.weights_before[name], weight)
        if number > 1:
            self.reference.network.load(self.weights_before, self.manual.network.buffers)
            self.reference.optimizer.load(self.manual.optimizer.state, self.manual.optimizer.lr)

    def take(self, number: int, x: np.ndarray, target: np.ndarray) -> Taken:
        """Let both sides take the step; return what they computed, compared as far as it can be."""
        network, state_before = self.manual.network, state_of(self.manual.optimizer)
        spoiler = changed_in_place(network, *self.given_to_manual(x, target)) if number == 1 else None
        losses, finding = self.passes(number, x, target)
        if finding is not None:
            theirs = self.reference.network.trace() if math.isfinite(losses[1]) else {}
            mine = partial_trace(network) if theirs else {}
            return Taken(losses, mine, theirs, state_before, {}, finding)
        manual, reference = network.trace(), self.reference.network.trace()
        errors, finding = self.compare(number, manual, reference, spoiler)
        if finding is None:
            self.manual.optimizer.step()
            self.reference.optimizer.step()
            after = self.reference.optimizer.trace()
            after_manual = self.manual.optimizer.trace()
            errors_after, finding = self.compare(number, after_manual, after)
            errors |= errors_after
            # The weights have moved on in place. Those before the step were equal on both sides, bit for bit.
            manual |= self.weights_before | after_manual
            reference |= self.weights_before | after
        return Taken(losses, manual, reference, state_before, errors, finding)

    def given_to_manual(self, x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the batch as the manual side is given it: a planted mistake may have spoiled it."""
        if self.planted and self.planted.spoil_batch:
            return self.planted.spoil_batch(x, target)
        return x, target

    def passes(self, number: int, x: np.ndarray, target: np.ndarray) -> tuple[tuple[float, float], Finding | None]:
        """Run the forward and the backward pass of both sides; return the losses, or what kept a side from it."""
        # The reference first: it copies the batch before the manual side could spoil it.
        try:
            loss_reference = forward_backward(self.reference, x, target)
        except RuntimeError as error:  # torch refuses values that have overflowed: nothing can be said of this step
            finding = Finding(number, Verdict.INCONCLUSIVE, "loss", "loss", "loss.forward", f"torch: {error}")
            return (math.nan, math.nan), finding
        try:
            return (forward_backward(self.manual, *self.given_to_manual(x, target)), loss_reference), None
        except Exception as error:  # a layer of the user's own may raise anything
            network = self.manual.network
            return (math.nan, loss_reference), finding_of(error, number, network, self.reference.network.trace())

    def explain(self, finding: Finding, taken: Taken) -> Finding:
        """Return the finding with the cause as far as it can be named, and the witnesses of the derivative."""
        evidence = self.evidence(taken, self.before and self.evidence(self.before, None))
        diagnosis = diagnose(finding, evidence)
        witnesses = None
        derivative = finding.index is not None and finding.stage in ("loss", "backward")
        if finding.verdict is Verdict.DIVERGES and derivative:
            network = self.manual.network
            witnesses = hear(network, evidence.manual, evidence.reference, finding.tensor, finding.index)
        return replace(
            finding, suspects=diagnosis.suspects, ruled_out=diagnosis.ruled_out, measured=diagnosis.measured,
            witnesses=asdict(witnesses) if witnesses else None,
        )  # fmt: skip

    def evidence(self, taken: Taken, before: Evidence | None) -> Evidence:
        """Return a step, and the one before it, as evidence."""
        agreed = frozenset(name for name, error in taken.errors.items() if error <= TRIGGER)
        classes = len(self.dataset.classes)
        return Evidence(self.experiment, taken.manual, taken.reference, taken.state_before, agreed, classes, before)

    def compare(
        self, number: int, manual: Trace, reference: Trace, spoiler: Breach | None = None
    ) -> tuple[dict[str, float], Finding | None]:
        """Return the errors of a part of the trace, or the finding that forbids comparing it."""
        breach = spoiler or structural_breach(manual, reference)
        if breach is None and self.audit_is_due(number):
            breach = shared_memory(manual, reference)
        if breach is not None:
            return {}, self.judge.structural(number, breach, list(manual))
        errors = self.step_check.errors(manual, reference, self.start)
        if any(errors.get(name) for name in self.start):
            return errors, self.judge.unequal_start(number, manual, reference, errors)
        return errors, None

    def audit_is_due(self, number: int) -> bool:
        """Whether this step is audited whatever its errors: the first, every `audit_every`th, the last."""
        return number <= FIRST_AUDITS or number % self.experiment.training.audit_every == 0 or number == self.steps

    def drift(self, number: int, loss_manual: float, free_loss: float | None) -> Drift | None:
        """Return how far the independent reference has drifted, at 1, 2, 5, 10, 20, 50, ... and at the audits."""
        round_number = str(number).rstrip("0") in ("1", "2", "5")
        if self.free is None or free_loss is None or not (round_number or self.audit_is_due(number)):
            return None
        theirs = {name: weight.detach().cpu().numpy() for name, weight in self.free.network.weights.items()}
        apart = max(relative_distance(p, theirs[name]) for name, p in self.manual.network.parameters.items())
        return Drift(number, apart, loss_manual, free_loss)


def release(step: Taken) -> None:
    """Let go of what nobody needs of a step that lies behind: the tensors as large as the weights.

    Their memory is what the next step's are made in. Held, it would be twice as much as the nearest caches can keep.
    """
    for trace in (step.manual, step.reference):
        for name in [n for n in trace if n.endswith((".grad", ".updated")) and ".output." not in n]:
            del trace[name]


def forward_backward(side: Side, x: np.ndarray, target: np.ndarray) -> float:
    """Run the forward and the backward pass; return the loss."""
    loss = side.network.loss(x, target)
    side.network.backward()
    return loss


def train_alone(side: Side, x: np.ndarray, target: np.ndarray) -> float:
    """Take a whole step; return the loss before it. NaN where torch refuses values that have overflowed."""
    try:
        loss = forward_backward(side, x, target)
        side.optimizer.step()
    except RuntimeError:
        return math.nan
    return loss


def relative_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return ||a - b|| / ||b||."""
    size = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / size if size else float(np.linalg.norm(a))


Watcher = Callable[[Step], None]
