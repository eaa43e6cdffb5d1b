"""A whole run: the loop, what is kept of it, and the scores at the end."""

import copy
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from compare.agreement.verdict import Verdict
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment
from compare.lockstep.loop import Loop, Watcher
from compare.lockstep.metrics import Metrics, evaluate
from compare.lockstep.outcome import Outcome
from compare.lockstep.tally import Tally


@contextmanager
def threads(count: int):
    """Give NumPy's BLAS and torch this many threads each, and put back what was there."""
    before = torch.get_num_threads()
    with threadpool_limits(limits=count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def run_loop(
    experiment: Experiment,
    dataset: Dataset,
    loop: Loop,
    watchers: Iterable[Watcher] = (),
    stop: Callable[[], bool] = lambda: False,
    tally: Tally | None = None,
    again: Watcher = lambda _: None,
) -> Outcome:
    """Walk the loop to its end, a finding, or until `stop` says so after a step; show each step to the watchers.

    `tally` is what has been kept of the steps before, where a run goes on; a step that it has counted already is taken
    again to have it at hand, and shown to `again` alone. A loss that overflows is a finding, not a warning: NumPy's
    warnings are silenced for the run.
    """
    tally, started, interrupted = tally or Tally(experiment), time.perf_counter(), False
    before = tally.seconds
    with threads(experiment.training.threads), np.errstate(all="ignore"):
        for step in loop:
            if step.number <= tally.steps and not step.finding:
                again(step)
                continue
            tally.seconds = before + time.perf_counter() - started
            tally.add(step)
            for watcher in watchers:
                watcher(step)
            if stop():
                interrupted = tally.steps < loop.steps and step.finding is None
                break
        seconds = tally.seconds = before + time.perf_counter() - started
        scored = tally.verdict is not Verdict.INCONCLUSIVE and not interrupted
        metrics = scores(loop, dataset) if scored else None
        exhibit = precision_test(loop)
    return Outcome(experiment, tally, metrics, seconds, interrupted, exhibit)


def scores(loop: Loop, dataset: Dataset) -> Metrics | None:
    """Return what both networks make of the test images; None where a user's layer cannot predict them."""
    networks = loop.manual.network, loop.trained_reference.network
    try:
        return evaluate(*networks, dataset, loop.experiment.training.dtype, loop.experiment.data)
    except Exception:
        if not loop.has_user_layers:
            raise
        return None


def precision_test(loop: Loop) -> dict[str, dict[str, float]]:
    """Return the error of every tensor of a first step in float32 and in float64, each in its own u.

    No tolerance is in it: rounding shrinks with u, a mistake does not, so its error in u grows 5e8 fold in float64.
    """
    errors: dict[str, dict[str, float]] = {}
    for dtype in ("float32", "float64"):
        given = {name: array.astype(dtype) for name, array in loop.initial.items()}
        try:
            experiment = loop.experiment.changed("training", dtype=dtype, mode="lockstep", steps=1)
            initial = given if experiment.initial.is_given else None  # else those that are drawn, rounded to the dtype
            first = next(iter(Loop(experiment, loop.dataset, copy.deepcopy(loop.replaced), loop.mistake, initial)))
        except (TypeError, RuntimeError, OverflowError, DescriptionError):
            return {}  # a layer of the user's that cannot be copied, a rate that is no float32: no exhibit
        for tensor, error in first.errors.items():
            errors.setdefault(tensor, {})[dtype] = error
    return errors
