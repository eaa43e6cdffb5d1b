"""All steps of a port against the reference, and what they came to."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from compare.agreement.step_check import TRIGGER
from compare.agreement.verdict import Finding, Verdict
from compare.agreement.witnesses import hear
from compare.diagnosis.evidence import Evidence
from compare.diagnosis.reenactment import diagnose
from compare.exchange.bundle import Bundle, read_bundle
from compare.exchange.files import TRACE, ExchangeError
from compare.exchange.judging import Judged, PortJudge
from compare.exchange.recorded import Recorded
from compare.exchange.steps import Taken, Walk
from compare.exchange.suspects import HISTORY, reenacted
from compare.exchange.verified import Verified
from compare.experiment.networks import build_manual
from compare.lockstep.run import threads


def verify(folder: Path) -> Verified:
    """Hold the trace that a port has written into an export's folder against the reference.

    Raises ExchangeError for a folder that is no export, has been changed, or holds files that make no sense.
    """
    bundle = read_bundle(folder)
    training, trace = bundle.experiment.training, folder / TRACE
    if not trace.is_dir():
        raise ExchangeError(f"{trace} is not there: the port has to write its trace into it (see FORM.md).")
    carried = (*bundle.parameters, *bundle.buffers)
    recorded = Recorded(trace, bundle.names, carried, bundle.steps, training.dtype)
    started = time.perf_counter()
    with threads(training.threads), np.errstate(all="ignore"):
        verified = Verification(bundle, recorded).run()
    return replace(verified, seconds=time.perf_counter() - started)


class Verification:
    """The walk through a recorded trace, up to its end or the first finding."""

    def __init__(self, bundle: Bundle, recorded: Recorded):
        self.bundle, self.recorded = bundle, recorded
        self.walk = Walk(bundle, recorded)
        self.network = build_manual(bundle.experiment, bundle.parameters).network
        self.judge = PortJudge(bundle.experiment, self.walk.rounding, self.network)
        self.history: list[tuple[Taken, Judged]] = []  # from the last step whose start was known

    def run(self) -> Verified:
        """Return what the whole trace has shown."""
        verified = Verified(self.bundle, self.recorded, self.walk.probes)
        for taken in self.walk:
            judged = self.judge(taken, self.recorded.half_digit(taken.number))
            previous = self.history[-1][0] if self.history else None
            if taken.start.whole and taken.start.state_whole:
                self.history.clear()
            self.history.append((taken, judged))
            del self.history[:-HISTORY]
            allowed = {name: bound.value for name, bound in judged.bounds.items() if name in judged.errors}
            for probe, trace in taken.probed:
                probe.note(trace, taken.reference, allowed)
            finding = judged.finding and self.explain(judged.finding, taken, judged, previous)
            verified.add(taken, replace(judged, finding=finding))
            if finding:
                break
        return verified

    def explain(self, finding: Finding, taken: Taken, judged: Judged, previous: Taken | None) -> Finding:
        """Return the finding with the cause as far as it can be named, and the witnesses of the derivative."""
        if finding.verdict is not Verdict.DIVERGES or finding.tensor not in judged.errors:
            return finding
        evidence = self.evidence(taken, judged.errors, previous and self.evidence(previous, {}, None))
        audited = any(check.tensor == finding.tensor for check in judged.checks)
        diagnosis = diagnose(finding, evidence)
        suspects, ruled_out = diagnosis.suspects, diagnosis.ruled_out
        owner = finding.operation.partition(".")[0]
        inside = any(layer.name == owner and layer.inner for layer in self.bundle.experiment.layers)
        if not audited or (inside and not suspects):  # what goes wrong inside a layer is planted there
            suspects, others = self.planted_suspects(finding.tensor, owner if audited else "")
            ruled_out = list(dict.fromkeys([*(ruled_out if audited else []), *others]))
        witnesses = None
        if audited and finding.index is not None and finding.stage in ("loss", "backward"):
            heard = hear(self.network, evidence.manual, evidence.reference, finding.tensor, finding.index)
            if heard:
                said = heard.conclusion.replace("the manual gradient", "the port's gradient")
                witnesses = {**asdict(heard), "conclusion": said}
        return replace(
            finding, suspects=suspects, ruled_out=ruled_out, measured=diagnosis.measured, witnesses=witnesses
        )

    def planted_suspects(self, tensor: str, within: str) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the mistakes that, made in the whole network or within a layer, reproduce what the port has recorded.

        Where none reproduces all of it, those that do up to the finding: a port that is wrong on the way forward may be
        wrong on the way back, too.
        """
        first = self.history[0][0]
        if not (first.start.whole and first.start.state_whole):
            return [], []
        bounds = [{n: b for n, b in judged.bounds.items() if n in judged.errors} for _, judged in self.history]
        steps = [taken for taken, _ in self.history]
        suspects, ruled_out = reenacted(self.bundle, steps, bounds, within)
        if suspects:
            return suspects, ruled_out
        order = list(bounds[-1])
        bounds[-1] = {name: bounds[-1][name] for name in order[: order.index(tensor) + 1]}
        return reenacted(self.bundle, steps, bounds, within)

    def evidence(self, taken: Taken, errors: Any, before: Evidence | None) -> Evidence:
        """Return a step as evidence: the port's tensors where they are recorded, the reference's where not."""
        agreed = frozenset(name for name, error in errors.items() if error <= TRIGGER)
        port = {name: taken.completed[name] for name in taken.reference}
        return Evidence(
            self.bundle.experiment, port, taken.reference, taken.state_before, agreed, self.bundle.classes, before
        )
