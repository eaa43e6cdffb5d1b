"""Wrong derivations, each with the tensor that must be named and a word that its message must have."""

from typing import Any

import numpy as np
import torch
from torch import nn

from tests.crosscheck.right import (
    Affine,
    Array,
    Batchnorm,
    Bilinear,
    BinaryCrossEntropy,
    Convolution,
    CrossEntropy,
    Cube,
    Dense,
    F,
    HalfSquares,
    Hardswish,
    MaxOfRow,
    Momentum,
    NaiveSoftmax,
    Norm,
    Product,
    Relu,
    Swish,
    Table,
)


class TermMissing(Swish):
    def backward(self, grad_output: Array) -> Array:
        return grad_output * self.s


class DerivativeMissing(Swish):
    def backward(self, grad_output: Array) -> Array:
        return grad_output.copy()


class UpstreamForgotten(Swish):
    def backward(self, grad_output: Array) -> Array:
        return self.s + self.z * self.s * (1 - self.s)


class Doubled(Swish):
    def backward(self, grad_output: Array) -> Array:
        return 2 * super().backward(grad_output)


class Averaged(Swish):
    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output) / len(grad_output)


class SignFlipped(Swish):
    def backward(self, grad_output: Array) -> Array:
        return -super().backward(grad_output)


class WrongForward(Swish):
    def forward(self, z: Array) -> Array:
        super().forward(z)
        self.s = 1 / (1 + np.exp(-1.702 * z))
        return z * self.s


class TinyFactor(Swish):
    """Off by a millionth of a millionth."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output) * (1 + 2.0**-40)


class Zeros(Swish):
    def backward(self, grad_output: Array) -> Array:
        return np.zeros_like(grad_output)


class NothingBack(Swish):
    def backward(self, grad_output: Array) -> Any:
        super().backward(grad_output)


class WrongShape(Swish):
    """It would broadcast."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output)[:1]


class WrongDtype(Swish):
    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output).astype(np.float64)


class WrongDtypeForward(Swish):
    def forward(self, z: Array) -> Array:
        return super().forward(z) * np.ones(1)


class Raises(Swish):
    def backward(self, grad_output: Array) -> Array:
        raise ZeroDivisionError("oh dear")


class RaisesForOne(Swish):
    """It cannot take a batch of one."""

    def forward(self, z: Array) -> Array:
        if len(z) == 1:
            raise IndexError("too few examples")
        return super().forward(z)


class ChangesInput(Swish):
    def forward(self, z: Array) -> Array:
        result = super().forward(z.copy())
        z *= 2
        return result


class ChangesUpstream(Swish):
    def backward(self, grad_output: Array) -> Array:
        grad_output *= self.s + self.z * self.s * (1 - self.s)
        return grad_output


class StaleCache(Swish):
    def forward(self, z: Array) -> Array:
        s = 1 / (1 + np.exp(-z))
        if not hasattr(self, "z") or self.z.shape != z.shape:
            self.z, self.s = z.copy(), s
        return z * s


class Accumulates(Dense):
    def backward(self, grad_output: Array) -> Array:
        before = dict(self.gradients)
        result = super().backward(grad_output)
        for name, gradient in before.items():
            self.gradients[name] = self.gradients[name] + gradient
        return result


class Random(Swish):
    rng = np.random.default_rng(0)

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output) * (self.rng.random() + 0.5)


class NotLinear(Swish):
    def backward(self, grad_output: Array) -> Array:
        return super().backward(np.clip(grad_output, -1, 1))


class NeedsOnePiece(Swish):
    """It reads memory as if it lay in one piece."""

    def backward(self, grad_output: Array) -> Array:
        if not grad_output.flags.c_contiguous:
            raise ValueError("needs one piece")
        return super().backward(grad_output)


class LosesPrecision(Swish):
    def forward(self, z: Array) -> Array:
        return super().forward(z.astype(np.float32)).astype(z.dtype)

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output).astype(grad_output.dtype)


class KinkAtZero(Relu):
    def forward(self, x: Array) -> Array:
        self.on = x >= 0
        return x * self.on


class InnerCorner(Hardswish):
    """The corner at 3 is on the wrong side: only a 3 shows it."""

    def backward(self, grad_output: Array) -> Array:
        x = self.x
        return grad_output * np.where((x > -3) & (x <= 3), x / 3 + 0.5, (x > 3).astype(x.dtype))


class TiesToFirst(MaxOfRow):
    """All of the gradient to the first of the ties; torch.amax shares it."""

    def backward(self, grad_output: Array) -> Array:
        first = np.zeros_like(self.top)
        np.put_along_axis(first, self.top.argmax(axis=-1)[..., None], True, -1)
        return first * grad_output[..., None]


class Diagonal(NaiveSoftmax):
    def backward(self, grad_output: Array) -> Array:
        return grad_output * self.p * (1 - self.p)


class WeightAveraged(Dense):
    def backward(self, grad_output: Array) -> Array:
        result = super().backward(grad_output)
        self.gradients["weight"] = self.gradients["weight"] / len(grad_output)
        return result


class BiasForgotten(Dense):
    def backward(self, grad_output: Array) -> Array:
        result = super().backward(grad_output)
        del self.gradients["bias"]
        return result


class BiasNeverSummed(Dense):
    def backward(self, grad_output: Array) -> Array:
        result = super().backward(grad_output)
        self.gradients["bias"] = grad_output
        return result


class LastExampleOnly(Dense):
    def backward(self, grad_output: Array) -> Array:
        result = super().backward(grad_output)
        self.gradients["weight"] = np.outer(grad_output[-1], self.x[-1])
        return result


class TwoWrong(Dense):
    def backward(self, grad_output: Array) -> Array:
        result = super().backward(grad_output)
        self.gradients["bias"] = 2 * self.gradients["bias"]
        return -result


class MeanTermMissing(Norm):
    def backward(self, grad_output: Array) -> Array:
        super().backward(grad_output)
        g = grad_output * self.parameters["weight"]
        return self.scale * (g - self.unit * (g * self.unit).mean(axis=-1, keepdims=True))


class BiasedRunningVariance(Batchnorm):
    def forward(self, x: Array) -> Array:
        before = self.buffers["running_var"]
        result = super().forward(x)
        self.buffers["running_var"] = 0.9 * before + 0.1 * x.var(axis=0)
        return result


class SecondInputSwapped(Product):
    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        return grad_output * self.b, grad_output * self.b


class OneGradientOfTwo(Product):
    def backward(self, grad_output: Array) -> Any:
        return grad_output * self.b


class WeightTransposed(Bilinear):
    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        first, second = super().backward(grad_output)
        self.gradients["weight"] = self.gradients["weight"] * 0.5
        return first, second


class Overwritten(Table):
    def backward(self, grad_output: Array) -> None:
        grad = np.zeros_like(self.parameters["weight"])
        grad[self.indices] = grad_output
        self.gradients["weight"] = grad


class KernelFlipped(Convolution):
    def backward(self, grad_output: Array) -> Array:
        weight = self.parameters["weight"]
        self.parameters["weight"] = weight[:, :, ::-1, ::-1]
        result = super().backward(grad_output)
        self.parameters["weight"] = weight
        return result


class LossDoubled(HalfSquares):
    def backward(self) -> Array:
        return 2 * super().backward()


class LossSummed(CrossEntropy):
    def backward(self) -> Array:
        return super().backward() * len(self.p)


class LossValue(CrossEntropy):
    def forward(self, logits: Array, target: Array) -> Array:
        return super().forward(logits, target) / np.log(2)


class DenominatorForgotten(BinaryCrossEntropy):
    def backward(self) -> Array:
        return (self.a - self.t) / self.a.size


class Ascends(Momentum):
    def step(self) -> None:
        self.lr = -self.lr
        super().step()
        self.lr = -self.lr


class Dampened(Momentum):
    """The momentum buffer as an average: right at the first step, wrong from the second."""

    def step(self) -> None:
        for name, parameter in self.network.parameters.items():
            key, gradient = f"{name}.momentum_buffer", self.network.gradients[name]
            old = self.state.get(key, gradient)
            self.state[key] = self.momentum * old + (1 - self.momentum) * gradient
            parameter -= self.lr * self.state[key]


class CubeWrong(Cube):
    @staticmethod
    def backward(ctx: Any, *above: Any) -> Any:
        (x,) = ctx.saved_tensors
        return above[0] * 2 * x * x


class AffineTransposed(Affine):
    @staticmethod
    def backward(ctx: Any, *above: Any) -> Any:
        x, weight = ctx.saved_tensors
        return above[0] @ weight.T, above[0].T @ x


class AffineNone(Affine):
    @staticmethod
    def backward(ctx: Any, *above: Any) -> Any:
        return above[0] @ ctx.saved_tensors[1].T, None


ROWS, SQUARES = ("batch", "n"), lambda p, t: 0.5 * F.mse_loss(p, t)
DENSE = (nn.Linear(3, 4), {"input_shape": ("batch", 3)})
MOMENTUM: dict[str, Any] = {"arguments": {"lr": 0.1, "momentum": 0.9}}
PAIR: dict[str, Any] = {"input_shape": {"a": ROWS, "b": ROWS}}
# candidate, reference, keywords, the tensors that must be named, a word of the message
WRONG: list[tuple[Any, Any, dict[str, Any], list[str], str]] = [
    (TermMissing, F.silu, {}, ["input.grad"], "witnesses side with autograd"),
    (DerivativeMissing, F.hardsigmoid, {}, ["output", "input.grad"], "output"),
    (UpstreamForgotten, F.silu, {}, ["input.grad"], "upstream-gradient-forgotten"),
    (Doubled, F.silu, {}, ["input.grad"], "2 times autograd's"),
    (Averaged, F.silu, {}, ["input.grad"], "averaged"),
    (SignFlipped, F.silu, {}, ["input.grad"], "-1 times autograd's"),
    (WrongForward, F.silu, {}, ["output", "input.grad"], "output"),
    (TinyFactor, F.silu, {}, ["input.grad"], "float64"),
    (Zeros, F.silu, {}, ["input.grad"], "witnesses"),
    (NothingBack, F.silu, {}, ["input.grad"], "is None; wanted an array of shape"),
    (WrongShape, F.silu, {}, ["input.grad"], "Nothing is broadcast"),
    (WrongDtype, F.silu, {}, ["input.grad"], "has dtype float64; wanted float32"),
    (WrongDtypeForward, F.silu, {}, ["output"], "has dtype float64; wanted float32"),
    (Raises, F.silu, {}, ["input.grad"], "Raises.backward raised ZeroDivisionError: oh dear"),
    (RaisesForOne, F.silu, {}, ["output"], "batch size 1"),
    (ChangesInput, F.silu, {}, ["input"], "ChangesInput.forward changes its input 'input' in place."),
    (ChangesUpstream, F.silu, {}, ["grad_output"], "changes the gradient that it is given in place"),
    (StaleCache, F.silu, {}, ["input.grad"], "cache-of-previous-batch"),
    (Accumulates, *DENSE, ["weight.grad", "bias.grad"], "gradient-not-zeroed"),
    (Random, F.silu, {}, ["input.grad"], "input.grad"),
    (NotLinear, F.silu, {}, ["input.grad"], "input.grad"),
    (NeedsOnePiece, F.silu, {}, ["input.grad"], "one piece"),
    (LosesPrecision, F.silu, {}, ["output", "input.grad"], "float64"),
    (KinkAtZero, F.relu, {}, ["input.grad"], "Only exactly at the kink or tie"),
    (InnerCorner, F.hardswish, {}, ["input.grad"], "Only exactly at the kink or tie"),
    (TiesToFirst, lambda x: torch.amax(x, -1), {}, ["input.grad"], "Only exactly at the kink or tie"),
    (Diagonal, F.softmax, {"arguments": {"dim": -1}}, ["input.grad"], "witnesses side with autograd"),
    (WeightAveraged, *DENSE, ["weight.grad"], "averaged"),
    (BiasForgotten, *DENSE, ["bias.grad"], "gradients['bias'] after BiasForgotten.backward is None"),
    (BiasNeverSummed, *DENSE, ["bias.grad"], "wanted (4,)"),
    (LastExampleOnly, *DENSE, ["weight.grad"], "last-example-only"),
    (TwoWrong, *DENSE, ["input.grad", "bias.grad"], "bias-gradient-doubled"),
    (MeanTermMissing, nn.LayerNorm(5), {"input_shape": ("batch", 5)}, ["input.grad"], "autograd"),
    (BiasedRunningVariance, nn.BatchNorm1d(3), {"input_shape": ("batch", 3)}, ["running_var"], "running_var"),
    (SecondInputSwapped, lambda a, b: a * b, PAIR, ["b.grad"], "b.grad"),
    (OneGradientOfTwo, lambda a, b: a * b, PAIR, ["b.grad"], "wanted a tuple of 2"),
    (WeightTransposed, nn.Bilinear(2, 3, 4), {"input_shape": [("batch", 2), ("batch", 3)]}, ["weight.grad"], "halved"),
    (Overwritten, nn.Embedding(6, 3), {"input_shape": ROWS, "indices": 6}, ["weight.grad"], "weight.grad"),
    (KernelFlipped, nn.Conv2d(2, 3, 2), {"input_shape": ("batch", 2, "h", "w")}, ["input.grad"], "input.grad"),
    (LossDoubled, SQUARES, {"target": "like"}, ["prediction.grad"], "doubled"),
    (LossSummed, nn.CrossEntropyLoss, {}, ["prediction.grad"], "summed-instead-of-averaged"),
    (LossValue, nn.CrossEntropyLoss, {}, ["loss"], "loss-logarithm-base-2"),
    (DenominatorForgotten, F.binary_cross_entropy, {}, ["prediction.grad"], "cross-entropy-denominator-forgotten"),
    (Ascends, torch.optim.SGD, MOMENTUM, ["step1.weight.updated"], "step1.weight.updated"),
    (Dampened, torch.optim.SGD, MOMENTUM, ["step2.weight.updated"], "step2.weight.momentum_buffer"),
    (CubeWrong, lambda x: x**3, {}, ["input.grad"], "0.666667 times autograd's"),
    (AffineTransposed, lambda x, w: x @ w, {"input_shape": {"x": ROWS, "w": ("n", "out")}}, ["w.grad"], "w.grad"),
    (AffineNone, lambda x, w: x @ w, {"input_shape": {"x": ROWS, "w": ("n", "out")}}, ["w.grad"], "is None"),
]
