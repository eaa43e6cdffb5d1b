"""Running an experiment, and showing a recorded run again."""

import signal
import sys
from collections.abc import Callable
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
    threads: Whole | None = None,
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
    threads
        Threads of NumPy's BLAS and of torch, each. Two pools on few cores slow each other down.
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

    resolved = read_experiment(
        experiment,
        changes_of(
            steps=steps, epochs=epochs, seed=seed, dtype=dtype, lr=lr, batch_size=batch_size, mode=mode,
            dataset=dataset, data_root=data_root, download=download or None, threads=threads, device=device,
            world_size=world_size,
        ),
        config,
    )  # fmt: skip
    if show_config:
        print(to_toml(resolved), end="")
        return 0
    outcome = run_with_bar(resolved, out, plant, quiet or json)
    show_outcome(outcome.to_json(), json, quiet)
    return outcome.exit_status


def run_with_bar(experiment: Any, out: Path, plant: str | None, quiet: bool) -> Any:
    """Run an experiment with a bar on standard error; the first Ctrl-C ends it after the step, the second at once."""
    from compare.proof import run as prove
    from compare.views.console import Bar

    bar = Bar(quiet)
    with after_the_step() as asked_to_stop:
        try:
            return prove(
                experiment,
                out=out,
                plant=plant,
                begin=lambda loop: bar.begin(loop.steps),
                watchers=[lambda step: bar.advance(step.number)],
                stop=asked_to_stop,
            )
        finally:
            bar.end()


class after_the_step:  # noqa: N801 - a context manager, named like a verb
    """While it lasts, the first Ctrl-C is only noted, so that a step can end; the second interrupts."""

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        self.before = signal.signal(signal.SIGINT, self.note)
        return lambda: self.asked

    def note(self, number: int, frame: Any) -> None:
        """Note the first; let the next one through."""
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("Interrupted: the record is being closed. Ctrl-C again to stop at once.", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.before)


def show_outcome(outcome: dict[str, Any], as_json: bool, quiet: bool = False) -> None:
    """Print an outcome, in the form asked for."""
    from compare.agreement.trace import place
    from compare.views.console import show

    if as_json:
        print(dump(outcome))
    elif quiet:
        print(outcome["verdict"])
    else:
        show(outcome, place=lambda tensor: place(tensor).stage)


@app.command
def report(record: Path, *, json: Json = False, markdown: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Show a recorded run again.

    Parameters
    ----------
    record
        The record's folder.
    markdown
        Print the tables of README.md and results/README.md.
    """
    from compare.records.record import read_record

    content = read_record(record)
    if markdown:
        from compare.views.tables import record_table

        print(record_table(record, content), end="")
    else:
        show_outcome(content["metrics"]["outcome"], json)
    return 0
