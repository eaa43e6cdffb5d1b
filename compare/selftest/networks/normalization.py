"""Small networks with normalising layers: between them they admit every mistake that is made in one.

eps is larger than by default, so that in float32 too its place can be told.
"""

LOSS = {"kind": "CrossEntropyLoss"}
SGD = {"kind": "SGD", "lr": 0.1}

NETWORKS: list[dict] = [
    {
        "name": "small-batchnorm", "side": 6, "shape": (36,),
        "layers": [
            {"kind": "Linear", "in_features": 36, "out_features": 8},
            {"kind": "BatchNorm1d", "num_features": 8, "eps": 1e-3},
            {"kind": "Sigmoid"},
            {"kind": "Linear", "in_features": 8, "out_features": 3},
        ],
        "loss": LOSS, "optimizer": SGD, "batch_size": 7, "classes": 3,
    },
    {
        "name": "small-batchnorm-images", "side": 6, "shape": (1, 6, 6),
        "layers": [
            {"kind": "Conv2d", "in_channels": 1, "out_channels": 3, "kernel_size": 3},
            {"kind": "BatchNorm2d", "num_features": 3, "eps": 1e-3},
            {"kind": "Flatten"},
            {"kind": "Linear", "in_features": 48, "out_features": 3},
        ],
        "loss": LOSS, "optimizer": SGD, "batch_size": 7, "classes": 3,
    },
    {
        "name": "small-groupnorm", "side": 6, "shape": (1, 6, 6),
        "layers": [
            {"kind": "Conv2d", "in_channels": 1, "out_channels": 6, "kernel_size": 4},
            {"kind": "GroupNorm", "num_groups": 2, "num_channels": 6, "eps": 1e-3},
            {"kind": "Flatten"},
            {"kind": "Linear", "in_features": 54, "out_features": 3},
        ],
        "loss": LOSS, "optimizer": SGD, "batch_size": 7, "classes": 3,
    },
    {
        "name": "small-layernorm-rmsnorm", "side": 6, "shape": (36,),
        "layers": [
            {"kind": "Linear", "in_features": 36, "out_features": 8},
            {"kind": "LayerNorm", "normalized_shape": 8, "eps": 1e-3},
            {"kind": "Linear", "in_features": 8, "out_features": 5},
            {"kind": "RMSNorm", "normalized_shape": 5, "eps": 1e-3},
            {"kind": "Linear", "in_features": 5, "out_features": 3},
        ],
        "loss": LOSS, "optimizer": SGD, "batch_size": 7, "classes": 3,
    },
]  # fmt: skip
