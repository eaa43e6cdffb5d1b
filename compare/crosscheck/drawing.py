"""What a derivation is tried on: Hypothesis draws shapes, flavours and a seed; from these the arrays are made.

plain        normal numbers of either sign
kinks        many a 0, -0, 1, -1, 1/2, 2, 3, 6: where functions have corners
ties         few different values, so that maxima are shared; rows that repeat
magnitudes   from 1e-6 to some 30, of either sign
mixed        all of these in one array

Sizes run from 1 to 7. Nothing larger than some 30 is drawn: a formula of the textbooks may overflow at 1e4 and be right
none the less. Such magnitudes are tried apart (`extreme`), and what they show is called by its name.

Hypothesis draws bits, not whole numbers: into those it mixes constants that it finds in the user's files, which would
make an example depend on what else is imported, and leaves a folder .hypothesis behind.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

FLAVOURS = ("plain", "kinks", "ties", "magnitudes", "mixed")
CORNERS = np.array([0.0, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 6.0])
LARGEST_SIZE = 7
LARGE = 1e4

Interval = tuple[float, float]


@dataclass(frozen=True)
class Spec:
    """How one array is drawn."""

    shape: tuple[int | str, ...]
    below: int | str = 0  # integers from 0 to this less one; a text: as many as the prediction has classes
    between: Interval | None = None
    kind: str = ""  # of a target: labels, like, probabilities, signs
    positive: bool = False
    fixed: np.ndarray | None = None  # not drawn at all


@dataclass(frozen=True)
class Choice:
    """What Hypothesis decided: everything else follows from it."""

    sizes: Mapping[str, int]
    seed: int
    inputs: str = "plain"  # flavours
    parameters: str = "plain"
    upstream: str = "plain"


@st.composite
def choices(draw: st.DrawFn, sizes: Mapping[str, tuple[int, ...]]) -> Choice:
    """Return a choice: for every named size one of those allowed, flavours, and the seed of the values."""

    def whole(bits: int) -> int:
        return sum(draw(st.booleans()) << place for place in reversed(range(bits)))

    chosen = {name: allowed[whole(4) % len(allowed)] for name, allowed in sizes.items()}
    flavours = [FLAVOURS[whole(4) % len(FLAVOURS)] for _ in range(3)]
    return Choice(chosen, whole(16), *flavours)


def generator(seed: int, name: str) -> np.random.Generator:
    """Return the stream of random numbers of one array."""
    return np.random.default_rng((seed, zlib.crc32(name.encode())))


def shape_of(spec: Spec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shape with the names replaced by sizes."""
    return tuple(sizes[size] if isinstance(size, str) else size for size in spec.shape)


def drawn(spec: Spec, name: str, choice: Choice, flavour: str, like: np.ndarray | None = None) -> np.ndarray:
    """Return the array of a spec; `like` is the prediction that a target belongs to."""
    if spec.fixed is not None:
        return spec.fixed.copy()
    rng, shape = generator(choice.seed, name), shape_of(spec, choice.sizes)
    if spec.kind and like is not None:
        return target(rng, spec, shape, like, flavour)
    if isinstance(spec.below, int) and spec.below:
        return rng.integers(0, spec.below, shape)
    if spec.between is not None:
        return within(rng, shape, flavour, spec.between)
    x = real(rng, shape, flavour)
    return np.abs(x) + 0.1 if spec.positive else x


def target(rng: np.random.Generator, spec: Spec, shape: tuple[int, ...], like: np.ndarray, flavour: str) -> np.ndarray:
    """Return a target for the prediction `like`."""
    match spec.kind:
        case "labels":
            classes = spec.below if isinstance(spec.below, int) and spec.below else like.shape[min(1, like.ndim - 1)]
            return rng.integers(0, classes, like.shape[:1] + like.shape[2:] if like.ndim > 1 else ())
        case "probabilities":
            p = rng.uniform(0.05, 1, like.shape)
            return p / p.sum(axis=min(1, like.ndim - 1), keepdims=True) if like.ndim > 1 else p
        case "signs":
            return rng.choice((-1.0, 1.0), like.shape)
        case "like":
            close = like + 0.1 * real(rng, like.shape, "plain")  # as a trained network's: inside Huber's parabola
            far = (
                real(rng, like.shape, flavour)
                if spec.between is None
                else within(rng, like.shape, flavour, spec.between)
            )
            return far if spec.between is not None else np.where(rng.random(like.shape) < 0.3, close, far)
    return real(rng, shape, flavour)


def real(rng: np.random.Generator, shape: tuple[int, ...], flavour: str) -> np.ndarray:
    """Return real numbers of either sign."""
    x = 1.5 * rng.standard_normal(shape)
    if flavour in ("kinks", "mixed"):
        x = np.where(rng.random(shape) < 0.4, rng.choice(CORNERS, shape), x)
    if flavour in ("ties", "mixed"):
        few = 1.5 * rng.standard_normal(3)
        x = np.where(rng.random(shape) < (0.7 if flavour == "ties" else 0.2), rng.choice(few, shape), x)
        if flavour == "ties" and len(shape) > 1 and shape[0] > 1:
            x[-1] = x[0]
    if flavour in ("magnitudes", "mixed"):
        exponent = rng.uniform(-6, 1, shape)
        x = np.where(rng.random(shape) < (0.8 if flavour == "magnitudes" else 0.2), x * 10**exponent, x)
    return np.clip(x, -30, 30)


def within(rng: np.random.Generator, shape: tuple[int, ...], flavour: str, between: Interval) -> np.ndarray:
    """Return numbers well inside an interval."""
    low, high = between
    share = rng.uniform(0.02, 0.98, shape)
    if flavour in ("kinks", "mixed"):
        share = np.where(rng.random(shape) < 0.4, rng.choice((0.25, 0.5, 0.75), shape), share)
    if flavour in ("ties", "mixed"):
        share = np.where(rng.random(shape) < 0.5, rng.choice(rng.uniform(0.1, 0.9, 2), shape), share)
    return low + (high - low) * share


def extreme(name: str, choice: Choice) -> Callable[[np.ndarray], np.ndarray]:
    """Return what puts magnitudes up to 1e4, and down to 1e-30, into an array."""
    rng = generator(choice.seed, f"extreme {name}")

    def change(array: np.ndarray) -> np.ndarray:
        factor = rng.choice((1.0, LARGE / 3, -LARGE / 3, 1e-30, 100.0), array.shape)
        return np.clip(array * factor, -LARGE, LARGE)

    return change


def symbols(specs: Any) -> list[str]:
    """Return the names of sizes in the order in which they occur."""
    return list(dict.fromkeys(size for spec in specs for size in spec.shape if isinstance(size, str)))
