"""Which examples train, which the networks are scored on, and what pixels are divided by: the same in every room."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import compare
from compare.exchange.export import export
from compare.experiment.batches import take_batch
from compare.experiment.datasets import Dataset
from compare.experiment.description import Data, DescriptionError, Experiment, Layer, Training
from compare.experiment.examples import load_examples
from compare.explain.course import record_course
from compare.explain.moment import moment
from compare.records.reading import read_record
from compare.views.explainer.page import html
from compare.views.report.examples import pictures
from tests.records.conftest import make

ONE_LAYER = Experiment(
    "one-layer", (Layer("Linear", arguments={"in_features": 784, "out_features": 10}), Layer("Sigmoid")),
    training=Training(steps=3, batch_size=5, mode="lockstep"),
)  # fmt: skip
HELD_OUT = Data(divisor=256.0, train=450, score_on="held-out")


@pytest.mark.parametrize("form", ["flat", "image", "rows"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pixels_are_divided_by_the_divisor(form: str, dtype: str, small: Dataset) -> None:
    data = Data(form=form, divisor=256.0)  # pyright: ignore[reportArgumentType]
    x, _ = take_batch(small.train_images, small.train_labels, slice(0, 4), dtype, data)
    assert x.dtype == dtype
    assert np.array_equal(x.reshape(4, 28, 28) * 256, small.train_images[:4])  # exact: 256 is a power of two
    usual, _ = take_batch(small.train_images, small.train_labels, slice(0, 4), dtype, replace(data, divisor=255.0))
    assert usual.max() == 1.0
    assert np.array_equal(usual.reshape(4, 28, 28), small.train_images[:4] / np.dtype(dtype).type(255))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"divisor": 0.0}, "data.divisor is 0.0; wanted a number above 0"),
        ({"form": "levels", "divisor": 256.0}, "data.divisor is 256.0; wanted none: the whole numbers"),
        ({"train": -1}, "data.train is -1; wanted a whole number from 0"),
        ({"score_on": "held-out"}, "set data.train to how many of them do, and the rest is held out"),
        ({"score_on": "held_out", "train": 5}, "data.score_on is 'held_out', which is not known. Did you mean"),
    ],
)
def test_what_cannot_be_is_refused(data: dict[str, object], words: str) -> None:
    with pytest.raises(DescriptionError) as refused:
        Data(**data)  # pyright: ignore[reportArgumentType]
    assert words in str(refused.value)


@pytest.mark.parametrize(("train", "score_on", "most"), [(601, "test", 600), (600, "held-out", 599)])
def test_more_images_than_there_are_is_refused(train: int, score_on: str, most: int, small_data: Dataset) -> None:
    with pytest.raises(DescriptionError) as refused:
        load_examples(Data(train=train, score_on=score_on))  # pyright: ignore[reportArgumentType]
    assert f"data.train is {train}; wanted at most {most} of mnist's 600 training images" in str(refused.value)


def test_the_first_images_train_and_the_rest_scores(small_data: Dataset) -> None:
    examples = load_examples(HELD_OUT)
    assert np.array_equal(examples.train_images, small_data.train_images[:450])
    assert np.array_equal(examples.train_labels, small_data.train_labels[:450])
    assert np.array_equal(examples.test_images, small_data.train_images[450:])
    assert np.array_equal(examples.test_labels, small_data.train_labels[450:])
    kept = load_examples(Data(train=450))
    assert (len(kept.train_images), kept.test_images is small_data.test_images) == (450, True)
    assert load_examples(Data(train=600)).train_images.shape == small_data.train_images.shape


def test_a_run_trains_and_scores_on_them_alone(small_data: Dataset, tmp_path: Path) -> None:
    experiment = replace(ONE_LAYER, data=HELD_OUT).changed("training", steps=0, epochs=1)
    seen: set[int] = set()
    loops: list = []
    outcome = compare.run(
        experiment, out=tmp_path, begin=loops.append,
        watchers=[lambda step: seen.update(np.asarray(step.manual["target"]).tolist())],
    )  # fmt: skip
    assert outcome.tally.steps == 450 / 5
    x, labels = small_data.train_images[450:].reshape(150, 784) / 256, small_data.train_labels[450:]
    right = (loops[0].manual.network.predict(x).argmax(axis=1) == labels).mean()
    assert outcome.metrics is not None
    assert outcome.metrics.accuracy_manual == right
    assert outcome.record is not None
    facts = read_record(outcome.record).data
    assert (facts["train"], facts["test"], facts["pixel_scale"]) == (450, 150, "1/256")


def test_a_report_shows_the_images_that_were_held_out(
    small_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_record(make(tmp_path, small_data, replace(ONE_LAYER, data=HELD_OUT), seed=1))  # pyright: ignore[reportArgumentType]
    shown: list[np.ndarray] = []
    monkeypatch.setattr("compare.views.report.examples.png", lambda image: shown.append(255 - image) or "")
    (example,) = pictures(record, [149], [[1, 2]])
    assert np.array_equal(shown[0], small_data.train_images[599])
    assert example.label == str(small_data.train_labels[599])
    with pytest.raises(ValueError, match="150"):
        pictures(record, [150], [[1, 2]])


def test_an_explanation_takes_them(small_data: Dataset) -> None:
    experiment = replace(ONE_LAYER, data=replace(HELD_OUT, score_on="test"))
    told = moment(experiment, step=1, sample=449)
    assert np.array_equal(told.trace["input"][0] * 256, small_data.train_images[449].ravel())
    with pytest.raises(DescriptionError, match=r"0 to 449\."):
        moment(experiment, step=1, sample=450)


def test_a_page_of_an_image_computes_with_the_divisor(small_data: Dataset) -> None:
    experiment = replace(ONE_LAYER, data=HELD_OUT)
    (instant,) = record_course(experiment, load_examples(HELD_OUT), [1], 3).instants
    x = small_data.train_images[3].ravel() / 256
    z = instant.parameters["linear1.weight"] @ x + instant.parameters["linear1.bias"]
    assert np.allclose(instant.autograd["linear1.output"], z, rtol=1e-12, atol=1e-12)


def test_an_export_has_them_and_says_so(small_data: Dataset, tmp_path: Path) -> None:
    folder = export(replace(ONE_LAYER, data=HELD_OUT), tmp_path / "port")
    assert "pixel / 256, row by row" in (folder / "architecture.json").read_text(encoding="utf-8")


def test_the_page_itself_is_told_the_divisor(small_data: Dataset) -> None:
    for divisor in (256.0, 255.0):
        page = html(replace(ONE_LAYER, data=replace(HELD_OUT, divisor=divisor)), [1], 1, 3, None)
        assert f'"divisor": {divisor}' in page.replace('"divisor":', '"divisor": ').replace(":  ", ": ")
        assert "ink / network.divisor" in page
