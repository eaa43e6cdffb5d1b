"""Running an experiment."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from compare.commands.app import Json, Quiet, Whole, app, dump


@app.command
def run(
    experiment: str = "article",
    *,
    steps: Whole | None = None,
    epochs: Whole | None = None,
    seed: Whole | None = None,
    dtype: Literal["float64", "float32"] | None = None,
    lr: float | None = None,
    batch_size: Whole | None = None,
    mode: Literal["lockstep", "independent", "both"] | None = None,
    config: Path | None = None,
    dataset: str | None = None,
    data_root: Path | None = None,
    download: Annotated[bool, Parameter(negative="")] = False,
    plant: str | None = None,
    out: Path = Path("results"),
    track: Annotated[list[str] | None, Parameter(negative="")] = None,
    threads: Whole | None = None,
    checkpoint_every: float | None = None,
    device: str | None = None,
    world_size: Whole | None = None,
    show_config: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train both networks, check every tensor of every step, report.

    Exit status: 0 agreement, 1 divergence, 2 usage, 3 inconclusive or could not run, 130 interrupted.

    Parameters
    ----------
    experiment
        A preset's name (see `backproof list`) or a TOML file.
    steps
        Stop after this many steps, instead of whole epochs.
    epochs
        How often to walk through the training images.
    seed
        The one seed that everything random comes from.
    dtype
        The arithmetic of both sides.
    lr
        The learning rate.
    batch_size
        Examples a step.
    mode
        lockstep: the reference takes over the manual weights before each step, every tensor is held against its bound.
        independent: both train alone, the drift is reported. both (the default).
    config
        A TOML file whose keys are laid over the experiment's.
    dataset
        mnist (the packaged one) or a relative of it, read by torchvision.
    data_root
        A folder of your own with the data set's files.
    download
        Let torchvision download the data set into the folder if it is not there.
    plant
        Put a mistake of the catalogue into the manual side (see `backproof list mistakes`) and watch it being found.
    out
        The folder in which the record's folder is made.
    track
        A tracker that writes into the record's folder: tensorboard, or one that another package brings. Repeatable.
    threads
        Threads of NumPy's BLAS and of torch, each. Two pools on few cores slow each other down.
    checkpoint_every
        Seconds of work between checkpoints, from which `backproof resume` goes on; 10 where nothing is said.
    device
        Where the reference computes: cpu, cuda, cuda:N or mps.
    world_size
        Processes that train the reference, each on a shard of every batch (PyTorch's DistributedDataParallel).
    show_config
        Print the resolved experiment as TOML and stop.
    quiet
        Print the verdict alone.
    """
    from compare.experiment.files import changes_of, read_experiment, to_toml
    from compare.trackers.loading import load_trackers

    resolved = read_experiment(
        experiment,
        changes_of(
            steps=steps, epochs=epochs, seed=seed, dtype=dtype, lr=lr, batch_size=batch_size, mode=mode,
            dataset=dataset, data_root=data_root, download=download or None, threads=threads, device=device,
            checkpoint_every=checkpoint_every, world_size=world_size,
        ),
        config,
    )  # fmt: skip
    if show_config:
        print(to_toml(resolved), end="")
        return 0
    load_trackers(track or ())  # a wrong name is said before anything heavy is imported
    from compare.proof import run as prove

    outcome = with_bar(quiet or json, prove, resolved, out=out, plant=plant, track=track or ())
    show_outcome(outcome.to_json(), json, quiet)
    return outcome.exit_status


def with_bar(quiet: bool, walk: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what `walk` returns, with a bar on standard error while its steps go by.

    The first Ctrl-C ends it after the step, the second at once.
    """
    from compare.views.console import Bar

    bar = Bar(quiet)
    with after_the_step() as asked_to_stop:
        try:
            return walk(
                *arguments,
                begin=lambda loop: bar.begin(loop.steps),
                watchers=[lambda step: bar.advance(step.number)],
                stop=asked_to_stop,
                **options,
            )
        finally:
            bar.end()


class after_the_step:  # noqa: N801 - a context manager, named like a verb
    """While it lasts, the first Ctrl-C, or SIGTERM, is only noted, so that a step can end; the second interrupts."""

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        self.before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return lambda: self.asked

    def note(self, number: int, frame: Any) -> None:
        """Note the first; let the next one through."""
        self.asked = True
        for number in self.before:
            signal.signal(number, signal.default_int_handler)
        print("Interrupted: the step is being finished. Ctrl-C again to stop at once.", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        for number, before in self.before.items():
            signal.signal(number, before)


def show_outcome(
    outcome: dict[str, Any], as_json: bool, quiet: bool = False, resumed: Sequence[dict[str, Any]] = ()
) -> None:
    """Print an outcome, in the form asked for."""
    from compare.agreement.trace import place
    from compare.views.console import show

    if as_json:
        print(dump(outcome))
    elif quiet:
        print(outcome["verdict"])
    else:
        show(outcome, place=lambda tensor: place(tensor).stage, resumed=resumed)
