"""Mistakes in Adam and AdamW: in their two averages, the corrections of these, and the weight decay."""

from collections.abc import Callable

import numpy as np

from compare.diagnosis.mistakes.adaptive import gradient, moved, taken
from compare.diagnosis.mistakes.catalogue import mistake
from compare.diagnosis.site import Site

ADAM = ("Adam", "AdamW")


def root_and_eps(v: np.ndarray, correction: float, eps: float) -> np.ndarray:
    """Return what Adam divides by."""
    return np.sqrt(v / correction) + eps


def adam(
    site: Site,
    first: float = 0.0,
    second: float = 0.0,
    denominator: Callable[[np.ndarray, float, float], np.ndarray] = root_and_eps,
    numerator: np.ndarray | None = None,
) -> np.ndarray:
    """Return the updated parameter with these corrections of the two averages (0: the right ones).

    The step is made of `numerator`, without which it is the first average.
    """
    o, t, (beta1, beta2) = site.options, taken(site), site.options["betas"]
    by, under = first or 1 - beta1**t, second or 1 - beta2**t
    v = site.right.get("max_exp_avg_sq", site.right["exp_avg_sq"])
    start = site.x * (1 - o["lr"] * o["weight_decay"]) if site.kind == "AdamW" else site.x
    m = site.right["exp_avg"] if numerator is None else numerator
    return start - o["lr"] / by * m / denominator(v, under, o["eps"])


@mistake("adam-betas-swapped", "beta1 and beta2 have changed places.", ADAM, "exp_avg", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    beta1, beta2 = site.options["betas"]
    return None if beta1 == beta2 else moved(site, "exp_avg", beta2, 1 - beta2, gradient(site))


@mistake("adam-gradient-not-weighted", "m = beta1 m + g: the gradient is not multiplied by 1 - beta1.", ADAM, "exp_avg",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    return moved(site, "exp_avg", site.options["betas"][0], 1.0, gradient(site))


@mistake("adam-decay-not-in-gradient", "Adam's weight decay is kept out of the averages, as AdamW does.", "Adam",
         "exp_avg", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    beta1, decay = site.options["betas"][0], site.options.get("weight_decay", 0.0)
    return site.right["exp_avg"] - (1 - beta1) * decay * site.x if decay else None


@mistake("adamw-decay-in-gradient", "AdamW's weight decay is added to the gradient, as Adam does.", "AdamW", "exp_avg",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    beta1, decay = site.options["betas"][0], site.options.get("weight_decay", 0.0)
    return site.right["exp_avg"] + (1 - beta1) * decay * site.x if decay else None


@mistake("adam-absolute-values", "The second average is of |g|, not of g^2.", ADAM, "exp_avg_sq", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    g, beta2 = gradient(site), site.options["betas"][1]
    return None if g is None else moved(site, "exp_avg_sq", beta2, 1 - beta2, np.abs(g))


@mistake("adam-square-of-average", "The second average is of m^2, not of g^2.", ADAM, "exp_avg_sq", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    beta2 = site.options["betas"][1]
    return moved(site, "exp_avg_sq", beta2, 1 - beta2, np.square(site.right["exp_avg"]))


@mistake("adam-second-beta-of-first", "beta1 is used in both averages.", ADAM, "exp_avg_sq", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    g, (beta1, beta2) = gradient(site), site.options["betas"]
    return None if g is None or beta1 == beta2 else moved(site, "exp_avg_sq", beta1, 1 - beta1, np.square(g))


@mistake("adam-decay-not-in-square", "The second average is of the gradient without its weight decay.", "Adam",
         "exp_avg_sq", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or not site.options.get("weight_decay"):
        return None
    beta2 = site.options["betas"][1]
    return moved(site, "exp_avg_sq", beta2, 1 - beta2, np.square(site.dy))


@mistake("adam-amsgrad-maximum-forgotten", "The largest v so far is overwritten by the last.", ADAM, "max_exp_avg_sq",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray:
    return site.right["exp_avg_sq"]


@mistake("adam-first-moment-uncorrected", "m is not divided by 1 - beta1^t.", ADAM, "updated", everywhere=True)
def _(site: Site) -> np.ndarray:
    return adam(site, first=1.0)


@mistake("adam-second-moment-uncorrected", "v is not divided by 1 - beta2^t.", ADAM, "updated", everywhere=True)
def _(site: Site) -> np.ndarray:
    return adam(site, second=1.0)


@mistake("adam-uncorrected", "Neither m nor v is corrected for its start at 0.", ADAM, "updated", everywhere=True)
def _(site: Site) -> np.ndarray:
    return adam(site, first=1.0, second=1.0)


@mistake("adam-step-counted-from-0", "The corrections see t - 1: a step is counted after its use.", ADAM, "updated",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    before, (beta1, beta2) = taken(site) - 1, site.options["betas"]
    return adam(site, 1 - beta1**before, 1 - beta2**before) if before else None  # at t = 1 it divides by zero


@mistake("adam-eps-inside-root", "sqrt(v + eps) in place of sqrt(v) + eps.", ADAM, "updated", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    return adam(site, denominator=lambda v, c, eps: np.sqrt(v / c + eps)) if site.options["eps"] else None


@mistake("adam-eps-before-correction", "eps is added to sqrt(v) before the correction, and divided by it.", ADAM,
         "updated", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    return adam(site, denominator=lambda v, c, eps: (np.sqrt(v) + eps) / np.sqrt(c)) if site.options["eps"] else None


@mistake("adam-root-missing", "Divided by v, not by its root.", ADAM, "updated", everywhere=True)
def _(site: Site) -> np.ndarray:
    return adam(site, denominator=lambda v, c, eps: v / c + eps)


@mistake("adam-gradient-for-average", "The step is made of g, not of its average m.", ADAM, "updated", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    g = gradient(site)
    return None if g is None or taken(site) == 1 else adam(site, numerator=g)


@mistake("adamw-decay-without-learning-rate", "AdamW shrinks by weight_decay, not by lr times it.", "AdamW", "updated",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    decay, lr = site.options.get("weight_decay"), site.options["lr"]
    return site.right["updated"] - (1 - lr) * decay * site.x if decay and lr != 1 else None
