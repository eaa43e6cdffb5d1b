"""The same networks in PyTorch, differentiated by autograd, written as anyone would write them."""

from reference.losses import BatchMean, SquaredError, build_loss
from reference.network import Network, build_layer
from reference.operation import LayerOracle, LossOracle, clip, rate, update
from reference.optimizers import Optimizer

__all__ = [
    "BatchMean",
    "LayerOracle",
    "LossOracle",
    "Network",
    "Optimizer",
    "SquaredError",
    "build_layer",
    "build_loss",
    "clip",
    "rate",
    "update",
]
