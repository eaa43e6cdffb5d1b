"""One weight through the chain rule, with the numbers of a real image."""

from pathlib import Path
from typing import Any

from compare.commands.app import Json, Lang, Whole, app, dump, refuse
from compare.language import say


@app.command
def explain(
    experiment: str = "article",
    *,
    weight: str | None = None,
    step: Whole = 1,
    sample: Whole | None = None,
    html: Path | None = None,
    lang: Lang = None,
    json: Json = False,
) -> int:
    """Take one weight through the chain rule, with the numbers of a real image, and three witnesses of its gradient.

    Exit status: 0 explained, 2 usage, 3 could not be computed, or the page cannot be written.

    Parameters
    ----------
    experiment
        A preset's name (see `backproof list`) or a TOML file.
    weight
        linear1.weight[12,350], linear1.weight[12,:], linear2.bias; of several the one with the largest gradient.
    step
        The weights are those before this step of the training.
    sample
        Which training image, from 0; by default the first zero.
    html
        Write a page to explore the whole network in, one file that needs no network.
    """
    from compare.experiment.files import read_experiment
    from compare.language import use_language

    use_language(lang)
    if html is not None and json:
        return refuse("--html writes a page, --json prints data: give one of them.")
    described = read_experiment(experiment)
    if html is not None:
        return write_page(described, html, weight, step, sample)
    from compare.explain.explanation import explain as explained

    explanation = explained(described, weight=weight, step=step, sample=sample, source=experiment)
    if json:
        print(dump(explanation.to_json()))
        return 0
    from compare.views.explain import show_explanation

    show_explanation(explanation)
    return 0


def write_page(experiment: Any, file: Path, weight: str | None, step: int, sample: int | None) -> int:
    """Write the page to explore in, and say where it is. A `step` beyond the first is among those recorded."""
    from compare.views.explainer import write_explainer

    write_explainer(experiment, file, step=step, sample=sample, weight=weight)
    print(say("explainer: {file}", file=file))
    return 0
