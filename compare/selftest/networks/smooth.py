"""Networks that between them admit every mistake of the smooth activations and of softmax."""

from typing import Any


def linear(inputs: int, outputs: int) -> dict[str, Any]:
    """Return the table of a linear layer."""
    return {"kind": "Linear", "in_features": inputs, "out_features": outputs}


NETWORKS: list[dict[str, Any]] = [
    {
        "name": "smooth-units", "side": 6, "shape": (36,), "batch_size": 7, "classes": 3,
        "layers": [
            linear(36, 5), {"kind": "LeakyReLU", "negative_slope": 0.2},
            linear(5, 4), {"kind": "ELU", "alpha": 1.5},
            linear(4, 5), {"kind": "GELU"},
            linear(5, 5), {"kind": "GELU", "approximate": "tanh"},
            linear(5, 3),
        ],
        "loss": {"kind": "CrossEntropyLoss"}, "optimizer": {"kind": "SGD", "lr": 0.1},
    },
    {
        "name": "smooth-rows", "side": 6, "shape": (36,), "batch_size": 7, "classes": 3,
        "layers": [
            linear(36, 5), {"kind": "SiLU"},
            linear(5, 5), {"kind": "SiLU"},
            linear(5, 4), {"kind": "Softplus", "beta": 1.7},
            linear(4, 5), {"kind": "Softmax", "dim": 1},
            linear(5, 3),
        ],
        "loss": {"kind": "SquaredError"}, "optimizer": {"kind": "SGD", "lr": 0.1},
    },
]  # fmt: skip
