"""What accuracy makes of a planted mistake: measured, and shown as the table of manual/derivation/confusions.md.

A command of its own, beside `figures`: it trains for some minutes, and needs nothing to draw with.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from compare.commands.app import Json, Lang, Quiet, app, dump, progress_line

SEEDS, EARLY = (1, 2, 3), 300  # EARLY: the step of a first accuracy, soon enough to be measured again by a test


@app.command
def confusions(
    file: Path = Path("results/confusions.json"),
    *,
    markdown: Annotated[bool, Parameter(negative="")] = False,
    lang: Lang = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train `article` with each of the classic confusions planted, to the end, and measure what accuracy makes of it.

    Exit status: 0 measured, 2 usage, 3 the file cannot be written or read.

    Parameters
    ----------
    file
        Where the accuracies are written.
    markdown
        Measure nothing: print the table of the file as manual/derivation/confusions.md has it.
    quiet
        Do not tell which training is under way.
    """
    from compare.language import use_language
    from compare.views.confusions import read, table, write

    use_language(lang)
    if markdown:
        print(table(read(file)), end="")
        return 0
    content = measured(quiet or json)
    write(content, file)
    print(dump(content) if json else table(content), end="\n" if json else "")
    return 0


def measured(quiet: bool) -> dict:
    """Return the accuracies, measured now."""
    from compare.experiment import datasets
    from compare.experiment.files import read_experiment
    from compare.experiment.streams import count_steps
    from compare.lockstep.run import threads
    from compare.records.environment import environment
    from compare.selftest.accuracy import measure
    from compare.views.confusions import document

    experiment, dataset, shown = read_experiment("article"), datasets.load(), progress_line(quiet)
    after = EARLY, count_steps(experiment, len(dataset.train_images))
    with threads(1):
        around = environment()
    content = document(experiment.name, after, measure(experiment, dataset, SEEDS, after, shown), around)
    shown("")
    return content
