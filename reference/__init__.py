"""The same networks in PyTorch, differentiated by autograd, written as anyone would write them."""

from reference.distributed import (
    DistributedError,
    DistributedNetwork,
    DistributedOptimizer,
    ShardLoss,
    mixing_layer,
    shards,
)
from reference.losses import BatchMean, SquaredError, build_loss
from reference.network import Network, build_layer
from reference.operation import LayerOracle, LossOracle, clip, rate, update
from reference.optimizers import Optimizer

__all__ = [
    "BatchMean",
    "DistributedError",
    "DistributedNetwork",
    "DistributedOptimizer",
    "LayerOracle",
    "LossOracle",
    "Network",
    "Optimizer",
    "ShardLoss",
    "SquaredError",
    "build_layer",
    "build_loss",
    "clip",
    "mixing_layer",
    "rate",
    "shards",
    "update",
]
