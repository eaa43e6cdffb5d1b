"""RNN, LSTM and GRU: every option of the constructor at least once, batches of sequences and single sequences.

With dropout between the layers torch draws masks of its own in training, which nobody else can draw: those passes are
held against two torch layers with the mask between them in tests/manual.
"""

from tests.catalogue.cases.case import Case

SIZES = {"input_size": 3, "hidden_size": 4}

CASES: list[Case] = [
    Case("RNN", ("time", "batch", 3), SIZES),
    Case("RNN", ("time", 3), SIZES, about="one sequence"),
    Case("RNN", ("time", "batch", 3), SIZES | {"nonlinearity": "relu"}),
    Case("RNN", ("time", "batch", 3), SIZES | {"bias": False}),
    Case("RNN", ("batch", 3, 3), SIZES | {"batch_first": True, "num_layers": 2}),
    Case("RNN", (4, "batch", 3), SIZES | {"bidirectional": True}),
    Case("RNN", (3, "batch", 3), SIZES | {"num_layers": 2, "dropout": 0.4}, training=False),
    Case("LSTM", ("time", "batch", 3), SIZES),
    Case("LSTM", ("time", 3), SIZES, about="one sequence"),
    Case("LSTM", ("time", "batch", 3), SIZES | {"bias": False}),
    Case("LSTM", ("batch", 3, 3), SIZES | {"batch_first": True, "num_layers": 2}),
    Case("LSTM", (4, "batch", 3), SIZES | {"bidirectional": True}),
    Case("LSTM", (3, "batch", 3), SIZES | {"proj_size": 2}),
    Case("LSTM", (3, 2, 3), SIZES | {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
    Case("LSTM", (3, "batch", 3), SIZES | {"num_layers": 2, "dropout": 0.4}, training=False),
    Case("GRU", ("time", "batch", 3), SIZES),
    Case("GRU", ("time", 3), SIZES, about="one sequence"),
    Case("GRU", ("time", "batch", 3), SIZES | {"bias": False}),
    Case("GRU", ("batch", 3, 3), SIZES | {"batch_first": True, "num_layers": 2}),
    Case("GRU", (4, "batch", 3), SIZES | {"bidirectional": True}),
    Case("GRU", (3, "batch", 3), SIZES | {"num_layers": 2, "dropout": 0.4}, training=False),
]
