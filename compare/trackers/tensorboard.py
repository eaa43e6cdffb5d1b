"""TensorBoard: `backproof run --track tensorboard`, then `tensorboard --logdir results`. Needs the extra `track`.

loss/manual, loss/reference      scalars, at up to about 1,000 steps
loss/independent                 of the reference that trains apart
drift/weights                    how far it is: ||manual - reference|| / ||reference||
error/worst                      the largest error of the step's tensors, in u
error/<tensor>, audit/<tensor>   at audited steps: error in u, and percent of what rounding allows the operation
difference/<tensor>              at audited steps: histogram of |manual - reference|, element by element, in u
weights/<tensor>                 images of the first layer's weights, at a few steps
accuracy/manual, /reference      of the trained networks on the test images
experiment, verdict              texts
"""

from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard.writer import SummaryWriter

from compare.agreement.rounding.unit import unit_roundoff
from compare.experiment.description import Experiment
from compare.experiment.files import to_toml
from compare.lockstep.loop import Loop, Step
from compare.lockstep.outcome import Outcome

POINTS = 1000  # of a curve: TensorBoard itself shows no more of one
HISTOGRAMS = 50  # steps of which the histograms are kept
IMAGES = 10  # steps of which the weights are shown
UNITS = 64  # of the first layer at most
SIDE = 28  # of an image of 784 pixels


class TensorBoard:
    """Writes a run as TensorBoard's event files."""

    def __init__(self, experiment: Experiment, folder: Path):
        self.writer = SummaryWriter(str(folder))
        self.u = unit_roundoff(experiment.training.dtype)
        self.first = shown_weight(experiment)
        self.writer.add_text("experiment", "\n".join(f"    {line}" for line in to_toml(experiment).splitlines()), 0)
        self.due = {"point": 1, "histogram": 1, "image": 1}

    def begin(self, loop: Loop) -> None:
        """Note how long the run is; show the initial weights."""
        self.steps, self.weights = loop.steps, loop.manual.network.parameters
        self.show_weights(0)

    def step(self, step: Step) -> None:
        """Write a step: curves now and then, what the audit found at every audit, weights at a few steps."""
        audited = bool(step.checks) or step.finding is not None
        if self.is_due("point", POINTS, step.number) or audited:
            self.scalars(step)
        if step.drift:
            self.writer.add_scalar("drift/weights", step.drift.parameters, step.number)
            self.writer.add_scalar("loss/independent", step.drift.loss_reference, step.number)
        if audited:
            self.audit(step)
        if audited and self.is_due("histogram", HISTOGRAMS, step.number):
            self.histograms(step)
        if self.is_due("image", IMAGES, step.number):
            self.show_weights(step.number)

    def finish(self, outcome: Outcome) -> None:
        """Write the accuracies and the verdict."""
        last = outcome.tally.steps
        for side in ("manual", "reference"):
            if accuracy := outcome.accuracy():
                self.writer.add_scalar(f"accuracy/{side}", accuracy[side], last)
        reason = f": {outcome.finding.reason}" if outcome.finding else ""
        self.writer.add_text("verdict", f"{outcome.verdict}{reason}", last)

    def close(self) -> None:
        """Write what is still in memory."""
        self.writer.close()

    def is_due(self, what: str, most: int, number: int) -> bool:
        """Whether a step is one of the at most about `most` that are kept: the first, the last, and evenly between."""
        if number < self.due[what] and number != self.steps:
            return False
        self.due[what] = number + max(1, self.steps // most)
        return True

    def scalars(self, step: Step) -> None:
        """Write the losses and the worst error of a step."""
        self.writer.add_scalar("loss/manual", step.loss_manual, step.number)
        self.writer.add_scalar("loss/reference", step.loss_reference, step.number)
        if step.errors:
            self.writer.add_scalar("error/worst", max(step.errors.values()), step.number)

    def audit(self, step: Step) -> None:
        """Write the error of every tensor, and how much of its bound each audited operation has used."""
        for name, error in step.errors.items():
            self.writer.add_scalar(f"error/{name}", error, step.number)
        for check in step.checks:
            self.writer.add_scalar(f"audit/{check.tensor}", 100 * check.used, step.number)

    def histograms(self, step: Step) -> None:
        """Write the elementwise differences of every tensor."""
        for name in step.errors:
            if name in step.manual and name in step.reference:
                differences = in_u(step.manual[name], step.reference[name], self.u)
                if differences is not None:
                    self.writer.add_histogram(f"difference/{name}", differences, step.number)

    def show_weights(self, number: int) -> None:
        """Show the first layer's weights, one picture a unit."""
        if self.first in self.weights:
            picture = tiled(self.weights[self.first])
            self.writer.add_image(f"weights/{self.first}", picture, number, dataformats="HW")


def shown_weight(experiment: Experiment) -> str:
    """Return the name of the first layer's weight if it makes pictures, one of an image or a convolution's; else ""."""
    first = next((layer for layer in experiment.layers if layer.kind != "Flatten"), None)
    pictures = first and (first.kind == "Conv2d" or first.arguments.get("in_features") == SIDE * SIDE)
    return f"{first.name}.weight" if first and pictures else ""


def in_u(manual: Any, reference: Any, u: float) -> np.ndarray | None:
    """Return |manual - reference| / (u * root mean square of reference), element by element.

    Their root mean square is the step check's error of the tensor. None for what is no real number, not finite or zero.
    """
    m, r = np.asarray(manual), np.asarray(reference)
    if m.dtype.kind != "f" or m.shape != r.shape or not (np.isfinite(m).all() and np.isfinite(r).all()):
        return None
    scale = float(np.sqrt(np.mean(np.square(r, dtype=np.float64))))
    return np.abs(np.subtract(m, r, dtype=np.float64)) / (u * scale) if scale else None


def tiled(weight: np.ndarray) -> np.ndarray:
    """Return the weights of up to 64 units as one picture from 0 to 1, about square, a line between units; 0.5 is 0."""
    units = weight[:UNITS]
    pictures = units.reshape(-1, SIDE, SIDE) if units.ndim == 2 else units[:, 0]
    count, height, width = pictures.shape
    across = int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    largest = float(np.abs(pictures).max())
    page = np.zeros((down * (height + 1) - 1, across * (width + 1) - 1), np.float32)
    for i, picture in enumerate(pictures):
        top, left = i // across * (height + 1), i % across * (width + 1)
        page[top : top + height, left : left + width] = 0.5 + 0.5 * picture / (largest or 1.0)
    return np.nan_to_num(page)
