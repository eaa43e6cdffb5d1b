"""The examples of an experiment: which of its data set train, and which the trained networks are scored on."""

from dataclasses import replace
from pathlib import Path

from compare.experiment import datasets
from compare.experiment.classes import DescriptionError
from compare.experiment.datasets import Dataset
from compare.experiment.description import Data


def load_examples(data: Data) -> Dataset:
    """Return what the section [data] describes, as a data set: its training images train, its test images score.

    Raises DescriptionError where it has not so many examples, DataError for data that cannot be had.
    """
    whole = datasets.load(data.dataset, Path(data.data_root) if data.data_root else None, data.download)
    return chosen(whole, data.train, data.score_on == "held-out")


def chosen(whole: Dataset, train: int, held_out: bool) -> Dataset:
    """Return the data set with its first `train` training images alone (0: all).

    With `held_out` the other training images take the place of the test images. The digests stay those of the files.
    Raises DescriptionError where there are not so many.
    """
    there = len(whole.train_images)
    if train > there - held_out:
        rest = ", so that some are held out" if held_out else ""
        raise DescriptionError(
            f"data.train is {train}; wanted at most {there - held_out} of {whole.name}'s {there} training images{rest}."
        )
    if train == 0:
        return whole
    kept = replace(whole, train_images=whole.train_images[:train], train_labels=whole.train_labels[:train])
    if not held_out:
        return kept
    return replace(kept, test_images=whole.train_images[train:], test_labels=whole.train_labels[train:])
