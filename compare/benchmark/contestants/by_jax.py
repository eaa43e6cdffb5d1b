"""JAX: one jitted function from the rows of a batch to the updated weights, which are donated.

The pixels stay with it, as an argument: a constant of that size would be folded into the program.
"""

import os
from typing import Any

import numpy as np

from compare.benchmark.contestants.contestant import Contestant, NotMeasured, engine
from compare.benchmark.networks import initial
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def by_jax(experiment: Experiment, dataset: Dataset) -> Contestant:
    """Return JAX's training step. Raises NotMeasured where JAX is not installed."""
    os.environ.setdefault("XLA_FLAGS", ONE_THREAD)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    jax, jnp = engine("jax"), engine("jax.numpy")
    jax.config.update("jax_enable_x64", True)
    dtype, lr = experiment.training.dtype, experiment.optimizer.lr
    images, labels = jnp.asarray(dataset.train_images), jnp.asarray(dataset.train_labels)
    images = images.reshape(len(images), -1) if experiment.data.form == "flat" else images[:, None]
    one_hot = jnp.eye(10, dtype=dtype)

    def cost(weights: list[Any], x: Any, label: Any) -> Any:
        output = forward(jax, experiment, weights, x)
        if experiment.loss.kind == "CrossEntropyLoss":
            return -jnp.take_along_axis(jax.nn.log_softmax(output), label[:, None], axis=1).mean()
        return ((output - one_hot[label]) ** 2).sum() / (2 * len(x))

    def update(weights: list[Any], images: Any, labels: Any, rows: Any) -> tuple[list[Any], Any]:
        x = images[rows].astype(dtype) / 255
        loss, gradients = jax.value_and_grad(cost)(weights, x, labels[rows])
        return [w - lr * g for w, g in zip(weights, gradients, strict=True)], loss

    jitted = jax.jit(update, donate_argnums=0)
    state: dict[str, Any] = {"weights": [jnp.array(array) for array in initial(experiment).values()]}

    def step(rows: np.ndarray) -> Any:
        state["weights"], loss = jitted(state["weights"], images, labels, rows)
        return loss

    finish = lambda: jax.block_until_ready(state["weights"])  # noqa: E731 - what was dispatched is still running
    return Contestant(step, lambda: [np.array(w) for w in state["weights"]], finish)


def forward(jax: Any, experiment: Experiment, weights: list[Any], x: Any) -> Any:
    """Return the network's output, layer by layer as it is described."""
    left = iter(weights)
    for layer in experiment.layers:
        match layer.kind:
            case "Linear":
                x = x @ next(left).T + next(left)
            case "Sigmoid":
                x = jax.nn.sigmoid(x)
            case "ReLU":
                x = jax.nn.relu(x)
            case "Flatten":
                x = x.reshape(len(x), -1)
            case "Conv2d":
                pad = layer.arguments.get("padding", 0)
                x = (
                    jax.lax.conv(x, next(left), (1, 1), [(pad, pad)] * 2)
                    if not pad
                    else jax.lax.conv_general_dilated(x, next(left), (1, 1), [(pad, pad)] * 2)
                )
                x = x + next(left)[:, None, None]
            case "MaxPool2d":
                side = layer.arguments["kernel_size"]
                window = (1, 1, side, side)
                x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")
            case kind:
                raise NotMeasured(f"{kind} is not written in JAX here")
    return x
