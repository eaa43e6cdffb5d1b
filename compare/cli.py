"""The commands. Nothing heavy is imported before one runs: `--help` and wrong arguments are answered at once."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter

app = App(
    name="backproof",
    help="Proves hand-derived backpropagation against autograd, tensor by tensor, step by step.",
    help_format="markdown",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # main answers it, with the status that shells expect
)


def whole(_: Any, tokens: Any) -> int:
    """Return a whole number as it was written: 2.5 is none."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'unable to convert "{tokens[0].value}" into a whole number') from None


Whole = Annotated[int, Parameter(converter=whole)]

USAGE_ERROR, COULD_NOT_RUN, INTERRUPTED = 2, 3, 130
Json = Annotated[
    bool, Parameter(negative="", help="Print one JSON document on standard output, and nothing else there.")
]


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
    show_config: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    quiet: Annotated[bool, Parameter(negative="")] = False,
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
        print(json.dumps(outcome, indent=1))
    elif quiet:
        print(outcome["verdict"])
    else:
        show(outcome, place=lambda tensor: place(tensor).stage)


@app.command
def check(
    candidate: str,
    *,
    against: str,
    shape: list[str] | None = None,
    examples: Whole = 200,
    seed: Whole = 0,
    dtype: Literal["float64", "float32"] | None = None,
    arguments: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    indices: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    target: str | None = None,
    between: str | None = None,
    json: Json = False,
    quiet: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Hold one derivation of your own against autograd, on drawn inputs.

    Exit status: 0 agrees, 1 diverges, 2 usage, 3 nothing can be said.

    Parameters
    ----------
    candidate
        FILE.py:NAME, a class or an object with forward and backward, a loss, an optimizer, a torch.autograd.Function.
    against
        What torch calls it, torch.nn.SiLU or torch.nn.functional.silu, or FILE.py:NAME of a torch expression.
    shape
        The input's sizes, a name for any: batch,n (the default). Again for each further input; NAME=batch,n names one.
    examples
        How many inputs are drawn.
    seed
        The seed that all of them come from.
    dtype
        Only this dtype; both without it.
    arguments
        Of the constructor or the function, of both sides: negative_slope=0.2.
    indices
        Inputs of integers from 0 to this number less one; NAME=10 for one input of several.
    target
        What a loss is given: labels, like, probabilities, signs, or a shape.
    between
        The interval that inputs are drawn from: 0,1.
    quiet
        Print the verdict alone.
    """
    from compare.crosscheck.loading import load, read_indices, read_pairs, read_shapes

    found = load(candidate, "the candidate")
    reference = load(against, "--against") if ":" in against else against
    shapes, options = read_shapes(shape or ["batch,n"]), read_pairs(arguments or [], "--arguments")
    from compare.crosscheck.check import crosscheck

    result = crosscheck(
        found, reference, shapes, arguments=options, indices=read_indices(indices or []), target=target,
        between=between.split(",") if between else None, dtypes=dtype or ("float64", "float32"), examples=examples,
        seed=seed, raises=False,
    )  # fmt: skip
    if json:
        print(dump(result.to_json()))
    else:
        print(result.verdict.value if quiet else result)
    return result.exit_status


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


@app.command(name="list")
def list_known(what: Literal["experiments", "layers", "mistakes"] = "experiments", *, json: Json = False) -> int:
    """List what backproof knows: experiments, layers (with losses, optimizers, initializers), mistakes.

    Parameters
    ----------
    what
        experiments, layers or mistakes.
    """
    from compare.views.lists import known

    entries = known(what)
    if json:
        print(dump(entries))
        return 0
    from rich.console import Console
    from rich.table import Table

    for title, rows in entries.items():
        table = Table(title, "", box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(row["name"], row["about"])
        Console().print(table)
    return 0


@app.command
def selftest(
    *names: str,
    json: Json = False,
    quiet: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Plant every known mistake: caught, located, named? And let correct code pass: any false alarm?

    Exit status 1 if a mistake survives or correct code raises an alarm.

    Parameters
    ----------
    names
        Mistakes to try (see `backproof list mistakes`), without the search for false alarms; all without any.
    quiet
        Print the counts alone.
    """
    from compare.diagnosis.plant import find_mistake
    from compare.selftest import self_test
    from compare.views.selftest import show_selftest

    mistakes = [find_mistake(name) for name in names] or None
    shown = progress_line(quiet or json)
    result = self_test(mistakes, alarms=mistakes is None, progress=shown)
    shown("")
    if json:
        print(dump(result.to_json()))
    else:
        show_selftest(result.to_json(), quiet)
    return result.exit_status


def progress_line(quiet: bool) -> Callable[[str], None]:
    """Return a function that shows what is being done, on one line of standard error, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        return lambda _: None
    return lambda text: print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)


EXPORTED_STEPS = 10  # of an export, where nothing is said: enough to see a mistake in an update


@app.command
def export(
    experiment: str,
    folder: Path | None = None,
    *,
    steps: Whole = EXPORTED_STEPS,
    seed: Whole | None = None,
    dtype: Literal["float64", "float32"] | None = None,
    lr: float | None = None,
    batch_size: Whole | None = None,
    config: Path | None = None,
    threads: Whole | None = None,
    json: Json = False,
) -> int:
    """Write an experiment for a program in any language: architecture, initial weights, batches, and FORM.md.

    `backproof export DIR` exports article. The program writes its trace into DIR/trace; then `backproof verify DIR`.

    Parameters
    ----------
    experiment
        A preset's name (see `backproof list`) or a TOML file; may be left out.
    folder
        The folder to write: a new or an empty one.
    steps
        How many steps to export.
    seed
        The one seed that everything random comes from.
    dtype
        The arithmetic of both sides.
    lr
        The learning rate.
    batch_size
        Examples a step.
    config
        A TOML file whose keys are laid over the experiment's.
    threads
        Threads of the verification's reference.
    """
    from compare.experiment.files import changes_of, preset_names, read_experiment

    if folder is None:
        if experiment in preset_names():
            return refuse(f"export needs a folder to write: backproof export {experiment} DIR")
        experiment, folder = preset_names()[0], Path(experiment)
    resolved = read_experiment(
        experiment,
        changes_of(steps=steps, seed=seed, dtype=dtype, lr=lr, batch_size=batch_size, threads=threads),
        config,
    )
    from compare.exchange.export import export as write
    from compare.views.exchange import show_export

    written = write(resolved, folder)
    if json:
        print(dump({"folder": str(written), "experiment": resolved.name, "steps": resolved.training.steps}))
    else:
        show_export(written, resolved.name, resolved.training.steps)
    return 0


@app.command
def verify(folder: Path, *, json: Json = False, quiet: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Hold the trace that a program has written into an export against autograd, step by step.

    Exit status: 0 agreement, 1 divergence, 2 usage, 3 inconclusive, nothing to compare or unreadable.

    Parameters
    ----------
    folder
        The folder written by `backproof export`, with the program's trace in it.
    quiet
        Print the verdict alone.
    """
    from compare.exchange.verify import verify as hold

    verified = hold(folder)
    if json:
        print(dump(verified.to_json()))
    elif quiet:
        print(verified.verdict)
    else:
        from compare.views.exchange import show_verified

        show_verified(verified.to_json())
    return verified.exit_status


@app.command
def bench(
    *names: Literal["step", "lockstep", "layers", "startup", "memory"],
    quick: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Measure speed and memory against what one would use instead: interleaved, one thread each, medians, ratios.

    Parameters
    ----------
    names
        step, lockstep, layers, startup, memory; all without any.
    quick
        Fewer rounds: a first impression, noisier.
    """
    from compare.benchmark import run_benchmarks, show

    results = run_benchmarks(list(names) or None, quick)
    if json:
        print(dump(results))
    else:
        show(results)
    return 0


def dump(value: Any) -> str:
    """Return a value as JSON text."""
    return json.dumps(value, indent=1)


def main() -> None:
    """Run the command line; every error of the user's is one message and an exit status."""
    try:
        status = app(exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as wrong:
        fail(str(wrong), USAGE_ERROR)
    except KeyboardInterrupt:
        fail("Interrupted.", INTERRUPTED)
    except BrokenPipeError:  # the reader of standard output went away: `backproof list | head -1`
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        status = expected(error)
        if status is None:
            raise
        fail(str(error), status)
    sys.exit(status or 0)


def expected(error: Exception) -> int | None:
    """Return the exit status of an error that speaks to the user, None for one of ours."""
    from compare.experiment.datasets import DataError
    from compare.experiment.description import DescriptionError

    if isinstance(error, DescriptionError):
        return USAGE_ERROR
    if isinstance(error, DataError):
        return COULD_NOT_RUN
    from compare.exchange.files import ExchangeError
    from compare.records.record import RecordError

    return COULD_NOT_RUN if isinstance(error, RecordError | ExchangeError) else None


def refuse(message: str) -> int:
    """Print a message about the command line on standard error; return the status of a usage error."""
    print(f"backproof: {message}", file=sys.stderr)
    return USAGE_ERROR


def fail(message: str, status: int) -> NoReturn:
    """Print a message on standard error and leave with a status."""
    print(f"backproof: {message}", file=sys.stderr)
    sys.exit(status)
