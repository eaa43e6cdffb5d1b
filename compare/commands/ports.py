"""An implementation in any language, through files."""

from pathlib import Path
from typing import Literal

from compare.commands.app import Json, Quiet, Whole, app, dump, refuse

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
def verify(folder: Path, *, json: Json = False, quiet: Quiet = False) -> int:
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
