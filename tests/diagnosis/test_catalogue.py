"""The catalogue of mistakes: every area where a derivation goes wrong is in it, and each entry does what it says.

The self-test plants and re-enacts a mistake by the same function, so a wrong entry would be named as what it says.
Therefore the formulas stand here once more, written out from the sentence alone, on small arrays.
"""

import re
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from compare.diagnosis.mistakes import CATALOGUE
from compare.diagnosis.site import Neighbour, Site

Array = np.ndarray[Any, Any]

AREAS: dict[str, set[str]] = {
    # factors
    "a 1/2 missing, or the 2 of the derivative doubled": {"delta-doubled", "loss-doubled"},
    "a 1/2 too many": {"delta-halved", "loss-halved"},
    "2 in the weights": {"weight-gradient-doubled", "weight-gradient-halved"},
    "sum for mean": {"delta-summed-instead-of-averaged", "loss-summed-instead-of-averaged", "weight-gradient-summed"},
    "mean for sum": {"delta-averaged-twice", "loss-averaged-twice"},
    "1/N in two places": {
        "delta-averaged-twice", "weight-gradient-averaged", "input-gradient-averaged", "activation-gradient-averaged",
        "learning-rate-over-batch",
    },
    "N K for N": {"delta-divided-by-outputs", "loss-divided-by-outputs"},
    "outputs K lost": {"delta-multiplied-by-outputs", "loss-multiplied-by-outputs"},
    "cross-entropy divided by N K": {"delta-divided-by-outputs"},
    "N - 1 for N": {"delta-divided-by-n-minus-1", "loss-divided-by-n-minus-1", "weight-gradient-divided-by-n-minus-1"},
    "255/256": {"delta-scaled-255-256", "loss-scaled-255-256", "parameter-scaled-255-256"},
    "a short last batch divided by the nominal size": {
        "delta-divided-by-nominal-batch", "loss-divided-by-nominal-batch",
    },
    # activations
    "derivative missing": {"activation-derivative-missing"},
    "derivative twice": {"activation-derivative-twice"},
    "derivative of the activation for that of the pre-activation": {"derivative-taken-of-activation"},
    "and the reverse": {"derivative-formula-with-pre-activation"},
    "derivative of the wrong layer": {"derivative-of-wrong-layer"},
    "mask of the wrong layer": {"mask-of-wrong-layer"},
    ">= for >": {"relu-mask-at-zero"},
    "leaky slope only backward": {"relu-leaky-only-backward"},
    # signs
    "wrong sign": {
        "delta-sign-flipped", "loss-sign-flipped", "activation-sign-flipped", "weight-gradient-sign-flipped",
        "bias-gradient-sign-flipped", "input-gradient-sign-flipped", "update-adds", "sigmoid-exponent-sign",
    },
    # weights
    "weight not transposed, square": {"weight-not-transposed-forward", "weight-transposed-backward"},
    "reshaped instead of transposed": {
        "weight-reshaped-forward", "weight-reshaped-backward", "weight-gradient-reshaped",
    },
    "weight gradient transposed": {"weight-gradient-transposed"},
    "random feedback weights": {"random-feedback-weights"},
    "weight forgotten": {"weight-forgotten"},
    "weights updated before they are used": {"updated-weight-used"},
    "pre-activation for activation in the weight gradient": {"pre-activation-in-weight-gradient"},
    "last example overwriting the sum": {"last-example-only", "bias-gradient-last-example"},
    # biases
    "bias gradient zero": {"bias-gradient-zero"},
    "bias gradient averaged": {"bias-gradient-averaged"},
    "one scalar for all biases": {"bias-gradient-one-for-all"},
    "bias gradient of the last example": {"bias-gradient-last-example"},
    "bias gradient along the wrong axis": {"bias-gradient-wrong-axis"},
    "bias gradient never summed": {"bias-gradient-never-summed"},
    # what is left over from before
    "gradient not zeroed": {"gradient-not-zeroed", "bias-gradient-not-zeroed"},
    "cache of the previous batch": {"cache-of-previous-batch", "activation-of-previous-batch"},
    # updates
    "one layer never updated": {"layer-never-updated", "bias-never-updated"},
    "learning rate twice": {"learning-rate-twice"},
    "weight decay on biases": {"weight-decay-on-biases"},
    "lambda/2": {"weight-decay-halved"},
    "weight decay twice": {"weight-decay-doubled"},
    "wrong dampening": {"momentum-damped"},
    "Nesterov without look-ahead": {"nesterov-without-look-ahead"},
    "velocity not kept": {"velocity-not-kept"},
    # softmax, labels, data
    "the softmax's diagonal only": {"softmax-diagonal-only", "logsoftmax-diagonal-only"},
    "the softmax's derivative as the sigmoid's": {"softmax-derivative-as-sigmoid"},
    "label shifted": {"labels-shifted-by-one", "delta-label-shifted"},
    "labels shuffled": {"labels-shuffled-from-images", "images-shuffled-from-labels"},
    "pixels scaled differently": {"pixels-divided-by-256", "pixels-not-scaled", "pixels-centred"},
    # places
    "units or classes swapped": {
        "two-units-swapped", "weight-gradient-units-swapped", "two-classes-swapped", "delta-two-classes-swapped",
    },
    "one element wrong": {"one-element-wrong"},
    "one row wrong": {"one-row-wrong"},
    "one column wrong": {"one-column-wrong"},
    # arithmetic and the whole
    "float32 lost into": {
        "float32-in-forward", "float32-in-weight-gradient", "float32-in-delta", "float32-in-update",
    },
    "float16 lost into": {
        "float16-in-forward", "float16-in-weight-gradient", "float16-in-delta", "float16-in-update",
    },
    "gradient clipped": {"gradient-clipped-by-value", "gradient-clipped-by-norm"},
    "in-place change of a cached input": {"input-changed-in-place"},
    "reference sharing memory": {"reference-shares-memory"},
    "loss reported after the update": {"loss-after-update"},
    "two mistakes that cancel in the weight gradients": {"cancelling-mistakes"},
}  # fmt: skip


@pytest.mark.parametrize("area", AREAS)
def test_every_area_is_covered(area: str) -> None:
    assert AREAS[area]
    assert AREAS[area] <= CATALOGUE.keys()


def test_there_are_at_least_sixty() -> None:
    assert len(CATALOGUE) >= 60


def test_names_are_kebab_case_and_sentences_are_sentences() -> None:
    for name, mistake in CATALOGUE.items():
        assert mistake.name == name
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", name), name
        assert len(mistake.about.split()) >= 3, name
        assert mistake.about.endswith((".", ").")), name
        assert not mistake.about.endswith(".."), name


def test_every_companion_is_a_mistake_of_the_catalogue() -> None:
    companions = [m.companion for m in CATALOGUE.values() if m.companion]
    assert companions
    assert set(companions) <= CATALOGUE.keys()


# The formulas, once more. N = 4 examples, 3 inputs, 5 outputs; nothing square, nothing symmetric, no 0 and no 1.

RNG = np.random.default_rng(11)
X, DY, W, B = (RNG.normal(size=shape) for shape in ((4, 3), (4, 5), (5, 3), (5,)))
EARLIER_X, EARLIER_DY, Z = (RNG.normal(size=shape) for shape in ((4, 3), (4, 5), (4, 3)))


def linear(x: Array = X, dy: Array = DY, w: Array = W, **facts: Any) -> Site:
    right = {"output": x @ w.T + B[: len(w)], "input": dy @ w, "weight": dy.T @ x, "bias": dy.sum(axis=0)}
    facts = {"lr": 0.3, "nominal": 6, "classes": 5} | facts
    parameters = {"weight": w, "bias": B[: len(w)]}
    return Site("linear2", "Linear", x, right, y=right["output"], dy=dy, parameters=parameters, **facts)


SQUARE = linear(X, DY[:, :3], W[:3])
PREVIOUS = linear(EARLIER_X, EARLIER_DY)
AS_LARGE = linear(X, DY[:, :4], W[:4])  # as many examples as outputs

LINEAR = {
    "bias-forgotten": (linear(), X @ W.T),
    "bias-added-twice": (linear(), X @ W.T + 2 * B),
    "weight-not-transposed-forward": (SQUARE, X @ W[:3] + B[:3]),
    "weight-reshaped-forward": (linear(), X @ W.reshape(3, 5) + B),
    "weight-transposed-backward": (SQUARE, DY[:, :3] @ W[:3].T),
    "weight-reshaped-backward": (linear(), DY @ W.T.flatten().reshape(5, 3)),
    "weight-forgotten": (linear(), DY @ np.ones((5, 3))),
    "updated-weight-used": (linear(), DY @ (W - 0.3 * DY.T @ X)),
    "input-gradient-sign-flipped": (linear(), -(DY @ W)),
    "input-gradient-averaged": (linear(), DY @ W / 4),
    "input-gradient-doubled": (linear(), 2 * DY @ W),
    "input-gradient-examples-mixed": (linear(), np.ones((4, 4)) @ DY @ W),
    "weight-gradient-sign-flipped": (linear(), -DY.T @ X),
    "weight-gradient-averaged": (linear(), DY.T @ X / 4),
    "weight-gradient-summed": (linear(), DY.T @ X * 4),
    "weight-gradient-doubled": (linear(), DY.T @ X * 2),
    "weight-gradient-halved": (linear(), DY.T @ X / 2),
    "weight-gradient-divided-by-n-minus-1": (linear(), DY.T @ X * 4 / 3),
    "weight-gradient-transposed": (SQUARE, X.T @ DY[:, :3]),
    "weight-gradient-reshaped": (linear(), (X.T @ DY).reshape(5, 3)),
    "pre-activation-in-weight-gradient": (linear(preceding=(Z, X)), DY.T @ Z),
    "last-example-only": (linear(), DY[3:].T @ X[3:]),
    "first-example-only": (linear(), DY[:1].T @ X[:1]),
    "last-example-missing": (linear(), DY[:3].T @ X[:3]),
    "input-of-wrong-layer": (linear(neighbours={"linear1": Neighbour("Linear", Z, DY)}), DY.T @ Z),
    "gradient-not-zeroed": (linear(previous=PREVIOUS), DY.T @ X + EARLIER_DY.T @ EARLIER_X),
    "cache-of-previous-batch": (linear(previous=PREVIOUS), DY.T @ EARLIER_X),
    "gradient-of-previous-batch": (linear(previous=PREVIOUS), EARLIER_DY.T @ EARLIER_X),
    "weight-gradient-zero": (linear(), np.zeros((5, 3))),
    "weight-gradient-units-swapped": (linear(), (DY.T @ X)[[1, 0, 2, 3, 4]]),
    "weight-added-to-gradient": (linear(), DY.T @ X + W),
    "bias-gradient-zero": (linear(), np.zeros(5)),
    "bias-gradient-averaged": (linear(), DY.mean(axis=0)),
    "bias-gradient-sign-flipped": (linear(), -DY.sum(axis=0)),
    "bias-gradient-doubled": (linear(), 2 * DY.sum(axis=0)),
    "bias-gradient-one-for-all": (linear(), np.full(5, DY.sum())),
    "bias-gradient-last-example": (linear(), DY[3]),
    "bias-gradient-first-example": (linear(), DY[0]),
    "bias-gradient-wrong-axis": (AS_LARGE, DY[:, :4].sum(axis=1)),
    "bias-gradient-never-summed": (linear(), DY),
    "bias-gradient-not-zeroed": (linear(previous=PREVIOUS), DY.sum(axis=0) + EARLIER_DY.sum(axis=0)),
}


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


FUNCTIONS = {"Sigmoid": sigmoid, "Tanh": np.tanh, "ReLU": lambda z: np.maximum(z, 0)}
SLOPES = {
    "Sigmoid": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
    "Tanh": lambda z: 1 / np.cosh(z) ** 2,
    "ReLU": lambda z: np.where(z > 0, 1.0, 0.0),
}
DA, EARLIER_Z, OTHER_Z = (RNG.normal(size=(4, 3)) for _ in range(3))
A, T = sigmoid(Z), np.tanh(Z)


def activation(kind: str, z: Array = Z, **facts: Any) -> Site:
    y = FUNCTIONS[kind](z)
    return Site(f"{kind.lower()}1", kind, z, {"output": y, "input": DA * SLOPES[kind](z)}, y=y, dy=DA, **facts)


def beside_another(kind: str) -> Site:
    return activation(kind, neighbours={"other": Neighbour(kind, OTHER_Z, FUNCTIONS[kind](OTHER_Z))})


def right_input(kind: str) -> Array:
    return DA * SLOPES[kind](Z)


ACTIVATIONS = {
    **{("activation-derivative-missing", k): (activation(k), DA) for k in SLOPES},
    **{("activation-sign-flipped", k): (activation(k), -right_input(k)) for k in SLOPES},
    **{("activation-gradient-doubled", k): (activation(k), 2 * right_input(k)) for k in SLOPES},
    **{("activation-gradient-averaged", k): (activation(k), right_input(k) / 4) for k in SLOPES},
    **{
        ("activation-of-previous-batch", k): (activation(k, previous=activation(k, EARLIER_Z)), DA * s(EARLIER_Z))
        for k, s in SLOPES.items()
    },
    **{("two-units-swapped", k): (activation(k), right_input(k)[:, [1, 0, 2]]) for k in SLOPES},
    ("activation-derivative-twice", "Sigmoid"): (activation("Sigmoid"), DA * SLOPES["Sigmoid"](Z) ** 2),
    ("activation-derivative-twice", "Tanh"): (activation("Tanh"), DA * SLOPES["Tanh"](Z) ** 2),
    ("derivative-taken-of-activation", "Sigmoid"): (activation("Sigmoid"), DA * SLOPES["Sigmoid"](A)),
    ("derivative-taken-of-activation", "Tanh"): (activation("Tanh"), DA * SLOPES["Tanh"](T)),
    ("derivative-formula-with-pre-activation", "Sigmoid"): (activation("Sigmoid"), DA * Z * (1 - Z)),
    ("derivative-formula-with-pre-activation", "Tanh"): (activation("Tanh"), DA * (1 - Z * Z)),
    ("derivative-of-wrong-layer", "Sigmoid"): (beside_another("Sigmoid"), DA * SLOPES["Sigmoid"](OTHER_Z)),
    ("derivative-of-wrong-layer", "Tanh"): (beside_another("Tanh"), DA * SLOPES["Tanh"](OTHER_Z)),
    ("mask-of-wrong-layer", "ReLU"): (beside_another("ReLU"), DA * (OTHER_Z > 0)),
    ("sigmoid-derivative-without-rest", "Sigmoid"): (activation("Sigmoid"), DA * A),
    ("sigmoid-derivative-only-rest", "Sigmoid"): (activation("Sigmoid"), DA * (1 - A)),
    ("sigmoid-derivative-plus", "Sigmoid"): (activation("Sigmoid"), DA * A * (1 + A)),
    ("tanh-derivative-without-square", "Tanh"): (activation("Tanh"), DA * (1 - T)),
    ("tanh-derivative-as-sigmoid", "Tanh"): (activation("Tanh"), DA * T * (1 - T)),
    ("cancelling-mistakes", "Sigmoid"): (activation("Sigmoid"), 2 * right_input("Sigmoid")),
    ("relu-leaky-only-backward", "ReLU"): (activation("ReLU"), DA * np.where(Z > 0, 1, 0.01)),
    ("relu-mask-from-gradient", "ReLU"): (activation("ReLU"), DA * (DA > 0)),
    ("relu-mask-inverted", "ReLU"): (activation("ReLU"), DA * (Z < 0)),
    ("relu-gradient-times-activation", "ReLU"): (activation("ReLU"), DA * np.maximum(Z, 0)),
    ("sigmoid-exponent-sign", "Sigmoid"): (activation("Sigmoid"), sigmoid(-Z)),
    ("sigmoid-steeper", "Sigmoid"): (activation("Sigmoid"), sigmoid(2 * Z)),
    ("tanh-half-argument", "Tanh"): (activation("Tanh"), (1 - np.exp(-Z)) / (1 + np.exp(-Z))),
    ("relu-leaky-only-forward", "ReLU"): (activation("ReLU"), np.where(Z > 0, Z, 0.01 * Z)),
    ("relu-absolute-value", "ReLU"): (activation("ReLU"), np.sqrt(Z * Z)),
}

P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
LOG_SOFTMAX = Site(
    "logsoftmax1", "LogSoftmax", Z, {"output": np.log(P), "input": DA - P * DA.sum(axis=1, keepdims=True)},
    y=np.log(P), dy=DA,
)  # fmt: skip
LOG_SOFTMAXES = {
    "logsoftmax-row-term-missing": DA,
    "logsoftmax-diagonal-only": DA * (1 - P),
    "logsoftmax-row-averaged": DA - P * DA.sum(axis=1, keepdims=True) / 3,
    "logsoftmax-over-batch": np.log(np.exp(Z) / np.exp(Z).sum(axis=0)),
}

LABELS = np.array([2, 0, 1, 1])
TARGET = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0]], float)
FACTORS = {
    "doubled": 2, "halved": 1 / 2, "summed-instead-of-averaged": 4, "averaged-twice": 1 / 4,
    "divided-by-outputs": 1 / 3, "multiplied-by-outputs": 3, "divided-by-n-minus-1": 4 / 3,
    "divided-by-nominal-batch": 4 / 6, "scaled-255-256": 255 / 256, "sign-flipped": -1,
}  # fmt: skip


def loss(kind: str, divisor: int = 4) -> Site:
    """A loss's site: four examples of a nominal batch of six, divided by `divisor`."""
    match kind:
        case "SquaredError" | "MSELoss":
            prediction, factor = A, 1 / 2 if kind == "SquaredError" else 1
            value, gradient = factor * np.sum((A - TARGET) ** 2), 2 * factor * (A - TARGET)
        case "CrossEntropyLoss":
            prediction, value, gradient = Z, -np.sum(TARGET * np.log(P)), P - TARGET
        case "NLLLoss":
            prediction, value, gradient = np.log(P), -np.sum(TARGET * np.log(P)), -TARGET
        case _:
            prediction = A
            value = -np.sum(TARGET * np.log(A) + (1 - TARGET) * np.log(1 - A))
            gradient = (1 - TARGET) / (1 - A) - TARGET / A
    right = {"value": np.asarray(value / divisor), "gradient": gradient / divisor}
    return Site("loss", kind, prediction, right, target=TARGET, labels=LABELS, nominal=6, classes=3)


LOSSES = ("SquaredError", "MSELoss", "CrossEntropyLoss", "NLLLoss", "BCELoss")
UP, DOWN = np.roll(TARGET, 1, axis=1), np.roll(TARGET, -1, axis=1)
LOSS_FORMULAS = {
    **{
        (f"{tensor}-{name}", kind): (loss(kind), loss(kind).right["gradient" if tensor == "delta" else "value"] * f)
        for name, f in FACTORS.items() for tensor in ("delta", "loss") for kind in LOSSES
    },
    ("loss-logarithm-base-2", "CrossEntropyLoss"): (
        loss("CrossEntropyLoss"), np.asarray(-np.sum(TARGET * np.log2(P)) / 4)
    ),
    ("loss-logarithm-base-10", "CrossEntropyLoss"): (
        loss("CrossEntropyLoss"), np.asarray(-np.sum(TARGET * np.log10(P)) / 4)
    ),
    ("softmax-derivative-as-sigmoid", "CrossEntropyLoss"): (loss("CrossEntropyLoss"), (P - TARGET) * P * (1 - P) / 4),
    ("softmax-diagonal-only", "CrossEntropyLoss"): (loss("CrossEntropyLoss"), -TARGET / P * P * (1 - P) / 4),
    ("delta-target-forgotten", "CrossEntropyLoss"): (loss("CrossEntropyLoss"), P / 4),
    ("delta-label-shifted", "CrossEntropyLoss"): (loss("CrossEntropyLoss"), [(P - UP) / 4, (P - DOWN) / 4]),
    ("delta-label-shifted", "SquaredError"): (loss("SquaredError"), [(A - UP) / 4, (A - DOWN) / 4]),
    ("delta-label-shifted", "MSELoss"): (loss("MSELoss", 12), [2 * (A - UP) / 12, 2 * (A - DOWN) / 12]),
    ("delta-label-shifted", "NLLLoss"): (loss("NLLLoss"), [-UP / 4, -DOWN / 4]),
    ("cross-entropy-denominator-forgotten", "BCELoss"): (loss("BCELoss"), (A - TARGET) / 4),
    ("cross-entropy-positive-term-only", "BCELoss"): (loss("BCELoss"), -TARGET / A / 4),
    **{("delta-two-classes-swapped", k): (loss(k), loss(k).right["gradient"][:, [1, 0, 2]]) for k in LOSSES},
    ("delta-squared", "SquaredError"): (loss("SquaredError"), (A - TARGET) ** 2 / 4),
    ("delta-squared", "MSELoss"): (loss("MSELoss", 12), 2 * (A - TARGET) ** 2 / 12),
    ("delta-sign-only", "SquaredError"): (loss("SquaredError"), np.sign(A - TARGET) / 4),
    # Divided by 1: reduction="sum"
    ("softmax-diagonal-only", "of a sum"): (loss("CrossEntropyLoss", 1), -TARGET * (1 - P)),
    ("delta-target-forgotten", "of a sum"): (loss("CrossEntropyLoss", 1), P),
    ("delta-label-shifted", "of a sum"): (loss("CrossEntropyLoss", 1), [P - UP, P - DOWN]),
}  # fmt: skip

PARAMETER, GRADIENT, VELOCITY = (RNG.normal(size=(5, 3)) for _ in range(3))
LR = 0.3


def sgd(
    name: str = "linear1.weight", momentum: float = 0.0, velocity: Array | None = None, decay: float = 0.0,
    nesterov: bool = False, **facts: Any,
) -> Site:  # fmt: skip
    """An update's site, by the equations of torch.optim.SGD without dampening."""
    g = GRADIENT + decay * PARAMETER
    v = g if velocity is None else momentum * velocity + g
    direction = (g + momentum * v if nesterov else v) if momentum else g
    right = {"updated": PARAMETER - LR * direction} | ({"momentum_buffer": v} if momentum else {})
    options = {
        "momentum": momentum, "dampening": 0.0, "nesterov": nesterov, "weight_decay": decay,
        "decay_of_weights": facts.pop("decay_of_weights", decay),
    }  # fmt: skip
    state = {} if velocity is None else {"momentum_buffer": velocity}
    return Site(
        name, "SGD", PARAMETER, right, dy=GRADIENT, state=state, options=options, lr=LR, nominal=6, classes=3, **facts
    )


MOVING = sgd(momentum=0.8, velocity=VELOCITY)
UPDATES = {
    "learning-rate-twice": (sgd(), PARAMETER - LR * LR * GRADIENT),
    "learning-rate-over-batch": (sgd(), PARAMETER - LR / 6 * GRADIENT),
    "update-adds": (sgd(), PARAMETER + LR * GRADIENT),
    "layer-never-updated": (sgd(), PARAMETER),
    "bias-never-updated": (sgd("linear1.bias"), PARAMETER),
    "updated-twice": (sgd(), PARAMETER - 2 * LR * GRADIENT),
    "previous-gradient-used": (
        sgd(previous=Site("linear1.weight", "SGD", PARAMETER, {}, dy=VELOCITY)), PARAMETER - LR * VELOCITY
    ),
    "weight-decay-halved": (sgd(decay=0.2), PARAMETER - LR * (GRADIENT + 0.1 * PARAMETER)),
    "weight-decay-doubled": (sgd(decay=0.2), PARAMETER - LR * (GRADIENT + 0.4 * PARAMETER)),
    "weight-decay-forgotten": (sgd(decay=0.2), PARAMETER - LR * GRADIENT),
    "weight-decay-on-biases": (
        sgd("linear1.bias", decay_of_weights=0.2), PARAMETER - LR * (GRADIENT + 0.2 * PARAMETER)
    ),
    "momentum-damped": (MOVING, 0.8 * VELOCITY + (1 - 0.8) * GRADIENT),
    "velocity-not-kept": (MOVING, GRADIENT),
    "momentum-halved-gradient-kept": (MOVING, VELOCITY + GRADIENT),
    "learning-rate-in-velocity": (MOVING, 0.8 * VELOCITY + LR * GRADIENT),
    "nesterov-without-look-ahead": (
        sgd(momentum=0.8, velocity=VELOCITY, nesterov=True), PARAMETER - LR * (0.8 * VELOCITY + GRADIENT)
    ),
    "parameter-scaled-255-256": (sgd(), (PARAMETER - LR * GRADIENT) * 255 / 256),
}  # fmt: skip

PIXELS = RNG.uniform(0.1, 0.9, (4, 9))
BATCH = Site("batch", "Batch", PIXELS, {"input": PIXELS, "target": LABELS}, target=LABELS, classes=3)
IMAGES = PIXELS.reshape(4, 3, 3)
BATCHES = {
    "pixels-divided-by-256": PIXELS * 255 / 256,
    "pixels-not-scaled": PIXELS * 255,
    "pixels-centred": (PIXELS - 0.5) / 0.5,
    "images-transposed": np.stack([image.T.ravel() for image in IMAGES]),
    "images-shuffled-from-labels": [PIXELS[[3, 0, 1, 2]], PIXELS[[1, 2, 3, 0]], PIXELS[[3, 2, 1, 0]]],
    "labels-shuffled-from-images": [LABELS[[3, 0, 1, 2]], LABELS[[1, 2, 3, 0]], LABELS[[3, 2, 1, 0]]],
    "labels-shifted-by-one": [np.array([0, 1, 2, 2]), np.array([1, 2, 0, 0])],
}

FORMULAS = {
    **{name: (name, *made) for name, made in {**LINEAR, **UPDATES}.items()},
    **{f"{name} of {kind}": (name, *made) for (name, kind), made in {**ACTIVATIONS, **LOSS_FORMULAS}.items()},
    **{name: (name, LOG_SOFTMAX, wrong) for name, wrong in LOG_SOFTMAXES.items()},
    **{name: (name, BATCH, wrong) for name, wrong in BATCHES.items()},
}


@pytest.mark.parametrize("case", FORMULAS)
def test_an_entry_does_what_it_says(case: str) -> None:
    name, site, expected = FORMULAS[case]
    ways = CATALOGUE[name].ways(site)
    wanted = expected if isinstance(expected, list) else [expected]
    assert len(ways) == len(wanted)
    for way, other in zip(ways, wanted, strict=True):
        np.testing.assert_allclose(way, other, rtol=1e-12, atol=1e-14)
        assert way.dtype == site.right[CATALOGUE[name].key].dtype
        assert way.shape != site.right[CATALOGUE[name].key].shape or not np.array_equal(
            way, site.right[CATALOGUE[name].key]
        )


APART = ("smooth", "structure", "convolution", "normalization", "recurrent", "losses", "optimizers")


def made_apart() -> set[str]:
    """Return the mistakes that have their tests in a file of their own: test_mistakes_smooth, ..."""
    names = set()
    for room in APART:
        test = vars(import_module(f"tests.diagnosis.test_mistakes_{room}"))
        tested = next(test[key] for key in ("MISTAKES", "OWN", "NEW", "PARTICULAR") if key in test)
        names |= {m if isinstance(m, str) else m.name for m in tested}
    return names


def test_no_formula_is_left_out() -> None:
    """Those without one here: read off what was found, lost precision, and what no operation makes."""
    fitted = {name for name, m in CATALOGUE.items() if m.fitted or m.precision or "Network" in m.on}
    elsewhere = {"relu-mask-at-zero", "loss-after-update"} | made_apart()
    assert {name for name, *_ in FORMULAS.values()} | elsewhere == CATALOGUE.keys() - fitted | elsewhere


def test_greater_or_equal_differs_at_zero_alone() -> None:
    mistake, z = CATALOGUE["relu-mask-at-zero"], Z.copy()
    (without,) = mistake.ways(activation("ReLU", z))
    np.testing.assert_array_equal(without, right_input("ReLU"))
    z[2, 1] = 0.0
    (at_zero,) = mistake.ways(activation("ReLU", z))
    apart = np.argwhere(at_zero != DA * SLOPES["ReLU"](z))
    assert apart.tolist() == [[2, 1]]
    assert at_zero[2, 1] == DA[2, 1]


def test_a_mistake_that_cannot_be_made_is_not_made() -> None:
    """A forgotten transposition needs a square weight; a stale cache a batch before, of the same size."""
    nowhere = {
        "weight-not-transposed-forward": linear(), "weight-transposed-backward": linear(),
        "weight-gradient-transposed": linear(), "weight-reshaped-forward": SQUARE, "weight-reshaped-backward": SQUARE,
        "weight-gradient-reshaped": SQUARE, "bias-gradient-wrong-axis": linear(), "gradient-not-zeroed": linear(),
        "cache-of-previous-batch": linear(previous=linear(EARLIER_X[:2], EARLIER_DY[:2])),
        "derivative-of-wrong-layer": activation("Sigmoid"), "mask-of-wrong-layer": activation("ReLU"),
        "nesterov-without-look-ahead": MOVING, "momentum-damped": sgd(momentum=0.8), "velocity-not-kept": sgd(),
        "weight-decay-halved": sgd(), "weight-decay-on-biases": sgd("linear1.bias", decay=0.2),
        "loss-logarithm-base-2": loss("SquaredError"), "softmax-diagonal-only": loss("BCELoss"),
        "last-example-only": linear(X[:1], DY[:1]), "weight-gradient-divided-by-n-minus-1": linear(X[:1], DY[:1]),
    }  # fmt: skip
    for name, site in nowhere.items():
        assert CATALOGUE[name].ways(site) == [], name


@pytest.mark.parametrize("tensor", ["weight", "gradient", "updated", "output"])
@pytest.mark.parametrize("lower", ["float16", "float32"])
def test_lost_precision_is_a_rounding_to_that_precision(lower: str, tensor: str) -> None:
    places = {"weight": "weight-gradient", "gradient": "delta", "updated": "update", "output": "forward"}
    site = {"weight": linear(), "output": linear(), "gradient": loss("SquaredError"), "updated": sgd()}[tensor]
    (way,) = CATALOGUE[f"{lower}-in-{places[tensor]}"].ways(site)
    right = site.right[tensor]
    assert way.dtype == np.float64
    np.testing.assert_array_equal(way, right.astype(lower))
    assert not np.array_equal(way, right)
    assert np.abs(way - right).max() <= np.finfo(lower).eps * np.abs(right).max()


KEYS = ("output", "input", "weight", "bias", "gradient", "value", "updated", "momentum_buffer", "target")


def test_a_layer_of_the_other_kind_is_left_alone() -> None:
    for mistake in CATALOGUE.values():
        site = Site("somewhere", "Dropout", X, dict.fromkeys(KEYS, X))
        assert mistake.ways(site) == []


# Mistakes with a quantity of their own, read off what was found


def found(name: str, wrong: Array, site: Site | None = None) -> list[Array]:
    return CATALOGUE[name].ways(replace(site or linear(), found=wrong, noise=1e-12))


def test_a_single_wrong_place_is_read_off() -> None:
    right = DY.T @ X
    element, row, column, corner = (right.copy() for _ in range(4))
    element[3, 1] += 0.2
    row[3] *= 1.1
    column[:, 1] = 0.0
    corner[0, 0], corner[4, 2] = 9.0, 9.0
    for name, wrong in {"one-element-wrong": element, "one-row-wrong": row, "one-column-wrong": column}.items():
        for other in ("one-element-wrong", "one-row-wrong", "one-column-wrong"):
            ways = found(other, wrong)
            assert len(ways) == (other == name)
            if ways:
                np.testing.assert_array_equal(ways[0], wrong)
        assert found(name, corner) == []


def test_a_limit_is_read_off() -> None:
    right = DY.T @ X
    limit = float(np.sort(np.abs(right).ravel())[-5])
    (way,) = found("gradient-clipped-by-value", np.clip(right, -limit, limit))
    np.testing.assert_array_equal(way, np.clip(right, -limit, limit))
    size = float(np.linalg.norm(right))
    (way,) = found("gradient-clipped-by-norm", right * (0.5 / size))
    np.testing.assert_allclose(way, right * (0.5 / size), rtol=1e-14)
    assert found("gradient-clipped-by-norm", right * (0.5137 / size)) == []  # nobody types such a limit
    assert found("gradient-clipped-by-norm", right * 2) == []


def test_feedback_weights_are_read_off_where_there_are_more_examples_than_units() -> None:
    rng = np.random.default_rng(5)
    dy, x, other = rng.normal(size=(9, 5)), rng.normal(size=(9, 3)), rng.normal(size=(5, 3))
    (way,) = found("random-feedback-weights", dy @ other, linear(x, dy))
    np.testing.assert_allclose(way, dy @ other, rtol=1e-10)
    assert found("random-feedback-weights", DY @ other) == []  # 4 examples, 5 units: some matrix always fits


def test_two_classes_are_read_off() -> None:
    swapped = np.array([2, 1, 0, 0])
    (way,) = CATALOGUE["two-classes-swapped"].ways(replace(BATCH, found=swapped))
    np.testing.assert_array_equal(way, swapped)
