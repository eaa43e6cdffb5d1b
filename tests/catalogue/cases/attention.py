"""MultiheadAttention as self-attention: every option of the constructor at least once.

With dropout torch draws a mask of its own in training: that pass is held against torch's operations in tests/manual.
"""

from tests.catalogue.cases.case import Case

SIZES = {"embed_dim": 6, "num_heads": 2}

CASES: list[Case] = [
    Case("MultiheadAttention", ("time", "batch", 6), SIZES),
    Case("MultiheadAttention", ("time", 6), SIZES, about="one sequence"),
    Case("MultiheadAttention", ("time", "batch", 6), SIZES | {"num_heads": 1}),
    Case("MultiheadAttention", ("time", "batch", 6), SIZES | {"num_heads": 6}, about="heads of one feature"),
    Case("MultiheadAttention", ("batch", 4, 6), SIZES | {"batch_first": True}),
    Case("MultiheadAttention", ("time", "batch", 6), SIZES | {"is_causal": True}),
    Case("MultiheadAttention", ("batch", 4, 6), SIZES | {"is_causal": True, "batch_first": True}),
    Case("MultiheadAttention", ("time", "batch", 6), SIZES | {"bias": False}),
    Case("MultiheadAttention", (4, "batch", 6), SIZES | {"add_bias_kv": True}),
    Case("MultiheadAttention", (4, "batch", 6), SIZES | {"add_zero_attn": True}),
    Case("MultiheadAttention", (4, 2, 6), SIZES | {"add_bias_kv": True, "add_zero_attn": True, "is_causal": True}),
    Case("MultiheadAttention", (4, "batch", 6), SIZES | {"dropout": 0.3}, training=False),
]
