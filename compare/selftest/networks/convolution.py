"""Small networks of convolutions and poolings: between them they admit every mistake that is made in one.

A pooling stands above a convolution whose outputs have both signs, and another above a ReLU, whose zeros tie.
"""

from typing import Any


def network(name: str, layers: list[dict[str, Any]], features: int) -> dict[str, Any]:
    """Return the network of these layers, of a first convolution before them, and of a linear layer after them."""
    first = {"kind": "Conv2d", "in_channels": 1, "out_channels": 4, "kernel_size": 3, "padding": 1}
    last = {"kind": "Linear", "in_features": features, "out_features": 3}
    return {
        "name": name, "side": 6, "shape": (1, 6, 6), "layers": [first, *layers, {"kind": "Flatten"}, last],
        "loss": {"kind": "CrossEntropyLoss"}, "optimizer": {"kind": "SGD", "lr": 0.1}, "batch_size": 7, "classes": 3,
    }  # fmt: skip


SECOND = {"kind": "Conv2d", "in_channels": 4, "out_channels": 3, "kernel_size": 3, "padding": 1}
EVERYTHING = {"groups": 2, "stride": 2, "padding": 2, "dilation": 2}

NETWORKS: list[dict[str, Any]] = [
    network("small-convolution", [SECOND | EVERYTHING | {"out_channels": 6}], 54),
    network(
        "small-max-pooling",
        [
            {"kind": "MaxPool2d", "kernel_size": 3, "stride": 2, "padding": 1},
            SECOND,
            {"kind": "ReLU"},
            {"kind": "MaxPool2d", "kernel_size": 2, "stride": 1},
        ],
        12,
    ),
    network(
        "small-average-pooling",
        [
            {"kind": "AvgPool2d", "kernel_size": 3, "stride": 2, "padding": 1},
            SECOND,
            {"kind": "AvgPool2d", "kernel_size": 2, "stride": 1, "divisor_override": 3},
        ],
        12,
    ),
]
