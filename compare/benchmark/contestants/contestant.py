"""What a contestant is: a training step from the rows of a batch to updated weights."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

Weights = list[np.ndarray]  # in manual's order and shapes: weight, bias of each layer


def nothing() -> None:
    """Wait for nothing: the step is done when it returns."""


@dataclass(frozen=True)
class Contestant:
    """A network in training. `finish` waits for what is still being computed, at the end of a round."""

    step: Callable[[np.ndarray], Any]  # from the rows of a batch to its loss, where one is computed
    weights: Callable[[], Weights]
    finish: Callable[[], object] = nothing


class NotMeasured(Exception):
    """A contestant that cannot run here; its message says why."""


def engine(module: str) -> Any:
    """Return a module of an engine that need not be installed. Raises NotMeasured where it is not."""
    try:
        return import_module(module)
    except ImportError:
        raise NotMeasured(f"{module.partition('.')[0]} is not installed") from None
