"""Networks that take the same steps as the reference, each a little disturbed.

Where a port does not record an operation's inputs, or the weights that a step starts from, the operation's own rounding
bound is not all that may part the two sides: what came before is carried on. How far is measured:

shadow   every tensor it makes is moved by the rounding bound derived for its operation, each element up or down at
         random. What the shadows scatter about the reference, times LAMBDA, is what rounding may do.
probe    one gradient is wrong by a small relative amount at every step. How much of that arrives at the tensors that
         are recorded tells how large a mistake in it would have gone unnoticed.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from compare.agreement.audit import Audit, Check
from compare.agreement.carried import is_rate
from compare.agreement.operations import MICRO, own_kind
from compare.agreement.rounding.unit import ELEMENTARY, LAMBDA, unit_roundoff
from compare.agreement.trace import Place, Trace
from compare.exchange.bundle import Batch
from compare.experiment.description import Experiment
from compare.experiment.networks import Side, build_reference
from reference.operation import replay

SHADOWS = 8
Arrays = dict[str, np.ndarray]


class OwnRounding(Audit):
    """The audit, which also keeps what it allows every tensor: the rounding bound of its operation alone."""

    def __init__(self, experiment: Experiment, layers: Mapping[str, Any]):
        """Take the experiment, and the layers as the audit does."""
        super().__init__(experiment, layers)
        self.kept: Arrays = {}

    def of_step(self, trace: Trace, state_before: Mapping[str, np.ndarray]) -> Arrays:
        """Return for every computed tensor of a trace, element by element, its operation's own rounding bound."""
        self.kept = {}
        self(trace, state_before)
        return self.kept

    def compare(
        self, tensor: str, place: Place, trace: Trace, wanted: np.ndarray, allowed: np.ndarray, kind: str = "derived"
    ) -> Check:
        """Keep the bound; return the check.

        Where rounding may do anything (a root of 0), a few u of the value are kept. What underflow may do is not: an
        exact zero stays one, on its side of a kink and of a root.
        """
        known = np.where(np.isfinite(allowed), allowed, ELEMENTARY * self.u * np.abs(wanted))
        self.kept[tensor] = np.where(known > self.underflow / self.u, known, 0.0)
        return super().compare(tensor, place, trace, wanted, allowed, kind)


def state_keys(optimizer: str, names: Iterable[str]) -> dict[str, str]:
    """Return, for those of the names that are an optimizer's state, the keys that the optimizers know it by.

    "adam.linear1.weight.exp_avg" is kept as "linear1.weight.exp_avg", what "linear1.weight.grad.accumulated" tells as
    "linear1.weight.accumulated".
    """
    found = {}
    for name in names:
        if name.endswith(".grad.accumulated"):
            found[name] = f"{name.removesuffix('.grad.accumulated')}.accumulated"
        elif name.startswith(f"{optimizer}.") and not is_rate(name):
            found[name] = name.removeprefix(f"{optimizer}.")
    return found


def own_state(side: Side) -> Arrays:
    """Return copies of a reference's optimizer state, with the count of its steps: what the next step begins with."""
    trace = side.optimizer.trace()
    state = {key: np.array(trace[name]) for name, key in state_keys(side.optimizer.name, trace).items()}
    return state | {MICRO: np.asarray(side.optimizer.micro)}


def take_over(side: Side, parameters: Trace, buffers: Trace, state: Trace) -> None:
    """Copy what is known of parameters, buffers and optimizer's state into a reference; the rest stays its own."""
    own = {name: weight.detach().numpy() for name, weight in side.network.weights.items()}
    side.network.load({**own, **parameters}, buffers)
    kept = {key: array for key, array in own_state(side).items() if key != MICRO}
    side.optimizer.load({**kept, **state})


def take_step(
    side: Side,
    batch: Batch,
    keep: Container[str] | None = None,
    between: Callable[[Arrays], None] | None = None,
    after: Callable[[Arrays], None] | None = None,
) -> Arrays:
    """Let a reference take a step; return copies of the tensors to keep (None: all).

    `between` is given the trace before the update, `after` the state and updated parameters: what they write into
    these arrays, gradients, buffers and weights among them, counts.
    """
    replay(side.network.layers, batch.drawn)
    side.network.loss(batch.x, batch.target)
    side.network.backward()
    trace = side.network.trace()
    if between:
        between(trace)
    kept = {name: np.array(array) for name, array in trace.items() if keep is None or name in keep}
    side.optimizer.step()
    updated = side.optimizer.trace()
    if after:
        after(updated)
    return kept | {name: np.array(array) for name, array in updated.items() if keep is None or name in keep}


def buffer_after(name: str) -> bool:
    """Whether a tensor is a buffer as the forward pass leaves it."""
    return name.endswith(".updated") and own_kind(name.removesuffix(".updated")) == "buffers"


class Shadow:
    """A reference whose every tensor is moved by its rounding bound, up or down at random."""

    def __init__(self, experiment: Experiment, initial: Mapping[str, np.ndarray], seed: int):
        self.side = build_reference(experiment, initial)
        self.rng = np.random.default_rng(seed)
        self.bounds: Arrays = {}
        for name, layer in self.side.network.layers.named_children():
            layer.register_forward_hook(lambda _, __, output, name=name: self.moved(name, output))

    def moved(self, name: str, output: Any) -> Any:
        """Return a layer's output, moved; its gradient will be, too."""
        if not isinstance(output, torch.Tensor):
            return output
        output = output + torch.from_numpy(self.noise(f"{name}.output", output.shape)).to(output.dtype)
        if output.requires_grad:
            output.register_hook(
                lambda gradient: (
                    gradient + torch.from_numpy(self.noise(f"{name}.output.grad", gradient.shape)).to(gradient.dtype)
                )
            )
        return output

    def noise(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return the rounding bound of a tensor with random signs; zeros for a tensor that has none."""
        bound = np.broadcast_to(self.bounds.get(name, np.zeros(())), tuple(shape))
        return np.where(self.rng.random(tuple(shape), np.float32) < 0.5, -bound, bound)

    def step(self, batch: Batch, bounds: Arrays, keep: Container[str]) -> Arrays:
        """Take a step with these rounding bounds; return the tensors to keep."""
        self.bounds = bounds
        return take_step(self.side, batch, keep, self.move_before_update, self.move)

    def move_before_update(self, trace: Arrays) -> None:
        """Move the loss, updated buffers and the parameters' gradients; the layers have moved the others."""
        weights, network = self.side.network.weights, trace.items()
        self.move({n: a for n, a in network if n == "loss" or n.removesuffix(".grad") in weights or buffer_after(n)})

    def move(self, arrays: Arrays) -> None:
        """Move arrays in place."""
        for name, array in arrays.items():
            if name in self.bounds:
                array += self.noise(name, array.shape).astype(array.dtype)


class Probe:
    """A reference with a small relative mistake in one parameter's gradient, the same at every step."""

    def __init__(self, experiment: Experiment, initial: Mapping[str, np.ndarray], parameter: str, scaled: bool):
        """`scaled`: the gradient is too large by a factor; otherwise something random of that size is added."""
        self.side = build_reference(experiment, initial)
        self.gradient, self.scaled = f"{parameter}.grad", scaled
        # Between rounding, which must not hide its effect, and curvature and kinks, which must not bend it.
        self.size = unit_roundoff(experiment.training.dtype) ** 0.5
        direction = np.random.default_rng(0).normal(size=initial[parameter].shape)
        self.direction = direction / np.linalg.norm(direction)
        self.largest = 0.0  # of its effects on a recorded tensor at a step, relative to what is allowed there

    def step(self, batch: Batch, keep: Container[str]) -> Arrays:
        """Take a step; return the tensors to keep."""
        return take_step(self.side, batch, keep, self.spoil)

    def spoil(self, trace: Arrays) -> None:
        """Put the mistake into the gradient."""
        gradient = trace[self.gradient]
        wrong = gradient if self.scaled else self.direction * np.linalg.norm(gradient)
        gradient += (self.size * wrong).astype(gradient.dtype)

    def note(self, trace: Arrays, reference: Trace, bounds: Mapping[str, float]) -> None:
        """Keep how much of the mistake arrives at the tensors that have bounds."""
        for name, bound in bounds.items():
            effect = distance(trace[name], reference[name])
            if np.isfinite(effect) and bound > 0:
                self.largest = max(self.largest, effect / bound)

    @property
    def unnoticed(self) -> float:
        """The relative size up to which the mistake would have gone unnoticed; inf for any size."""
        return self.size / self.largest if self.largest else float("inf")


def scatter(shadows: list[Arrays], reference: Trace) -> dict[str, float]:
    """Return for every tensor LAMBDA times the root mean square of the shadows' distances from the reference."""
    found = {}
    for name in shadows[0]:
        squares = [distance(trace[name], reference[name]) ** 2 for trace in shadows]
        found[name] = LAMBDA * float(np.sqrt(np.mean(squares)))
    return found


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return ||a - b||, in float64."""
    return float(np.linalg.norm(np.ravel(np.asarray(a, np.float64) - np.asarray(b, np.float64))))
