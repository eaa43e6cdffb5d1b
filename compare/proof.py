"""From a description to an outcome: the one function behind `backproof run` and `compare.run`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compare.diagnosis.plant import find_mistake
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.examples import load_examples
from compare.experiment.files import changes_of, read_experiment
from compare.experiment.given import fitting
from compare.experiment.initial import GIVEN
from compare.experiment.networks import check_data, parameter_shapes
from compare.lockstep.loop import Loop, Watcher
from compare.lockstep.outcome import Outcome
from compare.lockstep.run import run_loop, threads
from compare.lockstep.tally import Tally
from compare.records.folder import only_writer
from compare.records.record import Record
from compare.trackers.guarded import Trackers
from compare.trackers.loading import load_trackers


def run(
    experiment: Experiment | str = "article",
    *,
    layers: Mapping[str, Any] | None = None,
    initial: Mapping[str, np.ndarray] | None = None,
    plant: str | None = None,
    out: Path | str | None = None,
    track: Iterable[str] = (),
    watchers: Iterable[Watcher] = (),
    begin: Callable[[Loop], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    **options: Any,
) -> Outcome:
    """Train both networks of an experiment, compare every tensor of every step; return the outcome.

    `experiment` is a description, a preset's name or a TOML file; `options` change it as the command line's do (steps,
    epochs, seed, dtype, lr, batch_size, mode, dataset, data_root, download, threads, device, checkpoint_every,
    world_size). `layers` puts objects of your own, with `forward` and `backward`, in the places of manual's layers of
    these names ("loss" too), so that your derivation is what is tried; `initial` hands in all initial parameters by
    name, in the place of those that would be drawn; `plant` puts a mistake of the catalogue into the manual side. With
    `out` the record's folder is made in that folder; `track` names trackers ("tensorboard") that write into it. `begin`
    is called with the loop before the first step, each of `watchers` with every step; `stop` may end the run after a
    step.

    Raises DescriptionError for what cannot be run, DataError for data that cannot be had, RecordError for a record
    that cannot be written, TrackerError for a tracker that cannot be had, reference.DistributedError where the
    processes of a world_size above 1 cannot go on.
    """
    factories = load_trackers(track)
    if factories and out is None:
        raise DescriptionError('track: trackers write into the record; say where it is to be made: out="results".')
    experiment = resolved(experiment, options)
    if initial is not None:
        experiment = experiment.changed("initial", weight=GIVEN, file="")
        initial = fitting(initial, parameter_shapes(experiment), experiment.training.dtype, "what was handed in")
    dataset = load_examples(experiment.data)
    check_data(experiment, dataset)
    loop = Loop(experiment, dataset, layers, find_mistake(plant) if plant else None, initial)
    if begin:
        begin(loop)
    if out is None:
        return run_loop(experiment, dataset, loop, watchers, stop)
    tally = Tally(experiment)
    with threads(experiment.training.threads):
        record = Record.begin(Path(out), dataset, loop, tally, plant)
    with only_writer(record.folder), record, Trackers(factories, experiment, record.folder) as trackers:
        trackers.begin(loop)
        outcome = run_loop(experiment, dataset, loop, [record.add, trackers.step, *watchers], stop, tally)
        outcome = replace(outcome, record=record.folder)
        trackers.finish(outcome)
        record.finish(outcome)
    return outcome


def resolved(experiment: Experiment | str, options: Mapping[str, Any]) -> Experiment:
    """Return the experiment of that name, or the one given, with these options laid over it."""
    if isinstance(experiment, str):
        return read_experiment(experiment, changes_of(**options))
    for section, values in changes_of(**options).items():
        experiment = experiment.changed(section, **values)
    return experiment
