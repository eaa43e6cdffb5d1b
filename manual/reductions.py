"""What all losses share: a target in the prediction's shape, and terms that become one number, or stay as they are.

A loss is a sum over examples and outputs, divided as its `reduction` says (35):

    reduction      divided by                        where it is usual
    "sum"          1
    "mean"         N * K, the number of elements     torch.nn.MSELoss(), torch.nn.BCELoss()
                   N for losses of one label a row   torch.nn.CrossEntropyLoss(), torch.nn.NLLLoss()
    "batchmean"    N, the number of examples         the tutorial's cost, most derivations on paper
    "none"         not summed: the terms themselves  weighting examples, looking at the worst

Here, and nowhere else, the factor 1/N enters the first delta.
"""

import inspect
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from manual.checks import Array, is_floating, require_labels, require_shape

Reduction = Literal["sum", "mean", "batchmean", "none"]
REDUCTIONS: tuple[Reduction, ...] = ("sum", "mean", "batchmean", "none")
Weights = Sequence[float] | Array  # a list in a TOML file


def divisor(reduction: Reduction, shape: tuple[int, ...]) -> int:
    """Return what a sum over elements of `shape` (N first) is divided by.            (35)"""
    n, outputs = (shape or (1,))[0], shape[1:]
    match reduction:
        case "sum" | "none":
            return 1
        case "mean":
            return n * math.prod(outputs)
        case "batchmean":
            return n
    raise ValueError(f"reduction is {reduction!r}; wanted one of {', '.join(REDUCTIONS)}.")


def class_axis(prediction: Array) -> int:
    """Return the axis of the classes: the second of (N, K, d1, ...), the only one of a single example (K,)."""
    return min(1, prediction.ndim - 1)


def without_classes(prediction: Array) -> tuple[int, ...]:
    """Return the shape of the labels, one for every row of K predictions."""
    axis = class_axis(prediction)
    return prediction.shape[:axis] + prediction.shape[axis + 1 :]


def one_hot(labels: Array, like: Array) -> Array:
    """Return the targets of integer `labels`: 1 for the label's output, 0 elsewhere, of shape and dtype of `like`.

    `like` is (N, K) for labels (N,), (N, K, d1, ...) for labels (N, d1, ...), or (K,) for a single label. Raises
    ValueError for a label outside 0..K-1, or if there is not one label for every row of K.
    """
    require_shape("target", labels, without_classes(like))
    found = is_label(labels, like)
    if labels.dtype.kind not in "iu" or np.count_nonzero(found) != labels.size:  # a label is no output's
        require_labels(labels, like.shape[class_axis(like)])
    if type(like) is np.ndarray:
        return found.astype(like.dtype)
    return found * np.ones_like(like, shape=())  # of its kind: numbers that carry their errors, say


def is_label(labels: Array, like: Array) -> Array:
    """Return for every output of `like` whether it is the label's, True or False."""
    if like.ndim == 2:
        return labels[:, None] == np.arange(like.shape[1])
    axis = class_axis(like)
    return with_classes(labels, like) == np.arange(like.shape[axis]).reshape((-1,) + (1,) * (like.ndim - 1 - axis))


def with_classes(labels: Array, like: Array) -> Array:
    """Return what there is one of for every row of K, (N,), in a shape to stand beside `like` (N, K): (N, 1)."""
    axis = class_axis(like)
    return labels.reshape((*labels.shape[:axis], 1, *labels.shape[axis:]))


def require_weights(name: str, weight: Weights | None) -> Weights | None:
    """Return `weight`; raise TypeError unless it is numbers. A reduction given by position would end up here."""
    if weight is not None and np.asarray(weight).dtype.kind not in "iuf":
        raise TypeError(f"{name} is {weight!r}; wanted numbers. A reduction goes by its name: reduction='mean'.")
    return weight


def spread(tensor: str, weight: Weights | None, like: Array) -> Array | int:
    """Return elementwise weights of the dtype of `like`, in a shape that fits every element of it; 1 if there are none.

    What one axis lacks is repeated along it, as torch does with these weights alone: (K,) weighs outputs, (N, 1)
    examples. Raises ValueError where that does not give the shape of `like`.
    """
    if weight is None:
        return 1
    weights = np.asarray(weight, dtype=like.dtype)
    pairs = zip(reversed(weights.shape), reversed(like.shape), strict=False)
    if weights.ndim > like.ndim or any(own not in (1, wanted) for own, wanted in pairs):
        raise ValueError(f"{tensor} has shape {weights.shape}; wanted {like.shape}, or what can be repeated to that.")
    return weights


def class_weights(weight: Weights | None, prediction: Array) -> Array:
    """Return the weight of every class (K,), of the prediction's dtype; ones if there are none."""
    ones = np.ones_like(prediction, shape=(prediction.shape[class_axis(prediction)],))
    if weight is None:
        return ones
    weights = np.asarray(weight, dtype=prediction.dtype)
    require_shape("weight", weights, ones.shape)
    return ones * weights


class Loss:
    """A reduction, targets that may come as integer labels, and the way back from one number to every element."""

    def __init__(self, reduction: Reduction = "mean"):
        divisor(reduction, (1,))  # refuses an unknown reduction here, not at the first batch
        self.reduction: Reduction = reduction

    def targets(self, prediction: Array, target: Array) -> Array:
        """Return the target in the prediction's shape; labels (N,) become one-hot rows (N, K), integers its dtype."""
        if prediction.ndim == 2 and target.ndim == 1 and target.dtype.kind in "iu":
            return one_hot(target, like=prediction)
        require_shape("target", target, prediction.shape)
        return target if is_floating(target) else target.astype(prediction.dtype)

    def reduced(self, terms: Array, by: Any = None) -> Array:
        """Return what the `terms` of the loss come to: a number, or themselves.            (35)

        They are divided by what the reduction says, or by the number `by`: the mean of none at all is NaN, as in torch.
        """
        if self.reduction == "none":
            return terms
        with np.errstate(invalid="ignore"):  # 0 / 0
            return terms.sum() / (divisor(self.reduction, terms.shape) if by is None else by)

    def handed_down(self, grad_output: Any, slopes: Array) -> Array:
        """Return dC/d(prediction) for what arrives from above and every term's own derivative.            (180)

        From above comes one number, or, where nothing is summed, one for every term; 1 for a loss that is the last.
        """
        return self.upstream(grad_output, slopes.shape) * (slopes / divisor(self.reduction, slopes.shape))  # (180)

    def upstream(self, grad_output: Any, shape: tuple[int, ...]) -> Any:
        """Return the gradient from above, if it is a number, or of `shape` where nothing is summed; else ValueError."""
        if getattr(grad_output, "shape", ()) != ():
            require_shape("grad_output", grad_output, shape if self.reduction == "none" else ())
        return grad_output

    def __repr__(self) -> str:
        """Name the reduction, and of the other arguments those that are not the default."""
        arguments = inspect.signature(type(self)).parameters.values()
        shown = [a.name for a in arguments if a.name == "reduction" or repr(getattr(self, a.name)) != repr(a.default)]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


class LabelLoss(Loss):
    """What losses of one label an example share: a weight for every class, and a label that is passed over.

    The shapes are those of torch: predictions (N, K) with labels (N,), (N, K, d1, ...) with (N, d1, ...), and a single
    example (K,) with one label.

    With w_n the weight of example n's own class, 0 where its label is `ignore_index`, the "mean" is a weighted one:
    the sum of the w_n-fold terms is divided by sum_n w_n, which is N only without weights.            (181)
    """

    def __init__(self, weight: Weights | None = None, ignore_index: int = -100, reduction: Reduction = "mean"):
        super().__init__(reduction)
        self.weight, self.ignore_index = require_weights("weight", weight), ignore_index

    def read_labels(self, prediction: Array, target: Array) -> tuple[Array, Array, Array]:
        """Return where a label is not to be ignored, the labels with 0 where it is, and w_n, 0 there too."""
        require_shape("target", target, without_classes(prediction))
        kept = target != self.ignore_index
        labels = target if kept.all() else np.where(kept, target, 0)
        require_labels(labels, prediction.shape[class_axis(prediction)])
        if self.weight is None:
            weights = np.ones_like(prediction, shape=labels.shape)
        else:
            weights = class_weights(self.weight, prediction)[labels]
        return kept, labels, np.where(kept, weights, 0)

    def divisor_of(self, weights: Array, prediction: Array) -> Any:
        """Return what the sum of terms is divided by: sum_n w_n for the mean, N for the mean over the batch."""
        if self.reduction == "mean":
            return weights.sum()  # (181)
        return divisor(self.reduction, prediction.shape if prediction.ndim > 1 else (1,))
