"""What shapes, looks up, leaves out and goes around: Linear on sequences, Flatten, Dropout, Embedding, Residual.

A table with max_norm is shortened by the pass itself, and in float32 sometimes once more by the next, as torch's is; so
only one such case is here, and other norms are held against torch in tests/manual.
"""

from tests.catalogue.cases.case import Case

TWO_LAYERS = [
    {"kind": "Linear", "in_features": 4, "out_features": 7},
    {"kind": "Tanh"},
    {"kind": "Linear", "in_features": 7, "out_features": 4},
]

CASES = [
    Case("Linear", ("batch", 3), {"in_features": 3, "out_features": 4}),
    Case("Linear", ("batch", 5), {"in_features": 5, "out_features": 2, "bias": False}),
    Case("Linear", ("batch", "n", 3), {"in_features": 3, "out_features": 4}, about="sequences"),
    Case("Linear", ("batch", 2, "n", 3), {"in_features": 3, "out_features": 5, "bias": False}),
    Case("Flatten", ("batch", 2, 3, 4)),
    Case("Flatten", ("batch", "n")),
    Case("Flatten", ("batch", 2, 3, 4), {"start_dim": 2}),
    Case("Flatten", ("batch", 2, 3, 4), {"start_dim": 1, "end_dim": 2}),
    Case("Flatten", ("batch", 2, 3, 4), {"start_dim": 0, "end_dim": -2}),
    Case("Dropout"),
    Case("Dropout", ("batch", 2, 3, 4), {"p": 0.3}),
    Case("Dropout", ("batch", "n"), {"p": 0.0}, about="nothing dropped"),
    Case("Dropout", ("batch", "n"), {"p": 1.0}, about="all dropped"),
    Case("Dropout", ("batch", "n"), {"p": 0.3}, training=False),
    Case("Embedding", ("batch", "n"), {"num_embeddings": 6, "embedding_dim": 4}, indices=6),
    Case("Embedding", ("batch",), {"num_embeddings": 3, "embedding_dim": 5}, indices=3, about="one index an example"),
    Case("Embedding", ("batch", 2, 3), {"num_embeddings": 5, "embedding_dim": 3, "padding_idx": 2}, indices=5),
    Case("Embedding", ("batch", "n"), {"num_embeddings": 5, "embedding_dim": 3, "padding_idx": -1}, indices=5),
    Case("Embedding", ("batch", 7), {"num_embeddings": 4, "embedding_dim": 3, "scale_grad_by_freq": True}, indices=4),
    Case("Embedding", ("batch", "n"), {"num_embeddings": 6, "embedding_dim": 4, "max_norm": 1.0}, indices=6),
    Case("Positions", ("batch", 6, 4), {"length": 6, "features": 4}),
    Case("Positions", ("batch", 3, 4), {"length": 6, "features": 4}, about="shorter than it could be"),
    Case("Residual", ("batch", 4), {"layers": TWO_LAYERS}),
    Case("Residual", ("batch", "n", 4), {"layers": TWO_LAYERS}, about="sequences"),
    Case("Residual", ("batch", "n"), {"layers": [{"kind": "SiLU"}]}, about="without weights"),
    Case("Residual", ("batch", 4), {"layers": [{"kind": "Residual", "layers": TWO_LAYERS}, {"kind": "GELU"}]}),
]  # fmt: skip
