"""Activations: every option of every one, in one dimension and in several."""

from tests.catalogue.cases.case import Case

IMAGES = ("batch", 3, 2, 5)

CASES = [
    Case("Sigmoid"),
    Case("Sigmoid", IMAGES),
    Case("Tanh"),
    Case("Tanh", IMAGES),
    Case("ReLU"),
    Case("ReLU", IMAGES),
    Case("LeakyReLU"),
    Case("LeakyReLU", IMAGES, {"negative_slope": 0.3}),
    Case("LeakyReLU", ("batch", 6), {"negative_slope": -0.4}, about="falling below 0"),
    Case("ELU"),
    Case("ELU", IMAGES, {"alpha": 1.7}),
    Case("ELU", ("batch", 6), {"alpha": 0.4}),
    Case("GELU"),
    Case("GELU", IMAGES, {"approximate": "none"}),
    Case("GELU", ("batch", "n"), {"approximate": "tanh"}),
    Case("GELU", ("batch", 4), between=(-9.0, 9.0), about="all regions of erf"),
    Case("SiLU"),
    Case("SiLU", IMAGES),
    Case("Softplus"),
    Case("Softplus", IMAGES, {"beta": 0.7}),
    Case("Softplus", ("batch", 6), {"beta": 3.0, "threshold": 2.0}, about="on both sides of the threshold"),
    Case("Softmax", ("batch", "n"), {"dim": -1}),
    Case("Softmax", ("batch", "n"), {"dim": 0}, about="over the batch"),
    Case("Softmax", IMAGES, {"dim": 1}),
    Case("Softmax", ("batch", 4, 3), {"dim": None}),
    Case("LogSoftmax", ("batch", "n"), {"dim": -1}),
    Case("LogSoftmax", ("batch", "n"), {"dim": 0}, about="over the batch"),
    Case("LogSoftmax", IMAGES, {"dim": 1}),
    Case("LogSoftmax", ("batch", 4), {"dim": None}),
]
