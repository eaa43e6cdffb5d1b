"""What `layers` measures: every layer and loss of the catalogue at a size that it has in small networks, batch 64."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BATCH = 64


@dataclass(frozen=True)
class Entry:
    """A layer or a loss, and what it is given."""

    kind: str
    shape: tuple[int, ...]  # of the input, or a loss's prediction
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the constructor
    first: bool = False  # as the first layer of a network, which nobody asks for the gradient of its input
    indices: int = 0  # an input of integers below this number
    target: str = ""  # of a loss: "like" the prediction, "labels", or "probabilities"

    def __str__(self) -> str:
        values = self.arguments.values()
        given = ", ".join(str(v) if not isinstance(v, list) else " ".join(layer["kind"] for layer in v) for v in values)
        return f"{self.kind}({given}) {self.shape}{', first layer' if self.first else ''}"


IMAGES, FEATURES, SEQUENCE, OUTPUTS = (BATCH, 6, 28, 28), (BATCH, 256), (28, BATCH, 28), (BATCH, 10)
CHANNELS, ROWS = (BATCH, 16, 14, 14), (BATCH, 28, 64)
BLOCK = [
    {"kind": "Linear", "name": "linear1", "in_features": 256, "out_features": 256},
    {"kind": "ReLU", "name": "relu1"},
]

LAYERS = (
    Entry("Linear", (BATCH, 784), {"in_features": 784, "out_features": 100}),
    Entry("Flatten", IMAGES),
    *(
        Entry(kind, FEATURES)
        for kind in ("Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus", "Softmax", "LogSoftmax")
    ),
    Entry("GELU", FEATURES, {"approximate": "tanh"}),
    Entry("Dropout", FEATURES, {"p": 0.5}),
    Entry("Conv2d", (BATCH, 1, 28, 28), {"in_channels": 1, "out_channels": 6, "kernel_size": 5, "padding": 2}, True),
    Entry("Conv2d", (BATCH, 6, 14, 14), {"in_channels": 6, "out_channels": 16, "kernel_size": 5}),
    Entry("MaxPool2d", IMAGES, {"kernel_size": 2}),
    Entry("AvgPool2d", IMAGES, {"kernel_size": 2}),
    Entry("BatchNorm1d", FEATURES, {"num_features": 256}),
    Entry("BatchNorm2d", CHANNELS, {"num_features": 16}),
    Entry("LayerNorm", ROWS, {"normalized_shape": 64}),
    Entry("RMSNorm", ROWS, {"normalized_shape": 64}),
    Entry("GroupNorm", CHANNELS, {"num_groups": 4, "num_channels": 16}),
    Entry("Embedding", (BATCH, 28), {"num_embeddings": 256, "embedding_dim": 64}, indices=256),
    Entry("Positions", ROWS, {"length": 28, "features": 64}),
    Entry("RNN", SEQUENCE, {"input_size": 28, "hidden_size": 64}),
    Entry("LSTM", SEQUENCE, {"input_size": 28, "hidden_size": 64}),
    Entry("GRU", SEQUENCE, {"input_size": 28, "hidden_size": 64}),
    Entry("MultiheadAttention", (28, BATCH, 64), {"embed_dim": 64, "num_heads": 4}),
    Entry("Residual", FEATURES, {"layers": BLOCK}),
)

LOSSES = (
    *(
        Entry(kind, OUTPUTS, target="like")
        for kind in ("SquaredError", "MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss")
    ),
    *(Entry(kind, OUTPUTS, target="labels") for kind in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")),
    *(Entry(kind, OUTPUTS, target="probabilities") for kind in ("BCELoss", "BCEWithLogitsLoss")),
    Entry("KLDivLoss", OUTPUTS, {"reduction": "batchmean"}, target="probabilities"),
)

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adagrad": {},
    "RMSprop": {},
    "Adadelta": {},
    "Adam": {},
    "AdamW": {},
}
WEIGHTS = {"weight1": (100, 784), "bias1": (100,), "weight2": (10, 100), "bias2": (10,)}  # of the network 784-100-10
