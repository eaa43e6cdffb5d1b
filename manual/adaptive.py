"""Adaptive optimizers: every weight has a learning rate of its own, made of the sizes that its gradients have had.

Each keeps a sum or an average of squared gradients and divides by its root; they differ in which, and in what stands
above the fraction. Operations on arrays are element by element. g is the gradient dC/dp with the weight decay in it
(20), t the number of the step, from 1.
"""

from collections.abc import Mapping
from typing import Unpack

import numpy as np

from manual.checks import Array
from manual.optimizers import Optimizer, Trained, Training, require_range


def average(state: dict[str, Array], key: str, beta: float, value: Array) -> None:
    """Move the running average state[key] on: s <- beta s + (1 - beta) value, from s = 0.        (223)"""
    if key not in state:
        state[key] = np.zeros_like(value)
    state[key] *= beta  # (223)
    state[key] += (1 - beta) * value


def count(state: dict[str, Array], key: str) -> float:
    """Count a step in state[key], and return t. A float32 number in every network, as torch keeps it."""
    if key not in state:
        state[key] = np.zeros((), np.float32)
    state[key] += 1
    return float(state[key])


class Adagrad(Optimizer):
    """Divides by the root of the sum of all squared gradients (Duchi, Hazan and Singer 2011), as torch.optim.Adagrad.

        s <- s + g^2       (first: s = initial_accumulator_value)   (221)
        p <- p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)  (222)

    The sum only grows, so the steps only shrink.
    """

    name = "adagrad"

    def __init__(
        self,
        network: Trained,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float | Mapping[str, float] = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **training: Unpack[Training],
    ):
        """Raise ValueError for a negative or non-finite value, or an unknown parameter."""
        super().__init__(network, lr, weight_decay, maximize, **training)
        require_range("Adagrad: lr_decay", lr_decay)
        require_range("Adagrad: initial_accumulator_value", initial_accumulator_value)
        require_range("Adagrad: eps", eps)
        self.lr_decay, self.eps = float(lr_decay), float(eps)
        self.initial_accumulator_value = float(initial_accumulator_value)

    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Return g / (sqrt(s) + eps); moves the sum on."""
        gradient = self.decayed(name, parameter, gradient)
        count(self.state, f"{name}.step")
        key = f"{name}.sum"
        if key not in self.state:
            self.state[key] = np.full_like(gradient, self.initial_accumulator_value)
        self.state[key] += np.square(gradient)  # (221)
        return gradient / (np.sqrt(self.state[key]) + self.eps)  # (222)

    def rate(self, name: str) -> float:
        """Return the learning rate, which lr_decay lets fall like 1/t."""
        return self.lr / (1 + (float(self.state[f"{name}.step"]) - 1) * self.lr_decay)


class RMSprop(Optimizer):
    """Divides by the root of an average of squared gradients that forgets (Hinton 2012), as torch.optim.RMSprop.

    s <- alpha s + (1 - alpha) g^2                     (224)
    m <- alpha m + (1 - alpha) g      if centered      (225)
    d  = g / (sqrt(s - m^2) + eps)    with m = 0 unless centered (226)
    v <- momentum v + d,   d <- v     with momentum    (227)
    p <- p - lr d                                      (19)
    """

    name = "rmsprop"

    def __init__(
        self,
        network: Trained,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float | Mapping[str, float] = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **training: Unpack[Training],
    ):
        """Raise ValueError for a value out of range, or an unknown parameter."""
        super().__init__(network, lr, weight_decay, maximize, **training)
        require_range("RMSprop: alpha", alpha, 1.0)
        require_range("RMSprop: eps", eps)
        require_range("RMSprop: momentum", momentum)
        self.alpha, self.eps, self.momentum, self.centered = float(alpha), float(eps), float(momentum), centered

    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Return d; moves the averages and the momentum buffer on."""
        gradient = self.decayed(name, parameter, gradient)
        count(self.state, f"{name}.step")
        average(self.state, f"{name}.square_avg", self.alpha, np.square(gradient))  # (224)
        variance = self.state[f"{name}.square_avg"]
        if self.centered:
            average(self.state, f"{name}.grad_avg", self.alpha, gradient)  # (225)
            variance = variance - np.square(self.state[f"{name}.grad_avg"])
        direction = gradient / (np.sqrt(variance) + self.eps)  # (226)
        if not self.momentum:
            return direction
        key = f"{name}.momentum_buffer"
        if key not in self.state:
            self.state[key] = np.zeros_like(gradient)
        self.state[key] *= self.momentum  # (227)
        self.state[key] += direction
        return self.state[key]


class Adadelta(Optimizer):
    """Steps as long as its steps have been, in units of the gradient's size (Zeiler 2012), as torch.optim.Adadelta.

    s <- rho s + (1 - rho) g^2              (228)
    d  = sqrt(a + eps) / sqrt(s + eps) * g  (229)
    a <- rho a + (1 - rho) d^2              (230)
    p <- p - lr d                           (19)
    """

    name = "adadelta"

    def __init__(
        self,
        network: Trained,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float | Mapping[str, float] = 0.0,
        *,
        maximize: bool = False,
        **training: Unpack[Training],
    ):
        """Raise ValueError for a value out of range, or an unknown parameter."""
        super().__init__(network, lr, weight_decay, maximize, **training)
        require_range("Adadelta: rho", rho, 1.0)
        require_range("Adadelta: eps", eps)
        self.rho, self.eps = float(rho), float(eps)

    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Return d; moves both averages on."""
        gradient = self.decayed(name, parameter, gradient)
        count(self.state, f"{name}.step")
        average(self.state, f"{name}.square_avg", self.rho, np.square(gradient))  # (228)
        key = f"{name}.acc_delta"
        if key not in self.state:
            self.state[key] = np.zeros_like(gradient)
        size, step_size = np.sqrt(self.state[f"{name}.square_avg"] + self.eps), np.sqrt(self.state[key] + self.eps)
        direction = step_size / size * gradient  # (229)
        average(self.state, key, self.rho, np.square(direction))  # (230)
        return direction


class Adam(Optimizer):
    """Averages the gradient and its square (Kingma and Ba 2015), as torch.optim.Adam:

        m <- beta1 m + (1 - beta1) g                                   (231)
        v <- beta2 v + (1 - beta2) g^2                                 (232)
        p <- p - lr m/(1 - beta1^t) / (sqrt(v/(1 - beta2^t)) + eps)    (234)

    Both averages start at 0 and are too small at first, by the factors 1 - beta^t (233). With `amsgrad` the
    largest v so far stands in (234) in v's place (235).
    """

    name = "adam"

    def __init__(
        self,
        network: Trained,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | Mapping[str, float] = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **training: Unpack[Training],
    ):
        """Raise ValueError for a value out of range, or an unknown parameter."""
        super().__init__(network, lr, weight_decay, maximize, **training)
        kind, (beta1, beta2) = type(self).__name__, betas
        require_range(f"{kind}: betas[0]", beta1, 1.0)
        require_range(f"{kind}: betas[1]", beta2, 1.0)
        require_range(f"{kind}: eps", eps)
        self.betas, self.eps, self.amsgrad = (float(beta1), float(beta2)), float(eps), amsgrad

    def direction(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Return m / (sqrt(v / (1 - beta2^t)) + eps); moves both averages on."""
        gradient = self.decayed(name, parameter, gradient)
        beta1, beta2 = self.betas
        t = count(self.state, f"{name}.step")
        average(self.state, f"{name}.exp_avg", beta1, gradient)  # (231)
        average(self.state, f"{name}.exp_avg_sq", beta2, np.square(gradient))  # (232)
        v = self.state[f"{name}.exp_avg_sq"]
        if self.amsgrad:
            key = f"{name}.max_exp_avg_sq"
            self.state[key] = np.maximum(self.state[key], v) if key in self.state else v.copy()  # (235)
            v = self.state[key]
        return self.state[f"{name}.exp_avg"] / (np.sqrt(v) / (1 - beta2**t) ** 0.5 + self.eps)  # (234)

    def rate(self, name: str) -> float:
        """Return lr / (1 - beta1^t): the correction of m is left to the one number that multiplies it anyway."""
        return self.lr / (1 - self.betas[0] ** float(self.state[f"{name}.step"]))  # (234)


class AdamW(Adam):
    """Adam whose weight decay goes past the averages (Loshchilov and Hutter 2019), as torch.optim.AdamW:

    p <- (1 - lr weight_decay) p        (236)

    and then Adam's step, with the gradient alone in g.
    """

    name = "adamw"

    def __init__(
        self,
        network: Trained,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | Mapping[str, float] = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **training: Unpack[Training],
    ):
        """Raise ValueError for a value out of range, or an unknown parameter."""
        super().__init__(network, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, **training)

    def decayed(self, name: str, parameter: Array, gradient: Array) -> Array:
        """Shrink the parameter in place; return the gradient as it is."""
        parameter *= 1 - self.lr * self.weight_decay.get(name, 0.0)  # (236)
        return gradient
