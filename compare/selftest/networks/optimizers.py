"""Small networks that between them admit the mistakes of the optimizers."""

from typing import Any

LAYERS = [
    {"kind": "Linear", "in_features": 36, "out_features": 5},
    {"kind": "Tanh"},
    {"kind": "Linear", "in_features": 5, "out_features": 3},
]

# eps is large enough to show: beside a root of 0.01, 1e-8 is rounding.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adagrad": {"kind": "Adagrad", "lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.01, "eps": 0.01},
    "rmsprop": {"kind": "RMSprop", "lr": 0.01, "alpha": 0.9, "eps": 0.01, "weight_decay": 0.1},
    "rmsprop-centered": {"kind": "RMSprop", "lr": 0.01, "alpha": 0.9, "eps": 0.01, "centered": True},
    "rmsprop-momentum": {
        "kind": "RMSprop", "lr": 0.01, "alpha": 0.9, "eps": 0.01, "centered": True, "momentum": 0.8,
    },
    "adadelta": {"kind": "Adadelta", "lr": 0.7, "eps": 0.001},
    "adam": {"kind": "Adam", "lr": 0.01, "betas": [0.8, 0.9], "eps": 0.01, "weight_decay": 0.1},
    "adam-amsgrad": {"kind": "Adam", "lr": 0.01, "betas": [0.8, 0.9], "eps": 0.01, "amsgrad": True},
    "adamw": {"kind": "AdamW", "lr": 0.01, "eps": 0.01, "weight_decay": 0.1},
    "clipped": {"kind": "SGD", "lr": 0.3, "max_norm": 0.3, "schedule": {"kind": "LinearLR", "total_iters": 4}},
    "unclipped": {"kind": "SGD", "lr": 0.3, "max_norm": 100.0},
    "clipped-by-value": {"kind": "SGD", "lr": 0.3, "clip_value": 0.02},
    "accumulated": {"kind": "SGD", "lr": 0.3, "accumulate": 2},
}  # fmt: skip

NETWORKS: list[dict[str, Any]] = [
    {
        "name": f"small-{name}", "side": 6, "shape": (36,), "layers": LAYERS, "loss": {"kind": "CrossEntropyLoss"},
        "optimizer": optimizer, "batch_size": 7, "classes": 3,
    }
    for name, optimizer in OPTIMIZERS.items()
]  # fmt: skip
