"""TensorBoard: its event files are read back and held against the run's outcome."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import compare
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment, Layer
from compare.experiment.files import read_experiment
from compare.trackers.tensorboard import in_u, shown_weight, tiled


def read(outcome: compare.Outcome) -> Any:
    folder = Path(str(outcome.record)) / "tensorboard"
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    events.Reload()
    return events


def values(events: Any, tag: str) -> dict[int, float]:
    return {event.step: event.value for event in events.Scalars(tag)}


def test_the_event_files_hold_what_the_run_came_to(small_data: Dataset, tmp_path: Path) -> None:
    steps: list[tuple[float, float]] = []
    outcome = compare.run(
        "article", steps=8, out=tmp_path, track=["tensorboard"],
        watchers=[lambda step: steps.append((step.loss_manual, step.loss_reference))],
    )  # fmt: skip
    events, said = read(outcome), outcome.to_json()
    for side, losses in zip(("manual", "reference"), zip(*steps, strict=True), strict=True):
        assert values(events, f"loss/{side}") == pytest.approx(dict(enumerate(losses, start=1)))
        assert values(events, f"accuracy/{side}") == pytest.approx({8: said["accuracy"][side]})
    drift = said["independent"]["drift"]
    assert values(events, "drift/weights") == pytest.approx({d["step"]: d["parameters"] for d in drift})
    assert values(events, "loss/independent") == pytest.approx({d["step"]: d["loss_reference"] for d in drift})

    assert max(values(events, "error/worst").values()) == pytest.approx(max(w["error"] for w in said["worst"].values()))
    for tensor, check in said["tightest"].items():
        used = values(events, f"audit/{tensor}")
        assert list(used) == [1, 2, 3, 8]  # the audited steps
        assert max(used.values()) == pytest.approx(100 * check["used"])
        assert used[check["step"]] == pytest.approx(100 * check["used"])
    for tensor, worst in said["worst"].items():
        errors = values(events, f"error/{tensor}")
        assert list(errors) == [1, 2, 3, 8]
        assert max(errors.values()) <= worst["error"] * (1 + 1e-6)
    assert "verdict/text_summary" in events.Tags()["tensors"]


def test_histograms_are_the_differences_that_the_step_check_measures(small_data: Dataset, tmp_path: Path) -> None:
    errors: dict[int, float] = {}
    name = "linear1.weight.grad"
    outcome = compare.run(
        "article", steps=4, mode="lockstep", out=tmp_path, track=["tensorboard"],
        watchers=[lambda step: errors.update({step.number: step.errors[name]})],
    )  # fmt: skip
    found = {event.step: event.histogram_value for event in read(outcome).Histograms(f"difference/{name}")}
    assert list(found) == [1, 2, 3, 4]
    for step, histogram in found.items():
        assert histogram.num == 784 * 30
        assert np.sqrt(histogram.sum_squares / histogram.num) == pytest.approx(errors[step], rel=1e-6)


def test_the_first_weights_are_pictures(small_data: Dataset, tmp_path: Path) -> None:
    outcome = compare.run("article", steps=4, mode="independent", out=tmp_path, track=["tensorboard"])
    images = read(outcome).Images("weights/linear1.weight")
    assert [image.step for image in images] == [0, 1, 2, 3, 4]
    picture = np.asarray(Image.open(io.BytesIO(images[-1].encoded_image_string)).convert("L"))
    assert picture.shape == (5 * 29 - 1, 6 * 29 - 1)  # 30 units of 28 x 28, a line between them
    assert not picture[28].any()


@pytest.mark.parametrize(("preset", "weight"), [("lenet", "conv2d1.weight"), ("lstm-rows", ""), ("gpt-digits", "")])
def test_only_what_makes_a_picture_is_shown(preset: str, weight: str) -> None:
    assert shown_weight(read_experiment(preset)) == weight


def test_a_flattened_image_is_shown_too() -> None:
    layers = Layer("Flatten"), Layer("Linear", arguments={"in_features": 784, "out_features": 10})
    assert shown_weight(Experiment("flattened", layers)) == "linear1.weight"


def test_a_picture_holds_every_unit_in_its_place() -> None:
    weight = np.linspace(-2, 1, 3 * 2 * 5 * 5).reshape(3, 2, 5, 5)
    page = tiled(weight)
    assert page.shape == (11, 11)
    assert page[6:, :5] == pytest.approx(0.5 + weight[2, 0] / 4)
    assert np.isfinite(tiled(np.full((2, 784), np.nan))).all()
    assert (tiled(np.zeros((1, 784))) == 0.5).all()


def test_differences_are_told_only_of_what_has_a_size() -> None:
    assert in_u(np.array([3.0, 5.0]), np.array([3.0, 4.0]), 0.5) == pytest.approx(np.array([0, 2 / np.sqrt(12.5)]))
    assert in_u(np.array([1]), np.array([1]), 0.5) is None
    assert in_u(np.array([np.nan]), np.array([1.0]), 0.5) is None
    assert in_u(np.zeros(2), np.zeros(2), 0.5) is None


def test_a_divergence_and_an_overflow_are_tracked_to_their_end(small_data: Dataset, tmp_path: Path) -> None:
    wrong = compare.run("article", steps=3, out=tmp_path, plant="bias-gradient-averaged", track=["tensorboard"])
    events = read(wrong)
    assert wrong.finding
    assert values(events, f"error/{wrong.finding.tensor}")[1] > 1e6
    too_far = compare.run("relu", steps=20, lr=1e6, out=tmp_path, track=["tensorboard"])
    assert too_far.verdict is compare.Verdict.INCONCLUSIVE
    assert list(values(read(too_far), "loss/manual"))[-1] == too_far.tally.steps
