"""The catalogue of mistakes, ordered as a step goes: batch, forward, loss, backward, update, and the whole network."""

from compare.diagnosis.mistakes import (  # noqa: F401 - importing a room declares its mistakes
    activations,
    batch,
    linear,
    losses,
    network,
    precision,
    updates,
)
from compare.diagnosis.mistakes.catalogue import CATALOGUE, Mistake

__all__ = ["CATALOGUE", "Mistake"]
