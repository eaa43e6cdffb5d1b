"""Convolution and pooling: every option at least once, no square image, no square kernel where a plain one does."""

from tests.catalogue.cases.case import Case

CONVOLUTIONS = [
    Case("Conv2d", ("batch", 1, 5, 6), {"in_channels": 1, "out_channels": 2, "kernel_size": 3}),
    Case("Conv2d", ("batch", 3, 4, 5), {"in_channels": 3, "out_channels": 2, "kernel_size": (2, 3)}),
    Case("Conv2d", ("batch", 2, 4, 3), {"in_channels": 2, "out_channels": 3, "kernel_size": 1}),
    Case("Conv2d", (2, 5, 4), {"in_channels": 2, "out_channels": 3, "kernel_size": 3}, about="one image"),
    Case("Conv2d", ("batch", 2, 7, 6), {"in_channels": 2, "out_channels": 3, "kernel_size": (3, 2), "stride": (2, 3)}),
    Case("Conv2d", ("batch", 1, 4, 5), {"in_channels": 1, "out_channels": 2, "kernel_size": 3, "padding": (2, 1)}),
    Case("Conv2d", ("batch", 2, 5, 4), {"in_channels": 2, "out_channels": 1, "kernel_size": 2, "padding": "valid"}),
    Case(
        "Conv2d", ("batch", 2, 3, 5), {"in_channels": 2, "out_channels": 1, "kernel_size": (2, 3), "padding": "same"}
    ),
    Case(
        "Conv2d", ("batch", 2, 7, 6), {"in_channels": 2, "out_channels": 1, "kernel_size": (3, 2), "dilation": (2, 3)}
    ),
    Case("Conv2d", ("batch", 4, 4, 3), {"in_channels": 4, "out_channels": 6, "kernel_size": 2, "groups": 2}),
    Case("Conv2d", ("batch", 3, 4, 5), {"in_channels": 3, "out_channels": 3, "kernel_size": 2, "groups": 3}),
    Case("Conv2d", ("batch", 1, 4, 5), {"in_channels": 1, "out_channels": 3, "kernel_size": 2, "bias": False}),
    *(
        Case(
            "Conv2d",
            ("batch", 2, 4, 5),
            {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": (1, 2), "padding_mode": mode},
        )
        for mode in ("reflect", "replicate", "circular")
    ),
    Case(
        "Conv2d",
        ("batch", 4, 9, 8),
        {
            "in_channels": 4, "out_channels": 2, "kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2),
            "dilation": (1, 3), "groups": 2, "bias": False,
        },
        about="everything at once",
    ),
]  # fmt: skip

POOLINGS = [
    Case("MaxPool2d", ("batch", 2, 4, 6), {"kernel_size": 2}),
    Case("MaxPool2d", (2, 6, 4), {"kernel_size": 2}, about="one image"),
    Case("MaxPool2d", ("batch", 1, 5, 6), {"kernel_size": (2, 3), "stride": 1}, about="windows overlap"),
    Case("MaxPool2d", ("batch", 1, 7, 5), {"kernel_size": 2, "stride": (3, 2)}, about="pixels between the windows"),
    Case("MaxPool2d", ("batch", 2, 4, 5), {"kernel_size": (2, 3), "stride": 2, "padding": (1, 1)}),
    Case("MaxPool2d", ("batch", 1, 6, 7), {"kernel_size": 2, "stride": 1, "dilation": (2, 3)}),
    Case("MaxPool2d", ("batch", 2, 5, 7), {"kernel_size": 2, "ceil_mode": True}),
    Case("AvgPool2d", ("batch", 2, 4, 6), {"kernel_size": 2}),
    Case("AvgPool2d", (2, 6, 4), {"kernel_size": (3, 2)}, about="one image"),
    Case("AvgPool2d", ("batch", 1, 5, 6), {"kernel_size": (2, 3), "stride": 1}, about="windows overlap"),
    Case("AvgPool2d", ("batch", 1, 7, 5), {"kernel_size": 2, "stride": (3, 2)}, about="pixels between the windows"),
    Case("AvgPool2d", ("batch", 2, 4, 5), {"kernel_size": 3, "stride": 2, "padding": 1}),
    Case("AvgPool2d", ("batch", 2, 4, 5), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    Case("AvgPool2d", ("batch", 2, 6, 7), {"kernel_size": 3, "stride": 2, "padding": (0, 1), "ceil_mode": True}),
    Case("AvgPool2d", ("batch", 1, 4, 5), {"kernel_size": 2, "padding": 1, "divisor_override": 3}),
]

CASES: list[Case] = CONVOLUTIONS + POOLINGS
