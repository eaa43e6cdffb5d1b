"""What to look at next: commands that go on from an explanation, each with the reason."""

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compare.diagnosis.mistakes import CATALOGUE
from compare.experiment.streams import count_steps
from compare.explain.chain import Link
from compare.explain.rules import INPUT
from compare.explain.selection import element
from compare.language import say

if TYPE_CHECKING:
    from compare.explain.explanation import Explanation


@dataclass(frozen=True)
class Suggestion:
    """A command to go on with, and why."""

    command: str
    why: str


def onward(e: "Explanation") -> list[Suggestion]:
    """Return where to go on from an explanation: into the sum, to a later step, to another image, to a mistake."""
    experiment, moment = shlex.quote(e.source), e.moment
    last = count_steps(moment.experiment, len(moment.dataset.train_images))
    found = []
    if (bias := bias_above(e)) is not None:
        why = say("the largest term's own error: the gradient of a bias is the delta of its unit")
        found.append(Suggestion(command(experiment, bias, e), why))
    if e.gradient.manual == 0 and (stronger := strongest(e)) is not None:
        why = say("the parameter's largest gradient on this image")
        found.append(Suggestion(command(experiment, stronger, e), why))
    another = min(100, last) if moment.step < min(100, last) else 1
    later = f"{command(experiment, e.weight, e, step=False)} --step {another}"
    found.append(Suggestion(later, say("the same weight at another step of the training")))
    following = (moment.sample + 1) % len(moment.dataset.train_images)
    other = f"{command(experiment, e.weight, e, sample=False)} --sample {following}"
    found.append(Suggestion(other, say("the same weight on the next image")))
    if (mistake := mistake_on(e.links)) is not None:
        why = say("a mistake in this very chain, planted: watch it being found")
        found.append(Suggestion(f"backproof run {experiment} --steps 3 --plant {mistake}", why))
    return found


def command(experiment: str, weight: str, e: "Explanation", step: bool = True, sample: bool = True) -> str:
    """Return the command that explains a weight, at the same step and on the same image where that is asked."""
    chosen = f" --step {e.moment.step}" if step and e.moment.step > 1 else ""
    chosen += f" --sample {e.moment.sample}" if sample else ""
    return f"backproof explain {experiment} --weight '{weight}'{chosen}"


def bias_above(e: "Explanation") -> str | None:
    """Return the bias of the unit that the largest term of the first sum goes through, if it has one."""
    parameters = e.moment.manual.network.parameters
    for link in e.links[1:]:
        if link.is_sum:
            bias, term = f"{link.layer}.bias", link.terms[0]
            fits = bias in parameters and parameters[bias].ndim == 1 and link.kind == "Linear"
            return element(bias, term.index[-1:]) if fits else None
    return None


def strongest(e: "Explanation") -> str | None:
    """Return the element of the parameter with the largest gradient, if any is not 0."""
    gradient = e.moment.trace[f"{e.selection.parameter}.grad"]
    place = tuple(int(i) for i in np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape))
    return element(e.selection.parameter, place) if gradient[place] else None


def mistake_on(links: list[Link]) -> str | None:
    """Return a mistake of the catalogue that is made in the backward pass of a layer on the chain: the last such one.

    Of those that are everybody's, made with the layer's input; activations first, for they are forgotten most.
    """
    kinds = [link.kind for link in links[1:-1] if not link.is_sum] + [link.kind for link in links[1:]]
    for kind in kinds:
        for mistake in CATALOGUE.values():
            if kind in mistake.on and mistake.key == INPUT and not mistake.fitted and mistake.companion == "":
                return mistake.name
    return None
