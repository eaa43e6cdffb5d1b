"""What both trained networks make of the test images: accuracy, confusion, and where their predictions differ."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.experiment.batches import FLAT, classes_of, take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Data

EVALUATION_BATCH = 1000  # test images at a time, so that memory stays flat


@dataclass(frozen=True)
class Metrics:
    """Scores on the test images, of the manual network and of the reference."""

    accuracy_manual: float
    accuracy_reference: float
    disagreements: list[int]  # the test images that the two classify differently
    answers: list[list[int]]  # of each of these what manual and the reference take it for
    mcnemar_p: float
    confusion_manual: list[list[int]]  # row: true class, column: predicted
    confusion_reference: list[list[int]]
    report_manual: dict[str, Any]  # per class: precision, recall, f1-score, support
    report_reference: dict[str, Any]


def predict(network: Any, dataset: Dataset, dtype: str, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted and the true class of every test image, or of every token of their sequences."""
    starts = range(0, len(dataset.test_images), EVALUATION_BATCH)
    rows = [slice(start, start + EVALUATION_BATCH) for start in starts]
    batches = [take_batch(dataset.test_images, dataset.test_labels, r, dtype, data) for r in rows]
    predicted = [network.predict(x).argmax(axis=1) for x, _ in batches]
    return np.concatenate(predicted), np.concatenate([target for _, target in batches])


@dataclass(frozen=True)
class Scores:
    """What one network's predictions are worth."""

    accuracy: float
    confusion: list[list[int]]
    report: dict[str, Any]


def scores(truth: np.ndarray, predicted: np.ndarray, names: tuple[str, ...]) -> Scores:
    """Return accuracy, confusion matrix and scikit-learn's report of predicted classes."""
    from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

    classes = list(range(len(names)))
    options: dict[str, Any] = {"labels": classes, "target_names": names, "output_dict": True, "zero_division": 0}
    report: Any = classification_report(truth, predicted, **options)
    confusion = confusion_matrix(truth, predicted, labels=classes).tolist()
    return Scores(float(accuracy_score(truth, predicted)), confusion, report)


def evaluate(manual: Any, reference: Any, dataset: Dataset, dtype: str, data: Data = FLAT) -> Metrics:
    """Return the scores of both networks.

    scikit-learn and SciPy are imported for this and not before: their second BLAS pool slows training beside it.
    """
    from scipy.stats import binomtest

    names = classes_of(data, dataset)
    m, truth = predict(manual, dataset, dtype, data)
    r, _ = predict(reference, dataset, dtype, data)
    mine = scores(truth, m, names)
    theirs = mine if np.array_equal(m, r) else scores(truth, r, names)

    # McNemar's exact test: of the images that just one of the two gets right, is either side's share above a half?
    manual_only, reference_only = int(((m == truth) & (r != truth)).sum()), int(((m != truth) & (r == truth)).sum())
    either = manual_only + reference_only
    p = float(binomtest(manual_only, either).pvalue) if either else 1.0
    return Metrics(
        mine.accuracy, theirs.accuracy, [int(i) for i in np.flatnonzero(m != r)],
        [[int(m[i]), int(r[i])] for i in np.flatnonzero(m != r)], p,
        mine.confusion, theirs.confusion, mine.report, theirs.report,
    )  # fmt: skip
