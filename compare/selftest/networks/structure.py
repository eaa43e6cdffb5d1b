"""Networks that between them admit every mistake of flattening, dropout, embedding, positions and residuals."""

from typing import Any


def linear(inputs: int, outputs: int) -> dict[str, Any]:
    """Return the table of a linear layer."""
    return {"kind": "Linear", "in_features": inputs, "out_features": outputs}


NETWORKS: list[dict[str, Any]] = [
    {
        "name": "structure-detour", "side": 6, "shape": (1, 6, 6), "batch_size": 7, "classes": 3,
        "layers": [
            linear(6, 5), {"kind": "Flatten"},
            linear(30, 4), {"kind": "Residual", "layers": [linear(4, 5), {"kind": "Tanh"}, linear(5, 4)]},
            {"kind": "Dropout", "p": 0.4},
            linear(4, 3),
        ],
        "loss": {"kind": "CrossEntropyLoss"}, "optimizer": {"kind": "SGD", "lr": 0.1},
    },
    {
        "name": "structure-sequence", "side": 6, "shape": (6, 6), "batch_size": 7, "classes": 3,
        "layers": [linear(6, 4), {"kind": "Positions", "length": 8, "features": 4}, {"kind": "Flatten"}, linear(24, 3)],
        "loss": {"kind": "CrossEntropyLoss"}, "optimizer": {"kind": "SGD", "lr": 0.1},
    },
    *(
        {
            "name": name, "side": 6, "shape": (36,), "batch_size": 7, "classes": 3,
            "indices": 9,  # pixels are given as the integers 0 to 8 that they fall into
            "layers": [
                {"kind": "Embedding", "num_embeddings": 9, "embedding_dim": 4, **options},
                {"kind": "Flatten"}, linear(144, 3),
            ],
            "loss": {"kind": "CrossEntropyLoss"}, "optimizer": {"kind": "SGD", "lr": 0.1},
        }
        for name, options in (
            ("structure-table", {"padding_idx": 2}), ("structure-frequencies", {"scale_grad_by_freq": True}),
        )
    ),
]  # fmt: skip
