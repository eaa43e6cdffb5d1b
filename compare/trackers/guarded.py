"""Calling trackers so that the proof does not depend on them: one that raises is reported, closed and switched off."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compare.agreement.trace import Trace
from compare.experiment.description import Experiment
from compare.lockstep.loop import Loop, Step
from compare.lockstep.outcome import Outcome
from compare.trackers.loading import TrackerError
from compare.trackers.tracker import Factory, Tracker


class Trackers:
    """The trackers of one run; a context manager, so that whatever ends the run closes them."""

    def __init__(self, factories: Mapping[str, Factory], experiment: Experiment, record: Path):
        """Make every tracker, with a folder of its own in the record's. Raises TrackerError."""
        self.active: dict[str, Tracker] = {}
        try:
            for name, factory in factories.items():
                self.active[name] = made(name, factory, experiment, record / name)
        except TrackerError:
            self.close()
            raise

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, loop: Loop) -> None:
        """Tell those that want to know that the first step is near."""
        self.tell("before the first step", lambda tracker: getattr(tracker, "begin", lambda _: None)(loop))

    def step(self, step: Step) -> None:
        """Show a step to all. Its arrays are the proof's own memory, so they are shown read-only."""
        self.tell(f"at step {step.number}", lambda tracker: tracker.step(shown(step)))

    def finish(self, outcome: Outcome) -> None:
        """Show the outcome to all, and close them."""
        self.tell("at the end", lambda tracker: tracker.finish(outcome))
        self.close()

    def close(self) -> None:
        """Close all that are still open."""
        for name in list(self.active):
            tracker = self.active.pop(name)
            try:
                tracker.close()
            except (Exception, SystemExit) as error:
                report(name, error, "when it was closed")

    def tell(self, when: str, call: Callable[[Tracker], None]) -> None:
        """Call every tracker; report one that raises, and switch it off."""
        for name, tracker in list(self.active.items()):
            try:
                call(tracker)
            except (Exception, SystemExit) as error:  # somebody else's code may raise anything
                report(name, error, f"{when} and is switched off")
                del self.active[name]
                try:
                    tracker.close()
                except (Exception, SystemExit):
                    continue  # it is reported already


def made(name: str, factory: Factory, experiment: Experiment, folder: Path) -> Tracker:
    """Return a tracker in a folder of its own. Raises TrackerError for one that cannot be made, or is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tracker: Any = factory(experiment, folder)
    except (Exception, SystemExit) as error:
        raise TrackerError(f"The tracker {name} cannot be made: {type(error).__name__}: {error}") from error
    missing = [method for method in ("step", "finish", "close") if not callable(getattr(tracker, method, None))]
    if missing:
        raise TrackerError(f"The tracker {name} is {type(tracker).__name__} without {', '.join(missing)}.")
    return tracker


def shown(step: Step) -> Step:
    """Return a step as one tracker sees it: arrays as read-only views, everything else that could be changed a copy."""
    return replace(
        step, errors=dict(step.errors), bounds=dict(step.bounds), checks=list(step.checks), kinks=list(step.kinks),
        manual=read_only(step.manual), reference=read_only(step.reference), state_before=read_only(step.state_before),
    )  # fmt: skip


def read_only(trace: Trace) -> Trace:
    """Return the trace with its arrays as read-only views."""
    views = {name: np.asarray(array).view() for name, array in trace.items()}
    for view in views.values():
        view.setflags(write=False)
    return views


def report(name: str, error: BaseException, when: str) -> None:
    """Say on standard error what a tracker raised."""
    print(f"backproof: the tracker {name} raised {type(error).__name__} {when}: {error}", file=sys.stderr)
