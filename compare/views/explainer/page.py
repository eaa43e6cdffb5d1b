"""The page: the training recorded, its numbers, formulas and words put into one file that asks for nothing outside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment
from compare.experiment.examples import load_examples
from compare.experiment.networks import check_data, parameter_shapes
from compare.experiment.streams import count_steps
from compare.explain.course import Course, record_course
from compare.explain.moment import chosen_sample, require_step
from compare.language import language
from compare.views.explainer.numbers import LIMIT, course_data, steps_that_fit
from compare.views.explainer.subject import ExplainerError, Subject, first_choice, subject_of
from compare.views.explainer.words import page_words, script_words
from compare.views.pages import ours, part, policy, templates, write

SCRIPTS = (  # each names one thing, which those after it may use
    "numbers", "network", "mistakes", "tensors", "scene", "chain", "symbols", "layout", "picture", "drawing",
    "panels", "page",
)  # fmt: skip
ROOM = "compare.views.explainer"
INSTALL = "pip install 'backproof[report]'"


def write_explainer(
    experiment: Experiment,
    file: Path,
    *,
    steps: Sequence[int] | None = None,
    step: int = 1,
    sample: int | None = None,
    weight: str | None = None,
) -> Path:
    """Write one HTML file that explains the experiment's backpropagation on one image, and return it.

    `steps`, from 1, are those whose weights can be looked at, by default as many of 1, 2, 3, 10, 30, ... as there is
    room for, and `step`, with which the page begins; `sample` is the image's place among the training images, without
    it that of the first zero; `weight` is what is shown first: see `explain`. The file needs no network, no server and
    no other file.

    Raises ExplainerError where the network has no such page, the page would be too large or cannot be written, or a
    library of the extra `report` is missing; CourseError for a step that is not there; DescriptionError for an image or
    a weight that is not there; and with DataError as `compare.run` does.
    """
    return write(html(experiment, steps, step, sample, weight), file, "page", ExplainerError)


def html(experiment: Experiment, steps: Sequence[int] | None, step: int, sample: int | None, weight: str | None) -> str:
    """Return the page. Raises as write_explainer does."""
    dataset = load_examples(experiment.data)
    subject = subject_of(experiment, dataset)
    check_data(experiment, dataset)
    template = page_template()
    sample = chosen_sample(sample, dataset)
    if steps is None:
        require_step(experiment, len(dataset.train_images), step)
        steps = with_step(usual_steps(experiment, dataset, sample), step)
    course = record_course(experiment, dataset, steps, sample)
    page = template.render(**contents(subject, course, weight, step))
    if (size := len(page.encode())) >= LIMIT:
        raise ExplainerError(
            f"The page would have {size / 1e6:.2f} MB with the weights of {len(course.instants)} steps; wanted less "
            f"than {LIMIT / 1e6:.0f} MB. Ask for fewer steps."
        )
    return page


def usual_steps(experiment: Experiment, dataset: Dataset, sample: int) -> list[int]:
    """Return the steps that a page shows if none are asked for."""
    ink = int(np.count_nonzero(dataset.train_images[sample]))
    shapes = list(parameter_shapes(experiment).values())
    return steps_that_fit(shapes, ink, count_steps(experiment, len(dataset.train_images)))


def with_step(steps: Sequence[int], wanted: int) -> list[int]:
    """Return as many steps, `wanted` among them: in the place of the nearest, but the first stays where it can."""
    if wanted in steps:
        return list(steps)
    replaced = min(steps[1:] or steps, key=lambda step: abs(step - wanted))
    return sorted([*(step for step in steps if step != replaced), wanted])


def page_template() -> Any:
    """Return the page's template. Raises ExplainerError where a library is missing."""
    try:
        import jinja2  # noqa: F401 - whether they are there
        from latex2mathml import converter  # noqa: F401
    except ImportError as missing:
        raise ExplainerError(f"The page needs {missing.name}, which is not installed: {INSTALL}") from None
    return templates(ROOM).get_template("page.html")


def contents(subject: Subject, course: Course, weight: str | None, step: int) -> dict[str, Any]:
    """Return what is put into the template."""
    from compare.views.explainer.equations import equations

    scripts = [part(ROOM, f"{name}.js") for name in SCRIPTS]
    count = sum(array.size for array in course.instants[0].parameters.values())
    sizes = [subject.linears[0]["inputs"], *(layer["outputs"] for layer in subject.linears)]
    linears = []
    for position, layer in enumerate(subject.linears):
        made = {name: (e.number, ours(e.mathml)) for name, e in equations(subject, position).items()}
        linears.append({"name": layer["name"], "equations": made, "activation": subject.activations[position]})
    return {
        "language": language(),
        "words": page_words(name=course.experiment.name, layers="-".join(map(str, sizes)), weights=count),
        "linears": linears,
        "plain": subject.plain,
        "policy": policy(scripts),
        "style": ours(part(ROOM, "page.css")),
        "scripts": [ours(text) for text in scripts],
        "data": {
            "network": {
                "layers": subject.layers, "loss": subject.loss, "lr": subject.lr, "classes": subject.classes,
                "divisor": course.experiment.data.divisor,
            },
            "course": course_data(course),
            "words": script_words(),
            "first": first_choice(course, weight, step),
        },
    }  # fmt: skip
