"""The reference as PyTorch trains it on several processes: DistributedDataParallel on shards of each batch.

shards     which rows a rank is given, and the loss of a shard that makes the averaged gradient that of the whole batch
rank       one of the processes: the network inside DistributedDataParallel, and its optimizer
group      the processes, as the one that started them sees them
network    the network and the optimizer that stand for all ranks, with the interface of `reference.Network`
apart      whether a network may be given a batch in shards at all
"""

from reference.distributed.apart import mixing_layer
from reference.distributed.group import DistributedError, Group, group_of
from reference.distributed.network import DistributedNetwork
from reference.distributed.optimizer import DistributedOptimizer
from reference.distributed.shards import ShardLoss, shards

__all__ = [
    "DistributedError",
    "DistributedNetwork",
    "DistributedOptimizer",
    "Group",
    "ShardLoss",
    "group_of",
    "mixing_layer",
    "shards",
]
