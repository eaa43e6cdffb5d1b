"""Small networks that between them admit every mistake in the losses: each loss with the options that invite them."""

from typing import Any

WEIGHT = [0.6, 1.7, 1.3]


def network(name: str, kind: str, *, last: tuple[dict[str, Any], ...] = (), lr: float = 0.1, **options: Any) -> dict:
    """Return two linear layers, what the loss wants below it, and the loss with its options."""
    layers: list[dict[str, Any]] = [
        {"kind": "Linear", "in_features": 16, "out_features": 5},
        {"kind": "Tanh"},
        {"kind": "Linear", "in_features": 5, "out_features": 3},
        *last,
    ]
    return {
        "name": name, "side": 4, "shape": (16,), "layers": layers, "loss": {"kind": kind, **options},
        "optimizer": {"kind": "SGD", "lr": lr}, "batch_size": 7, "classes": 3,
    }  # fmt: skip


SIGMOID, LOG_SOFTMAX = ({"kind": "Sigmoid"},), ({"kind": "LogSoftmax", "dim": 1},)

NETWORKS: list[dict] = [
    network("smoothed", "CrossEntropyLoss", weight=WEIGHT, label_smoothing=0.2, ignore_index=1),
    network("likelihood-weighted", "NLLLoss", last=LOG_SOFTMAX, weight=WEIGHT, ignore_index=1),
    network("margin", "MultiMarginLoss", margin=0.8, weight=WEIGHT),
    network("margin-squared", "MultiMarginLoss", p=2, margin=0.8),
    network("distance", "L1Loss"),
    network("huber", "HuberLoss", delta=0.35),
    network("smooth-distance", "SmoothL1Loss", beta=0.35),
    network("questions-weighted", "BCELoss", last=SIGMOID, weight=WEIGHT),
    network("logits", "BCEWithLogitsLoss", weight=WEIGHT, pos_weight=[1.9, 0.7, 1.4]),
    network("divergence", "KLDivLoss", last=LOG_SOFTMAX),
    network("divergence-logarithms", "KLDivLoss", last=LOG_SOFTMAX, log_target=True),
]
