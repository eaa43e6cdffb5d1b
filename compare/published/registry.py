"""The reproductions by name. Nothing heavy is imported before one is made."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from compare.experiment.classes import DescriptionError, nearest

if TYPE_CHECKING:
    from compare.published.reproduction import Reproduction
    from compare.published.runs import Runs


@dataclass(frozen=True)
class Recipe:
    """A reproduction that can be made: what it is, and where its function is, "file:function" in this room."""

    about: str
    home: str

    def load(self) -> "Callable[[Runs], Reproduction]":
        """Return the function that makes the reproduction."""
        module, _, function = self.home.partition(":")
        return getattr(import_module(f"compare.published.{module}"), function)

    def make(self, runs: "Runs") -> "Reproduction":
        """Return the reproduction; one without figures, which is not met, where a run of it broke off."""
        from compare.published.reproduction import Reproduction
        from compare.published.runs import BrokenOff

        try:
            return self.load()(runs)
        except BrokenOff:
            return Reproduction(runs.name, self.about, (), (), (), tuple(runs.made))


REGISTRY: dict[str, Recipe] = {
    "mazur-2-2-2": Recipe("A step by step example, 2-2-2: cost, gradients, new weights.", "mazur:two_two_two"),
    "cs231n-toy": Recipe("A two-layer toy network, 4-10-3: losses and gradients.", "cs231n:toy"),
    "cs231n-adam": Recipe("One step of Adam from a state given: new weights.", "cs231n:adam"),
    "article": Recipe(
        "The tutorial's two-layer set-up, three seeds: no published figure exists; both sides' accuracies.",
        "article:two_layers",
    ),
    "article-one-layer": Recipe(
        "The tutorial's one-layer set-up, three seeds: no published figure exists; and why some outputs never learn.",
        "article:one_layer",
    ),
    "hw0-softmax": Recipe("Softmax regression, 784-10: losses and errors of ten epochs.", "hw0:softmax"),
    "hw0-two-layers": Recipe("784-100-10 and 784-400-10, ReLU: norms, losses and errors.", "hw0:two_layers"),
    "nielsen-initialization": Recipe(
        "784-30-10, cross-entropy, from small and from large weights: counts of 30 epochs each, some ten minutes.",
        "nielsen:weight_initialization",
    ),
    "nielsen-chapter-1": Recipe(
        "784-30-10, quadratic cost: the best of three seeds, and what a stuck output unit costs, half an hour.",
        "quadratic:chapter_1",
    ),
}


def find_recipes(names: tuple[str, ...]) -> dict[str, Recipe]:
    """Return the reproductions of these names, all without any. Raises DescriptionError, with the nearest name."""
    for name in names:
        if name not in REGISTRY:
            raise DescriptionError(
                f"There is no reproduction {name!r}.{nearest(name, REGISTRY)} See `backproof reproduce --list`."
            )
    return {name: REGISTRY[name] for name in names or REGISTRY}
