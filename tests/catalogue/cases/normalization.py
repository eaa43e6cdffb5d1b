"""Batch, layer, group and RMS normalisation: every option at least once, small shapes."""

from tests.catalogue.cases.case import Case

# In training a channel needs more than one value: the batch is a number here, so that it is never 1.
CASES: list[Case] = [
    Case("BatchNorm1d", (5, 3), {"num_features": 3}),
    Case("BatchNorm1d", (2, 3), {"num_features": 3}, about="two values a channel, one on either side"),
    Case("BatchNorm1d", (4, 3, 5), {"num_features": 3}, about="sequences"),
    Case("BatchNorm1d", ("batch", 2, 6), {"num_features": 2}, about="one example has enough positions"),
    Case("BatchNorm1d", (6, 4), {"num_features": 4, "eps": 0.1, "momentum": 0.3}),
    Case("BatchNorm1d", (6, 4), {"num_features": 4, "momentum": None}, about="cumulative average"),
    Case("BatchNorm1d", (6, 4), {"num_features": 4, "affine": False}),
    Case("BatchNorm1d", (6, 4), {"num_features": 4, "track_running_stats": False}),
    Case("BatchNorm1d", ("batch", 4), {"num_features": 4}, training=False),
    Case("BatchNorm1d", ("batch", 4, "n"), {"num_features": 4, "affine": False}, training=False),
    Case("BatchNorm1d", (6, 4), {"num_features": 4, "track_running_stats": False}, training=False),
    Case("BatchNorm2d", (4, 3, 2, 5), {"num_features": 3}),
    Case("BatchNorm2d", ("batch", 2, 3, 4), {"num_features": 2, "eps": 1e-3}),
    Case("BatchNorm2d", (3, 2, 3, 4), {"num_features": 2, "affine": False, "momentum": None}),
    Case("BatchNorm2d", (3, 2, 3, 4), {"num_features": 2, "track_running_stats": False}),
    Case("BatchNorm2d", ("batch", 3, 2, 4), {"num_features": 3}, training=False),
    Case("LayerNorm", ("batch", 6), {"normalized_shape": 6}),
    Case("LayerNorm", ("batch", "n", 5), {"normalized_shape": 5, "eps": 1e-2}),
    Case("LayerNorm", ("batch", 3, 4, 2), {"normalized_shape": (4, 2)}, about="two dimensions"),
    Case("LayerNorm", ("batch", 5), {"normalized_shape": 5, "bias": False}),
    Case("LayerNorm", ("batch", 5), {"normalized_shape": 5, "elementwise_affine": False}),
    Case("LayerNorm", (7,), {"normalized_shape": 7}, about="one example without a batch"),
    Case("RMSNorm", ("batch", 6), {"normalized_shape": 6}),
    Case("RMSNorm", ("batch", "n", 5), {"normalized_shape": 5, "eps": 1e-2}),
    Case("RMSNorm", ("batch", 3, 2), {"normalized_shape": (3, 2), "elementwise_affine": False}),
    Case("GroupNorm", ("batch", 6, 4), {"num_groups": 2, "num_channels": 6}),
    Case("GroupNorm", ("batch", 4, 3, 2), {"num_groups": 4, "num_channels": 4}, about="every channel alone"),
    Case("GroupNorm", ("batch", 4, 3), {"num_groups": 1, "num_channels": 4, "eps": 1e-2}, about="one group"),
    Case("GroupNorm", ("batch", 6), {"num_groups": 2, "num_channels": 6, "affine": False}, about="no positions"),
]
