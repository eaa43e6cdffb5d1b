"""A small network with all three recurrent layers: it admits every mistake that is made in one."""

NETWORKS: list[dict] = [
    {
        "name": "small-recurrent", "side": 6, "shape": (6, 6),
        "layers": [
            {"kind": "RNN", "input_size": 6, "hidden_size": 5, "batch_first": True},
            {"kind": "LSTM", "input_size": 5, "hidden_size": 4, "batch_first": True},
            {"kind": "GRU", "input_size": 4, "hidden_size": 5, "batch_first": True},
            {"kind": "Flatten"},
            {"kind": "Linear", "in_features": 30, "out_features": 3},
        ],
        "loss": {"kind": "CrossEntropyLoss"}, "optimizer": {"kind": "SGD", "lr": 0.1}, "batch_size": 7, "classes": 3,
    },
]  # fmt: skip
