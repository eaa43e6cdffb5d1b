"""The catalogue of mistakes, ordered as a step goes: batch, forward, loss, backward, update, and the whole network."""

from importlib import import_module

from compare.diagnosis.mistakes.catalogue import CATALOGUE, Mistake

ROOMS = (
    "batch", "linear", "activations", "smooth", "structure", "convolution", "pooling", "normalization", "recurrent",
    "gated", "attention", "losses", "label_losses", "margins", "elementwise_losses", "updates", "adaptive", "adam",
    "training", "network", "precision",
)  # fmt: skip
for room in ROOMS:
    import_module(f"{__name__}.{room}")  # importing a room declares its mistakes

__all__ = ["CATALOGUE", "Mistake"]
