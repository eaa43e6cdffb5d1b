"""The settings that an answer is judged in: an option that changes the gradient is tried, not only its default."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compare.exercise.entries import LIKE, PROBABILITIES, Entry, preset_of

SUM: dict[str, Any] = {"reduction": "sum"}
WEIGHT: dict[str, Any] = {"weight": (0.5, 2.0, 1.5)}
MOMENTUM: dict[str, Any] = {"lr": 0.3, "momentum": 0.8}
ENDS, HIDDEN = 4, 5  # sizes that a network is tried with; an answer works with any
THREE = ("batch", 3)  # as many classes as there are weights

# Of a kind: the arguments of each further setting; "shape" and "target" are of the inputs.
FURTHER: dict[str, tuple[Mapping[str, Any], ...]] = {
    "SquaredError": ({"reduction": "sum", "factor": 1.5},),
    "MSELoss": (SUM,),
    "L1Loss": (SUM,),
    "HuberLoss": ({"reduction": "sum", "delta": 0.4},),
    "SmoothL1Loss": ({"reduction": "sum", "beta": 0.4},),
    "CrossEntropyLoss": (
        {**SUM, "ignore_index": 0},
        {**WEIGHT, "label_smoothing": 0.2, "shape": THREE},
        {"label_smoothing": 0.1, "target": PROBABILITIES},
    ),
    "NLLLoss": ({**SUM, "ignore_index": 0}, {**WEIGHT, "shape": THREE}),
    "BCELoss": (SUM, {**WEIGHT, "shape": THREE}),
    "BCEWithLogitsLoss": (SUM, {**WEIGHT, "pos_weight": (3.0, 0.4, 1.2), "shape": THREE}),
    "KLDivLoss": ({"reduction": "batchmean"}, {**SUM, "log_target": True, "target": LIKE}),
    "MultiMarginLoss": ({**SUM, "p": 2, "margin": 0.7}, {**WEIGHT, "shape": THREE}),
    "SGD": (
        {"lr": 0.3},
        {**MOMENTUM, "dampening": 0.4, "maximize": True},
        {**MOMENTUM, "nesterov": True, "weight_decay": 0.05},
    ),
    "Adagrad": ({"lr": 0.3, "initial_accumulator_value": 0.2, "maximize": True},),
    "RMSprop": ({"lr": 0.05, "momentum": 0.8, "centered": True, "eps": 0.01, "maximize": True},),
    "Adadelta": ({"lr": 0.7, "rho": 0.6, "eps": 0.001, "maximize": True},),
    "Adam": ({"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.01, "amsgrad": True, "maximize": True},),
    "AdamW": ({"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.01, "amsgrad": True, "maximize": True},),
    "Conv2d": ({"in_channels": 2, "out_channels": 4, "kernel_size": 2, "padding": (1, 2), "groups": 2, "bias": False},),
    "MaxPool2d": ({"kernel_size": 2, "padding": 1},),
    "AvgPool2d": ({"kernel_size": 2, "padding": 1, "count_include_pad": False},),
    "GELU": ({"approximate": "tanh"},),
    "BatchNorm1d": ({"num_features": 3, "affine": False},),
    "BatchNorm2d": ({"num_features": 3, "affine": False},),
    "LayerNorm": ({"normalized_shape": 6, "elementwise_affine": False},),
    "RMSNorm": ({"normalized_shape": 6, "eps": 1e-5, "elementwise_affine": False},),
    "GroupNorm": ({"num_groups": 2, "num_channels": 6, "affine": False},),
    "Embedding": ({"num_embeddings": 6, "embedding_dim": 4, "padding_idx": 2, "scale_grad_by_freq": True},),
    "MultiheadAttention": ({"embed_dim": 6, "num_heads": 3, "bias": False},),
}


def settings_of(entry: Entry) -> list[Entry]:
    """Return the exercise in all settings that it is judged in, its own first."""
    found = [entry]
    for further in FURTHER.get(entry.kind, ()):
        own = {key: value for key, value in further.items() if key not in ("shape", "target")}
        inputs = {key: value for key, value in further.items() if key in ("shape", "target")}
        found.append(replace(entry, arguments=own, **inputs))
    return found


def shown_setting(entry: Entry) -> str:
    """Return a setting as it would be typed, MSELoss(reduction='sum'), and the target if it is another than usual."""
    shown = [
        f"{name}=[{', '.join(layer['kind'] for layer in value)}]" if name == "layers" else f"{name}={value!r}"
        for name, value in entry.arguments.items()
    ]
    target = f", target: {entry.target}" if entry.target == PROBABILITIES else ""
    return f"{entry.kind}({', '.join(shown)}){target}"


def small_sizes(entry: Entry) -> list[int]:
    """Return the units of the layers of a network as it is tried, from the input to the output."""
    count = sum(layer.kind == "Linear" for layer in preset_of(entry).layers)
    return [ENDS, *(HIDDEN + place for place in range(count - 1)), ENDS]
