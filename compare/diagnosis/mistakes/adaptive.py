"""Mistakes in the rules that measure each parameter's gradients: Adagrad, RMSprop, Adadelta. Adam has a room."""

from collections.abc import Callable

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake
from compare.diagnosis.site import Site


def gradient(site: Site) -> np.ndarray | None:
    """Return the gradient as the rule takes it, the weight decay in it but for AdamW; None without one."""
    if site.dy is None:
        return None
    signed = -site.dy if site.options.get("maximize") else site.dy
    return signed if site.kind == "AdamW" else signed + site.options.get("weight_decay", 0.0) * site.x


def kept(site: Site, key: str) -> np.ndarray:
    """Return what the rule kept from the step before; zeros at the first."""
    return site.state.get(key, np.zeros_like(site.right[key]))


def taken(site: Site) -> float:
    """Return t, the number of this step, from 1."""
    return float(site.state.get("step", 0)) + 1


def moved(site: Site, key: str, keep: float, take: float, value: np.ndarray | None) -> np.ndarray | None:
    """Return keep * (what was kept) + take * value."""
    return None if value is None else keep * kept(site, key) + take * value


# Adagrad


def adagrad(site: Site, denominator: Callable[[np.ndarray, float], np.ndarray], passed: float) -> np.ndarray | None:
    """Return the parameter updated by lr / (1 + passed * lr_decay) * g / denominator(sum, eps)."""
    g, o = gradient(site), site.options
    if g is None:
        return None
    return site.x - o["lr"] / (1 + passed * o["lr_decay"]) * g / denominator(site.right["sum"], o["eps"])


@mistake("adagrad-absolute-values", "|g| is summed in place of g^2.", "Adagrad", "sum", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    g = gradient(site)
    if g is None:
        return None
    return site.right["sum"] - np.square(g) + np.abs(g)


@mistake("adagrad-sum-not-kept", "Only the last gradient's square is there: nothing adds up.", "Adagrad", "sum",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    g = gradient(site)
    return None if g is None or "sum" not in site.state else np.square(g)


@mistake("adagrad-initial-value-forgotten", "The sum starts at 0, not at initial_accumulator_value.", "Adagrad", "sum",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    start = site.options.get("initial_accumulator_value")
    return site.right["sum"] - start if start and "sum" not in site.state else None


@mistake("adagrad-root-missing", "Divided by the sum of squares, not by its root.", "Adagrad", "updated",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    return adagrad(site, lambda s, eps: s + eps, taken(site) - 1)


@mistake("adagrad-eps-inside-root", "sqrt(s + eps) in place of sqrt(s) + eps.", "Adagrad", "updated", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    return adagrad(site, lambda s, eps: np.sqrt(s + eps), taken(site) - 1) if site.options["eps"] else None


@mistake("adagrad-decay-one-step-early", "1 + t lr_decay: the first step is decayed already.", "Adagrad", "updated",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    if not site.options["lr_decay"]:
        return None
    return adagrad(site, lambda s, eps: np.sqrt(s) + eps, taken(site))


@mistake("adagrad-decay-forgotten", "lr_decay is left out.", "Adagrad", "updated", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    if not site.options["lr_decay"] or taken(site) == 1:
        return None
    return adagrad(site, lambda s, eps: np.sqrt(s) + eps, 0.0)


# RMSprop

Divisor = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def rmsprop(site: Site, divisor: Divisor) -> np.ndarray | None:
    """Return g / divisor(square_avg, mean^2, eps)."""
    g = gradient(site)
    if g is None:
        return None
    mean = site.right.get("grad_avg", np.zeros_like(g))
    return g / divisor(site.right["square_avg"], np.square(mean), site.options["eps"])


def rmsprop_updated(site: Site, direction: np.ndarray | None) -> np.ndarray | None:
    """Return the parameter updated along the direction; None with momentum, whose buffer goes wrong before."""
    return None if direction is None or site.options["momentum"] else site.x - site.options["lr"] * direction


def rmsprop_buffer(site: Site, direction: np.ndarray | None) -> np.ndarray | None:
    """Return the momentum buffer that takes in the direction."""
    return moved(site, "momentum_buffer", site.options["momentum"], 1.0, direction)


def under_root(s: np.ndarray, squared_mean: np.ndarray, eps: float) -> np.ndarray:
    """Return the right divisor with eps under the root."""
    return np.sqrt(s - squared_mean + eps)


def without_root(s: np.ndarray, squared_mean: np.ndarray, eps: float) -> np.ndarray:
    """Return the right divisor without the root."""
    return s - squared_mean + eps


def uncentred(s: np.ndarray, _: np.ndarray, eps: float) -> np.ndarray:
    """Return the right divisor without the mean."""
    return np.sqrt(s) + eps


RMSPROP_DIVISORS: dict[str, tuple[str, str, Divisor]] = {  # the option without which it makes no difference
    "eps-inside-root": ("sqrt(s + eps) in place of sqrt(s) + eps.", "eps", under_root),
    "root-missing": ("divided by the average of squares, not by its root.", "alpha", without_root),
    "centre-forgotten": ("the mean's square is not taken off.", "centered", uncentred),
}
for _name, (_about, _option, _divisor) in RMSPROP_DIVISORS.items():
    mistake(f"rmsprop-{_name}", f"RMSprop: {_about}", "RMSprop", "updated", everywhere=True)(
        lambda s, o=_option, d=_divisor: rmsprop_updated(s, rmsprop(s, d)) if s.options[o] else None
    )
    about = f"RMSprop with momentum: {_about}"
    mistake(f"rmsprop-{_name}-under-momentum", about, "RMSprop", "momentum_buffer", everywhere=True)(
        lambda s, o=_option, d=_divisor: rmsprop_buffer(s, rmsprop(s, d)) if s.options[o] else None
    )


@mistake("rmsprop-alpha-swapped", "alpha and 1 - alpha have changed places.", "RMSprop", "square_avg", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    g, alpha = gradient(site), site.options["alpha"]
    return None if g is None or alpha == 0.5 else moved(site, "square_avg", 1 - alpha, alpha, np.square(g))


@mistake("rmsprop-square-not-weighted", "s = alpha s + g^2: the new square is not multiplied by 1 - alpha.", "RMSprop",
         "square_avg", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    g = gradient(site)
    return None if g is None else moved(site, "square_avg", site.options["alpha"], 1.0, np.square(g))


@mistake("rmsprop-decay-not-in-square", "The square is of the gradient without its weight decay.", "RMSprop",
         "square_avg", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or not site.options.get("weight_decay"):
        return None
    alpha = site.options["alpha"]
    return moved(site, "square_avg", alpha, 1 - alpha, np.square(site.dy))


@mistake("rmsprop-momentum-of-plain-gradient", "The momentum takes in g, not g over the root.", "RMSprop",
         "momentum_buffer", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    return rmsprop_buffer(site, gradient(site))


@mistake("rmsprop-learning-rate-in-momentum", "lr is put into the momentum buffer.", "RMSprop", "momentum_buffer",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    lr = site.options["lr"]
    direction = rmsprop(site, lambda s, squared_mean, eps: np.sqrt(s - squared_mean) + eps)
    return None if direction is None or lr == 1 else rmsprop_buffer(site, lr * direction)


# Adadelta

Ratio = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def adadelta(site: Site, ratio: Ratio) -> np.ndarray | None:
    """Return g * ratio(average of squared steps before, average of squared gradients, eps)."""
    g = gradient(site)
    if g is None:
        return None
    return ratio(kept(site, "acc_delta"), site.right["square_avg"], site.options["eps"]) * g


def right_ratio(a: np.ndarray, s: np.ndarray, eps: float) -> np.ndarray:
    """Return what Adadelta multiplies the gradient by."""
    return np.sqrt(a + eps) / np.sqrt(s + eps)


def adadelta_steps(site: Site, direction: np.ndarray | None) -> np.ndarray | None:
    """Return the average of squared steps that takes in this step."""
    rho = site.options["rho"]
    return None if direction is None else moved(site, "acc_delta", rho, 1 - rho, np.square(direction))


def swapped_ratio(a: np.ndarray, s: np.ndarray, eps: float) -> np.ndarray:
    """Return the right ratio upside down."""
    return np.sqrt(s + eps) / np.sqrt(a + eps)


def ratio_without_roots(a: np.ndarray, s: np.ndarray, eps: float) -> np.ndarray:
    """Return the right ratio, squared."""
    return (a + eps) / (s + eps)


def ratio_beside_eps(a: np.ndarray, s: np.ndarray, eps: float) -> np.ndarray:
    """Return the ratio with eps beside the roots."""
    return (np.sqrt(a) + eps) / (np.sqrt(s) + eps)


def ratio_of_gradients(_: np.ndarray, s: np.ndarray, eps: float) -> np.ndarray:
    """Return the ratio without the steps' own size."""
    return 1 / np.sqrt(s + eps)


ADADELTA_RATIOS: dict[str, tuple[str, Ratio]] = {
    "roots-swapped": ("the two roots have changed places.", swapped_ratio),
    "roots-missing": ("the averages are divided without their roots.", ratio_without_roots),
    "eps-outside-roots": ("sqrt(a) + eps in place of sqrt(a + eps).", ratio_beside_eps),
    "steps-ignored": ("the steps' own size is left out.", ratio_of_gradients),
}
for _name, (_about, _ratio) in ADADELTA_RATIOS.items():
    mistake(f"adadelta-{_name}", f"Adadelta: {_about}", "Adadelta", "acc_delta", everywhere=True)(
        lambda s, r=_ratio: adadelta_steps(s, adadelta(s, r))
    )


@mistake("adadelta-learning-rate-in-steps", "The steps are averaged with lr in them.", "Adadelta", "acc_delta",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    direction, lr = adadelta(site, right_ratio), site.options["lr"]
    return None if direction is None or lr == 1 else adadelta_steps(site, lr * direction)


@mistake("adadelta-rho-swapped", "rho and 1 - rho have changed places.", "Adadelta", "square_avg", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    g, rho = gradient(site), site.options["rho"]
    return None if g is None or rho == 0.5 else moved(site, "square_avg", 1 - rho, rho, np.square(g))


@mistake("adadelta-learning-rate-forgotten", "The step is taken without lr.", "Adadelta", "updated", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    direction = adadelta(site, right_ratio)
    return None if direction is None or site.options["lr"] == 1 else site.x - direction


@mistake("adadelta-new-steps-used", "The step is divided out by the average that it is in already.", "Adadelta",
         "updated", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    g, o = gradient(site), site.options
    if g is None:
        return None
    return site.x - o["lr"] * right_ratio(site.right["acc_delta"], site.right["square_avg"], o["eps"]) * g
