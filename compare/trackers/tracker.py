"""What a tracker is."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from compare.experiment.description import Experiment
    from compare.lockstep.loop import Step
    from compare.lockstep.outcome import Outcome


class Tracker(Protocol):
    """A plug-in that watches one run: `backproof run --track NAME`, `compare.run(..., out=FOLDER, track=(NAME,))`.

    A package offers one as an entry point of the group `backproof.trackers`, which names a callable (`Factory`), for
    instance a class:

        [project.entry-points."backproof.trackers"]
        losses = "my_package:Losses"

        class Losses:
            def __init__(self, experiment, folder):     # folder: <record>/losses, made already, all for this tracker
                self.file = (folder / "losses.csv").open("w")

            def step(self, step):
                self.file.write(f"{step.number},{step.loss_manual},{step.loss_reference}\n")

            def finish(self, outcome):
                self.file.write(f"# {outcome.verdict}\n")

            def close(self):
                self.file.close()

    No base class is needed. The calls come in this order, from one thread:

    - the callable with the experiment and the folder, before training. What it raises ends the run (status 3).
    - `begin(loop)`, if there is one, before the first step: `loop.steps`, `loop.initial`, `loop.manual.network`, ...
      are there to be read, never to be changed.
    - `step(step)` after every step.
    - `finish(outcome)` once, after the last; not where a run was broken off by an error.
    - `close()`, whatever happened.

    A tracker that raises in `begin`, `step` or `finish` is reported once on standard error, closed and switched off;
    the run goes on and keeps its verdict. It is called at every step: what is slow is best done at some of them.
    """

    def step(self, step: "Step") -> None:
        """Take note of a step.

        Its losses are always there. `errors` (tensor: error in u) is {} where the step was not compared, `checks` (of
        the audit) is [] where there was none. `manual`, `reference` and `state_before` (tensor: array) are read-only
        and live: they change with the next step, so copy what is to be kept.
        """

    def finish(self, outcome: "Outcome") -> None:
        """Take note of the end: `outcome.verdict`, `outcome.to_json()`, what `backproof run --json` prints."""

    def close(self) -> None:
        """Give back what is held: files, connections. Called once."""


Factory = Callable[["Experiment", Path], Tracker]
"""What an entry point of the group `backproof.trackers` names: (experiment, folder) -> tracker."""
