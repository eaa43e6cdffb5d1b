"""The runs of a reproduction: made here, shown while they go by, and kept as what each came to."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compare.diagnosis.mistakes import CATALOGUE
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.lockstep.loop import Loop, Step, Watcher
from compare.lockstep.outcome import Outcome
from compare.lockstep.run import threads
from compare.lockstep.tally import Tally
from compare.proof import run
from compare.published.reproduction import AGREEMENT, Run

SHOWN_EVERY = 100  # steps


class BrokenOff(Exception):
    """A run ended at a finding that was not wanted: the figures that were to come of it are not there."""


class Runs:
    """Makes the runs of one reproduction. `out` is the folder for their records, `show` takes a line of progress."""

    def __init__(self, name: str, out: Path | None = None, show: Callable[[str], None] = lambda _: None):
        self.name, self.out, self.show = name, out, show
        self.made: list[Run] = []

    def run(
        self, experiment: Experiment | str, called: str, *, watchers: Iterable[Watcher] = (), **options: Any
    ) -> Outcome:
        """Run an experiment as `compare.run` does, with its options, record it, and keep what it came to.

        Raises BrokenOff where the two sides do not agree to its end.
        """
        loops: list[Loop] = []

        def progress(step: Step) -> None:
            if step.number % SHOWN_EVERY == 0 or step.number == loops[0].steps:
                self.show(f"{self.name}: {called}, step {step.number:,} of {loops[0].steps:,}")

        begin = options.pop("begin", None)

        def begun(loop: Loop) -> None:
            loops.append(loop)
            if begin:
                begin(loop)

        outcome = run(experiment, out=self.out, begin=begun, watchers=[progress, *watchers], **options)
        self.keep(Run.of(outcome, called))
        return outcome

    def keep(self, made: Run) -> None:
        """Keep what a run came to. Raises BrokenOff where it ended at a finding that was not wanted."""
        self.made.append(made)
        if made.reason and not made.met:
            raise BrokenOff(f"{made.name}: {made.reason}")

    def step(
        self,
        experiment: Experiment,
        dataset: Dataset,
        called: str,
        *,
        initial: Mapping[str, np.ndarray],
        plant: str | None = None,
        begin: Callable[[Loop], None] = lambda _: None,
    ) -> Step:
        """Take the steps of a miniature, whose data stand in its recipe, in lockstep; return the last one.

        With a planted mistake it must be found: then the verdict that is wanted is DIVERGES. Raises BrokenOff.
        """
        wanted = ("DIVERGES",) if plant else AGREEMENT
        started, tally = time.perf_counter(), Tally(experiment)
        with threads(1):
            loop = Loop(experiment, dataset, mistake=CATALOGUE[plant] if plant else None, initial=initial)
            begin(loop)
            steps = list(loop)
            for step in steps:
                tally.add(step)
        if not steps:
            raise ValueError(f"{called}: the experiment has no step.")
        outcome = Outcome(experiment, tally, None, time.perf_counter() - started)
        # A loop may begin behind steps that others have taken.
        self.keep(replace(Run.of(outcome, called, wanted), steps=len(steps)))
        return steps[-1]
