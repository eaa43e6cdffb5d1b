"""A small network with two attentions, the rows of an image as positions: it admits every mistake that is made in one.

The second stands above the first, so that its input's gradient is asked for; both are causal.
"""

NETWORKS: list[dict] = [
    {
        "name": "small-attention", "side": 6, "shape": (6, 6),
        "layers": [
            {"kind": "MultiheadAttention", "embed_dim": 6, "num_heads": 2, "batch_first": True, "is_causal": True},
            {"kind": "MultiheadAttention", "embed_dim": 6, "num_heads": 3, "batch_first": True, "is_causal": True},
            {"kind": "Flatten"},
            {"kind": "Linear", "in_features": 36, "out_features": 3},
        ],
        "loss": {"kind": "CrossEntropyLoss"}, "optimizer": {"kind": "SGD", "lr": 0.1}, "batch_size": 7, "classes": 3,
    },
]  # fmt: skip
