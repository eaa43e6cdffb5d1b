"""The output units of the tutorial's one-layer network that never learn: which, why, and what frees them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.examples import load_examples
from compare.experiment.files import changes_of, read_experiment
from compare.experiment.networks import build_manual, parameter_shapes
from compare.experiment.streams import batches, initial_parameters
from compare.lockstep.loop import Loop, Step, train_alone
from compare.lockstep.outcome import Outcome
from compare.lockstep.run import threads
from compare.published.reproduction import Table
from compare.published.runs import SHOWN_EVERY, Runs
from compare.published.saturation import BIAS, WEIGHT, Course, Look, Parameters, Shared, look_at, rank_correlation

DRAWS = 100  # seeds whose initial weights are drawn to see how the mean z spreads
TENTH = 0.1  # what the initial range and the learning rate are multiplied by, to see which of them frees the units
Row = tuple[str | float | int, ...]


@dataclass
class Watched:
    """What became of the units in one training: looks at them by moment, and their mean z from step to step."""

    experiment: Experiment
    course: Course
    looks: dict[str, Look] = field(default_factory=dict)

    @property
    def end(self) -> Look:
        """The last look."""
        return list(self.looks.values())[-1]


def watched(runs: Runs, preset: str, seed: int) -> tuple[Outcome, Watched]:
    """Run a preset in lockstep and apart, and watch its units."""
    experiment = read_experiment(preset, changes_of(seed=seed))
    dataset = load_examples(experiment.data)
    seen = Watched(experiment, Course(Shared.of(experiment, dataset).mean))
    per_epoch = -(-len(dataset.train_images) // experiment.training.batch_size)

    def begin(loop: Loop) -> None:
        seen.course.add(loop.initial[WEIGHT], loop.initial[BIAS])
        seen.looks["start"] = look_at(experiment, dict(loop.initial), dataset)

    def look(step: Step) -> None:
        parameters = {name: step.manual[f"{name}.updated"] for name in (WEIGHT, BIAS)}
        seen.course.add(*parameters.values())
        if step.number in (per_epoch, experiment.training.epochs * per_epoch):
            when = "end" if step.number > per_epoch else "after epoch 1"
            seen.looks[when] = look_at(experiment, parameters, dataset)

    return runs.run(experiment, f"seed {seed}", begin=begin, watchers=[look]), seen


def explain_stuck(runs: Runs, seen: dict[int, Watched]) -> tuple[Table, ...]:
    """Return the tables that explain which units never learn: all of their figures are computed here and now."""
    first = next(iter(seen.values())).experiment
    dataset = load_examples(first.data)
    shared = Shared.of(first, dataset)
    settings = freed(runs, seen, dataset)
    return what_is_shared(shared, seen), what_became(seen), what_frees(shared, settings), what_foretells(settings)


def what_is_shared(shared: Shared, seen: dict[int, Watched]) -> Table:
    """Return how much of z all images have in common at the start: as images and range foretell, and as found."""
    experiment = next(iter(seen.values())).experiment
    limit, shapes = experiment.initial.high, parameter_shapes(experiment)
    starts = (initial_parameters(experiment.changed("training", seed=seed), shapes) for seed in range(1, DRAWS + 1))
    z = np.concatenate([start[WEIGHT] @ shared.mean + start[BIAS] for start in starts])
    spread = np.concatenate([watch.looks["start"].spread for watch in seen.values()])
    common = shared.common / (shared.size + 1)
    rows: list[Row] = [
        ("squared norm of the mean image", float(shared.mean @ shared.mean)),
        ("mean squared norm of an image", shared.size),
        ("standard deviation of z foretold, one image", limit * float(np.sqrt((shared.size + 1) / 3))),
        ("standard deviation of the mean z foretold", shared.start_spread(limit)),
        (f"standard deviation of the mean z found, {len(z)} units of seeds 1 to {DRAWS}", float(z.std())),
        ("standard deviation of z over the images found, mean of the units", float(spread.mean())),
    ]
    says = f"Of the variance of z between units, {100 * common:.0f} % is common to all images."
    return Table("What all images share", ("at the start", "value"), tuple(rows), says)


def what_became(seen: dict[int, Watched]) -> Table:
    """Return the stuck units of each seed beside the others, from the start to the end."""
    rows: list[Row] = []
    for seed, watch in seen.items():
        stuck = watch.end.stuck
        groups = {f"unit {k}": np.arange(len(stuck)) == k for k in np.flatnonzero(stuck)} | {"others, median": ~stuck}
        rows += [
            (seed, name, when, *cells(look, units))
            for name, units in groups.items()
            for when, look in watch.looks.items()
        ]
    columns = (
        "mean z",
        "spread of z",
        "mean a(1-a)",
        "gradient norm",
        "z on own digit",
        "a there",
        "answers",
        "recall",
    )
    counts = ", ".join(f"{int(watch.end.stuck.sum())} with seed {seed}" for seed, watch in seen.items())
    says = f"Output units that do not answer to their digit at the end: {counts}."
    gradient = np.concatenate([watch.end.gradient for watch in seen.values()])
    stuck = np.concatenate([watch.end.stuck for watch in seen.values()])
    if stuck.any() and not stuck.all():
        times = float(np.median(gradient[~stuck]) / gradient[stuck].max())
        says += f" The largest gradient of one of them is then {times:.2g} times smaller than the median of the others."
    return Table("What became of the units", ("seed", "unit", "when", *columns), tuple(rows), says)


def cells(look: Look, units: np.ndarray) -> Row:
    """Return a look at these units, medians where they are several."""
    values = (look.z, look.spread, look.factor, look.gradient, look.own_z, look.own, look.answers, look.recall)
    return tuple(float(np.median(value[units])) for value in values)


@dataclass(frozen=True)
class Setting:
    """One training in one setting: what the units started from, how far they fell, what they came to."""

    limit: float
    lr: float
    seed: int
    start: np.ndarray  # mean z
    fall: np.ndarray
    end: Look


def freed(runs: Runs, seen: dict[int, Watched], dataset: Dataset) -> list[Setting]:
    """Return the trainings watched, and others from a tenth of the range, with a tenth of the rate, with both.

    Those are trained by the manual side alone: they explain, and prove nothing.
    """
    made = []
    for narrower, slower in product((1.0, TENTH), repeat=2):
        for seed, watch in seen.items():
            experiment = watch.experiment
            limit, lr = narrower * experiment.initial.high, slower * experiment.optimizer.lr
            if (narrower, slower) != (1.0, 1.0):
                experiment = experiment.changed("initial", low=-limit, high=limit).changed("optimizer", lr=lr)
                course = Course(watch.course.mean)
                end = look_at(experiment, trained(runs, experiment, dataset, course), dataset)
            else:
                course, end = watch.course, watch.end
            made.append(Setting(limit, lr, seed, course.path[0], course.largest_fall, end))
    return made


def trained(runs: Runs, experiment: Experiment, dataset: Dataset, course: Course) -> Parameters:
    """Train the manual side alone, noting the mean z; return its parameters at the end."""
    images, labels, training = dataset.train_images, dataset.train_labels, experiment.training
    side = build_manual(experiment, initial_parameters(experiment, parameter_shapes(experiment)))
    parameters = side.network.parameters
    course.add(parameters[WEIGHT], parameters[BIAS])
    with threads(training.threads):
        for number, (_, rows) in enumerate(batches(experiment, len(images)), start=1):
            train_alone(side, *take_batch(images, labels, rows, training.dtype, experiment.data))
            course.add(parameters[WEIGHT], parameters[BIAS])
            if number % SHOWN_EVERY == 0:
                range_and_rate = f"range {experiment.initial.high:g}, lr {experiment.optimizer.lr:g}"
                runs.show(f"{runs.name}: {range_and_rate}, seed {training.seed}, step {number:,}")
    return dict(parameters)


def by_setting(settings: list[Setting]) -> Iterator[tuple[tuple[float, float], list[Setting]]]:
    """Yield the settings with their trainings, a range and a rate at a time."""
    for key in dict.fromkeys((s.limit, s.lr) for s in settings):
        yield key, [s for s in settings if (s.limit, s.lr) == key]


def what_frees(shared: Shared, settings: list[Setting]) -> Table:
    """Return how many units are stuck from which range and with which rate, and how they came to be."""
    rows: list[Row] = []
    said = []
    for (limit, lr), own in by_setting(settings):
        stuck, units = sum(int(s.end.stuck.sum()) for s in own), sum(len(s.start) for s in own)
        which = "; ".join(f"seed {s.seed}: {', '.join(map(str, np.flatnonzero(s.end.stuck))) or 'none'}" for s in own)
        lowest, deepest = min(float(s.start.min()) for s in own), max(float(s.fall.max()) for s in own)
        begins, falls = (shared.start_spread(limit), lowest), (shared.first_push(lr), deepest)
        rows.append((f"{limit:g}", f"{lr:g}", stuck, which, *begins, *falls))
        said.append(f"{stuck} of {units} from [-{limit:g}, {limit:g}] with a rate of {lr:g}")
    columns = (
        "range", "rate", "stuck", "which", "mean z at the start: standard deviation foretold", "lowest found",
        "first fall in a step foretold (from z = 0)", "largest fall found",
    )  # fmt: skip
    says = (
        f"Stuck: {', '.join(said)}. A unit that begins far below 0 for all images, or is thrown there, has next to no "
        "gradient to come back by. All but the first setting are trained by the manual side alone."
    )
    return Table("What frees them", columns, tuple(rows), says)


def what_foretells(settings: list[Setting]) -> Table:
    """Return how far the start, and the deepest fall, foretell which digits are read at the end."""
    rows: list[Row] = []
    for (limit, lr), own in by_setting(settings):
        recall = np.concatenate([s.end.recall for s in own])
        start, fall = np.concatenate([s.start for s in own]), np.concatenate([s.fall for s in own])
        stuck = np.concatenate([s.end.stuck for s in own])
        foretold = rank_correlation(start, recall), rank_correlation(fall, recall)
        means = (mean_of(values[units]) for values in (start, fall) for units in (stuck, ~stuck))
        rows.append((f"{limit:g}", f"{lr:g}", *foretold, *means))
    columns = (
        "range", "rate", "recall with mean z at the start", "recall with largest fall",
        "mean z at the start: stuck", "others", "largest fall: stuck", "others",
    )  # fmt: skip
    return Table("What foretells a digit's recall: rank correlations, and means", columns, tuple(rows))


def mean_of(values: np.ndarray) -> float | str:
    """Return the mean; of no values a text that says so."""
    return float(values.mean()) if len(values) else "none"
