"""Right derivations, as users write them: many kinds, none from this project."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

Array = np.ndarray[Any, Any]
F = nn.functional


class Swish:
    def forward(self, z: Array) -> Array:
        self.z, self.s = z, 1 / (1 + np.exp(-z))
        return z * self.s

    def backward(self, grad_output: Array) -> Array:
        return grad_output * (self.s + self.z * self.s * (1 - self.s))


class NaiveSoftmax:
    """Without the maximum taken off: right, and it overflows at large inputs."""

    def forward(self, z: Array) -> Array:
        e = np.exp(z)
        self.p = e / e.sum(axis=-1, keepdims=True)
        return self.p

    def backward(self, grad_output: Array) -> Array:
        return self.p * (grad_output - (grad_output * self.p).sum(axis=-1, keepdims=True))


class NaiveSoftplus:
    """log(1 + e^x), as in the textbooks."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.log(1 + np.exp(x))

    def backward(self, grad_output: Array) -> Array:
        return grad_output / (1 + np.exp(-self.x))


class TextbookTanh:
    def forward(self, x: Array) -> Array:
        up, down = np.exp(x), np.exp(-x)
        self.y = (up - down) / (up + down)
        return self.y

    def backward(self, grad_output: Array) -> Array:
        return grad_output * (1 - self.y**2)


class Gelu:
    """math.erf, element by element: it knows neither longdouble nor complex numbers."""

    def forward(self, x: Array) -> Array:
        self.x = x
        self.phi = 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2))).astype(x.dtype)
        return x * self.phi

    def backward(self, grad_output: Array) -> Array:
        density = np.exp(-0.5 * self.x * self.x) / math.sqrt(2 * math.pi)
        return grad_output * (self.phi + self.x * density)


class Relu:
    def forward(self, x: Array) -> Array:
        self.on = x > 0
        return x * self.on

    def backward(self, grad_output: Array) -> Array:
        return grad_output * self.on


class Hardswish:
    def forward(self, x: Array) -> Array:
        self.x = x
        return x * np.clip(x + 3, 0, 6) / 6

    def backward(self, grad_output: Array) -> Array:
        x = self.x
        inside = (x > -3) & (x < 3)
        return grad_output * np.where(inside, x / 3 + 0.5, (x >= 3).astype(x.dtype))


class Leaky:
    def __init__(self, negative_slope: float = 0.2):
        self.negative_slope = negative_slope

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.where(x > 0, x, self.negative_slope * x)

    def backward(self, grad_output: Array) -> Array:
        return np.where(self.x > 0, grad_output, self.negative_slope * grad_output)


class Dense:
    def __init__(self, bias: bool = True):
        rng = np.random.default_rng(0)
        self.parameters = {"weight": rng.normal(size=(4, 3))}
        if bias:
            self.parameters["bias"] = rng.normal(size=4)
        self.gradients: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        self.x = x
        y = x @ self.parameters["weight"].T
        return y + self.parameters["bias"] if "bias" in self.parameters else y

    def backward(self, grad_output: Array) -> Array:
        self.gradients["weight"] = grad_output.T @ self.x
        if "bias" in self.parameters:
            self.gradients["bias"] = grad_output.sum(axis=0)
        return grad_output @ self.parameters["weight"]


class Norm:
    """Layer normalisation over the last axis."""

    def __init__(self, n: int = 5, eps: float = 1e-5):
        self.eps = eps
        self.parameters = {"weight": np.ones(n), "bias": np.zeros(n)}
        self.gradients: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        self.scale = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.eps)
        self.unit = centred * self.scale
        return self.unit * self.parameters["weight"] + self.parameters["bias"]

    def backward(self, grad_output: Array) -> Array:
        self.gradients["weight"] = (grad_output * self.unit).sum(axis=0)
        self.gradients["bias"] = grad_output.sum(axis=0)
        g = grad_output * self.parameters["weight"]
        mean, along = g.mean(axis=-1, keepdims=True), (g * self.unit).mean(axis=-1, keepdims=True)
        return self.scale * (g - mean - self.unit * along)


class Normalised:
    """Layer normalisation without weights, of any length: of one value, too."""

    def forward(self, x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        self.scale = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        self.unit = centred * self.scale
        return self.unit

    def backward(self, grad_output: Array) -> Array:
        along = (grad_output * self.unit).mean(axis=-1, keepdims=True)
        return self.scale * (grad_output - grad_output.mean(axis=-1, keepdims=True) - self.unit * along)


class Batchnorm:
    """Batch normalisation in training, running statistics included."""

    def __init__(self, n: int = 3):
        self.parameters, self.gradients = {"weight": np.ones(n), "bias": np.zeros(n)}, {}
        self.buffers = {"running_mean": np.zeros(n), "running_var": np.ones(n)}

    def forward(self, x: Array) -> Array:
        n, mean, var = len(x), x.mean(axis=0), x.var(axis=0)
        self.buffers["running_mean"] = 0.9 * self.buffers["running_mean"] + 0.1 * mean
        self.buffers["running_var"] = 0.9 * self.buffers["running_var"] + 0.1 * var * (n / (n - 1))
        self.scale = 1 / np.sqrt(var + 1e-5)
        self.unit = (x - mean) * self.scale
        return self.unit * self.parameters["weight"] + self.parameters["bias"]

    def backward(self, grad_output: Array) -> Array:
        self.gradients["weight"] = (grad_output * self.unit).sum(axis=0)
        self.gradients["bias"] = grad_output.sum(axis=0)
        g = grad_output * self.parameters["weight"]
        return self.scale * (g - g.mean(axis=0) - self.unit * (g * self.unit).mean(axis=0))


class Bilinear:
    """y = x1 A x2 + b for two inputs."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.parameters = {"weight": rng.normal(size=(4, 2, 3)), "bias": rng.normal(size=4)}
        self.gradients: dict[str, Array] = {}

    def forward(self, a: Array, b: Array) -> Array:
        self.a, self.b = a, b
        return np.einsum("ni,oij,nj->no", a, self.parameters["weight"], b) + self.parameters["bias"]

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        weight = self.parameters["weight"]
        self.gradients["weight"] = np.einsum("no,ni,nj->oij", grad_output, self.a, self.b)
        self.gradients["bias"] = grad_output.sum(axis=0)
        return (
            np.einsum("no,oij,nj->ni", grad_output, weight, self.b),
            np.einsum("no,oij,ni->nj", grad_output, weight, self.a),
        )


class Product:
    def forward(self, a: Array, b: Array) -> Array:
        self.a, self.b = a, b
        return a * b

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        return grad_output * self.b, grad_output * self.a


class Table:
    """An embedding: rows of a table, looked up; a row that is looked up twice gets both gradients."""

    def __init__(self) -> None:
        self.parameters, self.gradients = {"weight": np.random.default_rng(2).normal(size=(6, 3))}, {}

    def forward(self, indices: Array) -> Array:
        self.indices = indices
        return self.parameters["weight"][indices]

    def backward(self, grad_output: Array) -> None:
        grad = np.zeros_like(self.parameters["weight"])
        np.add.at(grad, self.indices, grad_output)
        self.gradients["weight"] = grad


class MaxOfRow:
    """The largest of every row; torch.amax shares the gradient among ties."""

    def forward(self, x: Array) -> Array:
        self.top = x == x.max(axis=-1, keepdims=True)
        return x.max(axis=-1)

    def backward(self, grad_output: Array) -> Array:
        return self.top * (grad_output / self.top.sum(axis=-1).astype(grad_output.dtype))[..., None]


class Lengths:
    """The Euclidean length of every row."""

    def forward(self, x: Array) -> Array:
        self.x = x
        self.y = np.sqrt((x * x).sum(axis=-1) + 1e-6)
        return self.y

    def backward(self, grad_output: Array) -> Array:
        return self.x * (grad_output / self.y)[..., None]


class CumulativeSum:
    def forward(self, x: Array) -> Array:
        return np.cumsum(x, axis=-1)

    def backward(self, grad_output: Array) -> Array:
        return np.flip(np.cumsum(np.flip(grad_output, -1), axis=-1), -1)


class Convolution:
    """Loops over the kernel's places: no padding."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.parameters = {"weight": rng.normal(size=(3, 2, 2, 2)), "bias": rng.normal(size=3)}
        self.gradients: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        self.x, weight = x, self.parameters["weight"]
        h, w = x.shape[2] - 1, x.shape[3] - 1
        y = sum(
            np.einsum("nchw,oc->nohw", x[:, :, i : i + h, j : j + w], weight[:, :, i, j])
            for i in range(2)
            for j in range(2)
        )
        return y + self.parameters["bias"][:, None, None]

    def backward(self, grad_output: Array) -> Array:
        weight, grad = self.parameters["weight"], np.zeros_like(self.x)
        self.gradients = {"weight": np.zeros_like(weight), "bias": grad_output.sum(axis=(0, 2, 3))}
        h, w = grad_output.shape[2:]
        for i in range(2):
            for j in range(2):
                patch = self.x[:, :, i : i + h, j : j + w]
                self.gradients["weight"][:, :, i, j] = np.einsum("nohw,nchw->oc", grad_output, patch)
                grad[:, :, i : i + h, j : j + w] += np.einsum("nohw,oc->nchw", grad_output, weight[:, :, i, j])
        return grad


class HalfSquares:
    """A loss: half the squares, averaged over all elements."""

    def forward(self, prediction: Array, target: Array) -> Array:
        self.off = prediction - target
        return 0.5 * (self.off**2).mean()

    def backward(self) -> Array:
        return self.off / self.off.size


class CrossEntropy:
    def forward(self, logits: Array, target: Array) -> Array:
        shifted = logits - logits.max(axis=1, keepdims=True)
        self.p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        self.target, rows = target, np.arange(len(target))
        return -np.log(self.p[rows, target]).mean()

    def backward(self) -> Array:
        grad = self.p.copy()
        grad[np.arange(len(grad)), self.target] -= 1
        return grad / len(grad)


class BinaryCrossEntropy:
    def forward(self, a: Array, t: Array) -> Array:
        self.a, self.t = a, t
        return -(t * np.log(a) + (1 - t) * np.log(1 - a)).mean()

    def backward(self) -> Array:
        return (self.a - self.t) / (self.a * (1 - self.a)) / self.a.size


class Momentum:
    """An optimizer, made from a network."""

    def __init__(self, network: Any, lr: float = 0.1, momentum: float = 0.9):
        self.network, self.lr, self.momentum, self.state = network, lr, momentum, {}

    def step(self) -> None:
        for name, parameter in self.network.parameters.items():
            key = f"{name}.momentum_buffer"
            old = self.state.get(key)
            gradient = self.network.gradients[name]
            self.state[key] = gradient.copy() if old is None else self.momentum * old + gradient
            parameter -= self.lr * self.state[key]


class Adam:
    """An optimizer that is made from the parameters and told the gradients."""

    def __init__(self, parameters: dict[str, Array], lr: float = 1e-3):
        self.parameters, self.lr, self.t = parameters, lr, 0
        self.m = {name: np.zeros_like(p) for name, p in parameters.items()}
        self.v = {name: np.zeros_like(p) for name, p in parameters.items()}

    def step(self, gradients: dict[str, Array]) -> None:
        self.t += 1
        for name, g in gradients.items():
            self.m[name] = 0.9 * self.m[name] + 0.1 * g
            self.v[name] = 0.999 * self.v[name] + 0.001 * g * g
            m, v = self.m[name] / (1 - 0.9**self.t), self.v[name] / (1 - 0.999**self.t)
            self.parameters[name] -= self.lr * m / (np.sqrt(v) + 1e-8)


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *above: Any) -> Any:
        (x,) = ctx.saved_tensors
        return above[0] * 3 * x * x


class Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, *above: Any) -> Any:
        x, weight = ctx.saved_tensors
        return above[0] @ weight.T, x.T @ above[0]


ROWS = ("batch", "n")
# name -> candidate, reference, keywords
RIGHT: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "swish": (Swish(), F.silu, {}),
    "swish against text": (Swish, "torch.nn.functional.silu", {"input_shape": ("batch", 2, "n")}),
    "softmax": (NaiveSoftmax(), F.softmax, {"arguments": {"dim": -1}}),
    "softplus": (NaiveSoftplus(), torch.nn.Softplus(threshold=1000), {}),
    "tanh": (TextbookTanh(), torch.tanh, {}),
    "gelu": (Gelu(), F.gelu, {}),
    "relu": (Relu(), nn.ReLU, {}),
    "hardswish": (Hardswish(), F.hardswish, {}),
    "leaky": (Leaky(), nn.LeakyReLU, {}),
    "leaky, made by the check": (Leaky, F.leaky_relu, {"arguments": {"negative_slope": 0.3}}),
    "dense": (Dense(), nn.Linear(3, 4), {"input_shape": ("batch", 3)}),
    "dense, function": (Dense(), F.linear, {"input_shape": ("batch", 3)}),
    "dense, no bias": (Dense(bias=False), nn.Linear(3, 4, bias=False), {"input_shape": ROWS}),
    "layer norm": (Norm(), nn.LayerNorm(5), {"input_shape": ("batch", 5)}),
    "layer norm, any length": (Normalised(), lambda x: F.layer_norm(x, x.shape[-1:]), {}),
    "batch norm": (Batchnorm(), nn.BatchNorm1d(3), {"input_shape": ("batch", 3)}),
    "bilinear": (Bilinear(), nn.Bilinear(2, 3, 4), {"input_shape": [("batch", 2), ("batch", 3)]}),
    "product": (Product(), lambda a, b: a * b, {"input_shape": {"a": ROWS, "b": ROWS}}),
    "embedding": (Table(), nn.Embedding(6, 3), {"input_shape": ROWS, "indices": 6}),
    "embedding, function": (Table(), F.embedding, {"input_shape": ("n",), "indices": 6}),
    "maximum": (MaxOfRow(), lambda x: torch.amax(x, dim=-1), {}),
    "lengths": (Lengths(), lambda x: torch.sqrt((x * x).sum(-1) + 1e-6), {}),
    "cumulative sum": (CumulativeSum(), lambda x: torch.cumsum(x, -1), {}),
    "convolution": (Convolution(), nn.Conv2d(2, 3, 2), {"input_shape": ("batch", 2, "h", "w")}),
    "squares": (HalfSquares(), lambda p, t: 0.5 * F.mse_loss(p, t), {"target": "like"}),
    "cross entropy": (CrossEntropy(), nn.CrossEntropyLoss, {"input_shape": ROWS, "target": "labels"}),
    "binary cross entropy": (BinaryCrossEntropy(), F.binary_cross_entropy, {}),
    "momentum": (Momentum, torch.optim.SGD, {"arguments": {"lr": 0.1, "momentum": 0.9}}),
    "adam": (Adam, torch.optim.Adam, {"arguments": {"lr": 0.01}, "input_shape": ("n", 3)}),
    "cube": (Cube, lambda x: x**3, {}),
    "affine": (Affine, lambda x, w: x @ w, {"input_shape": {"x": ROWS, "w": ("n", "out")}}),
}
