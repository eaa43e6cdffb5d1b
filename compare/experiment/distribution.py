"""The reference on several processes (`training.world_size`): what can be given to them in shards, and what cannot."""

from typing import TYPE_CHECKING

import numpy as np

from compare.experiment.classes import DescriptionError

if TYPE_CHECKING:
    from compare.experiment.description import Experiment

OVER_BATCH = ("BatchNorm1d", "BatchNorm2d")
ALONE = "Set training.world_size to 1"


def check_shards(experiment: "Experiment") -> None:
    """Raise DescriptionError for an experiment whose batches cannot be cut into shards, as far as it tells itself."""
    training = experiment.training
    if training.world_size == 1:
        return
    if training.world_size > training.batch_size:
        raise DescriptionError(
            f"training.world_size is {training.world_size}; wanted at most training.batch_size, "
            f"{training.batch_size}: at least one example for each process."
        )
    if training.device != "cpu":
        raise DescriptionError(
            f"training.device is {training.device!r}; wanted 'cpu' with a training.world_size of "
            f"{training.world_size}: its processes average by gloo. {ALONE}, or the device to 'cpu'."
        )
    for name, layer in experiment.leaves():
        if layer.kind in OVER_BATCH:
            raise DescriptionError(
                f"layer {name}: with a training.world_size of {training.world_size} each process would take the mean "
                f"and the variance of its own shard, and {layer.kind} wants those of the whole batch; torch's "
                f"SyncBatchNorm needs GPUs. {ALONE}, or normalise each example by itself (LayerNorm, GroupNorm, "
                "RMSNorm)."
            )
    weight = np.asarray(experiment.loss.arguments.get("weight", 1.0))
    if experiment.loss.kind == "BCELoss" and weight.ndim > 1 and len(weight) > 1:
        raise DescriptionError(
            f"loss.weight has a weight for each of {len(weight)} examples of a batch; wanted weights of outputs alone "
            f"with a training.world_size of {training.world_size}: a shard does not hold them all. {ALONE}."
        )
