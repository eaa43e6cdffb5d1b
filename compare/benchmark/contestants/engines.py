"""Smaller automatic differentiation engines, of which one learns or used to: HIPS autograd, tinygrad, micrograd."""

import math
import sys
from typing import Any

import numpy as np

from compare.benchmark.contestants.contestant import Contestant, NotMeasured, Weights, engine
from compare.benchmark.networks import initial
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment


def by_autograd(experiment: Experiment, dataset: Dataset) -> Contestant:
    """Return HIPS autograd's training step: NumPy, differentiated by tracing. Raises NotMeasured."""
    anp, value_and_grad = engine("autograd.numpy"), engine("autograd").value_and_grad
    dtype, lr = experiment.training.dtype, experiment.optimizer.lr
    weights = list(initial(experiment).values())
    one_hot = np.eye(10, dtype=dtype)

    def cost(weights: Any, x: np.ndarray, target: np.ndarray) -> Any:
        for weight, bias in zip(weights[::2], weights[1::2], strict=True):
            x = 1 / (1 + anp.exp(-(anp.dot(x, weight.T) + bias)))
        return anp.sum((x - target) ** 2) / (2 * len(x))

    gradient = value_and_grad(cost)

    def step(rows: np.ndarray) -> float:
        x, label = take_batch(dataset.train_images, dataset.train_labels, rows, dtype)
        loss, gradients = gradient(weights, x, one_hot[label])
        for weight, slope in zip(weights, gradients, strict=True):
            weight -= np.asarray(lr * slope, dtype)
        return loss

    return Contestant(step, lambda: weights)


def by_tinygrad(experiment: Experiment, dataset: Dataset) -> Contestant:
    """Return tinygrad's training step, under its TinyJit. Raises NotMeasured."""
    tinygrad = engine("tinygrad")
    Tensor, dtypes = tinygrad.Tensor, tinygrad.dtypes
    try:
        _ = tinygrad.Device.DEFAULT
    except RuntimeError as reason:
        raise NotMeasured(f"tinygrad says: {reason} (its CPU device needs clang or LLVM)") from None
    dtype, lr = getattr(dtypes, experiment.training.dtype), experiment.optimizer.lr
    images = Tensor(dataset.train_images.reshape(len(dataset.train_images), -1)).realize()
    one_hot = Tensor(np.eye(10, dtype=experiment.training.dtype)[dataset.train_labels]).realize()
    weights = [Tensor(array).contiguous().realize() for array in initial(experiment).values()]

    @tinygrad.TinyJit
    def update(rows: Any) -> Any:
        x = images[rows].cast(dtype) / 255
        for weight, bias in zip(weights[::2], weights[1::2], strict=True):
            x = (x @ weight.T + bias).sigmoid()
        loss = ((x - one_hot[rows]) ** 2).sum() / (2 * rows.shape[0])
        gradients = loss.gradient(*weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign(weight - lr * gradient)
        return loss.realize(*weights)

    def step(rows: np.ndarray) -> Any:
        return update(Tensor(rows.astype(np.int32)).realize())

    return Contestant(step, lambda: [w.numpy() for w in weights])


def by_micrograd(experiment: Experiment, dataset: Dataset) -> Contestant:
    """Return micrograd's training step: every number an object; Python's floats. Raises NotMeasured.

    It has no sigmoid; one is added as its own operations are written. Its `backward` recurses as deep as the longest
    chain of additions.
    """
    Value = engine("micrograd.engine").Value
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 100_000))
    start, lr = list(initial(experiment).values()), experiment.optimizer.lr
    values = [[Value(float(number)) for number in array.flat] for array in start]

    def sigmoid(z: Any) -> Any:
        out = Value(1 / (1 + math.exp(-z.data)), (z,), "sigmoid")

        def backward() -> None:
            z.grad += out.data * (1 - out.data) * out.grad

        out._backward = backward
        return out

    def squares(x: list[Any], label: int) -> Any:
        for weight, bias in zip(values[::2], values[1::2], strict=True):
            width = len(x)
            rows = (weight[j * width : (j + 1) * width] for j in range(len(bias)))
            x = [sigmoid(sum((w * v for w, v in zip(r, x, strict=True)), b)) for r, b in zip(rows, bias, strict=True)]
        return sum((a - float(k == label)) ** 2 for k, a in enumerate(x))

    def step(rows: np.ndarray) -> float:
        x, labels = take_batch(dataset.train_images, dataset.train_labels, rows, "float64")
        total: Any = sum(squares(one.tolist(), int(label)) for one, label in zip(x, labels, strict=True))
        loss = total / (2 * len(rows))
        for value in (value for group in values for value in group):
            value.grad = 0
        loss.backward()
        for value in (value for group in values for value in group):
            value.data -= lr * value.grad
        return loss.data

    def weights() -> Weights:
        shapes = [array.shape for array in start]
        return [np.array([v.data for v in group]).reshape(s) for group, s in zip(values, shapes, strict=True)]

    return Contestant(step, weights)
