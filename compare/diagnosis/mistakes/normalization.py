"""Mistakes in normalising layers: the roads through mean and variance, the wrong set of numbers, eps, statistics.

X_hat = (X - mean) r with r = 1 / sqrt(variance + eps) over a set of M numbers, Y = gamma X_hat + beta; backward, with
h = gamma dY,   dX = r (h - mean(h) - X_hat mean(h X_hat)).
"""

from collections.abc import Callable

import numpy as np

from compare.diagnosis.mistakes.catalogue import Wrong, mistake
from compare.diagnosis.mistakes.sets import BATCH, Sets, sets, summed
from compare.diagnosis.site import Site

ENTRIES = {"batchnorm": BATCH, "layernorm": ("LayerNorm",), "groupnorm": ("GroupNorm",)}
SETS = {"batchnorm": "the batch", "layernorm": "the example", "groupnorm": "the group"}


def forward(wrong: Callable[[Sets], np.ndarray | None]) -> Wrong:
    """Return the mistake whose wrong X_hat is given."""

    def of_site(site: Site) -> np.ndarray | None:
        s = sets(site)
        x_hat = None if s is None else wrong(s)
        return None if s is None or x_hat is None else s.affine(x_hat).reshape(site.x.shape)

    return of_site


def backward(wrong: Callable[[Sets], np.ndarray | None]) -> Wrong:
    """Return the mistake whose wrong dX is given."""

    def of_site(site: Site) -> np.ndarray | None:
        s = sets(site)
        grad = None if s is None or site.dy is None else wrong(s)
        return None if grad is None else grad.reshape(site.x.shape)

    return of_site


def per_parameter(wrong: Callable[[Sets], np.ndarray]) -> Wrong:
    """Return the mistake whose terms of dC/dgamma are given, one an element, before they are summed."""

    def of_site(site: Site) -> np.ndarray | None:
        s = sets(site)
        if s is None or site.dy is None or "weight" not in site.parameters:
            return None
        return summed(wrong(s), site)

    return of_site


# Forward: which numbers, divided by what


def unbiased(s: Sets) -> np.ndarray | None:
    """X_hat with the variance divided by M - 1."""
    return None if s.m < 2 else s.centred / np.sqrt(s.variance * s.m / (s.m - 1) + s.eps)


def eps_matters(s: Sets) -> bool:
    """Whether eps is large enough beside the variance that its place can be told from rounding."""
    return s.eps > 64 * np.finfo(s.x.dtype).eps


def eps_outside(s: Sets) -> np.ndarray | None:
    """X_hat with eps added to the root."""
    return s.centred / (np.sqrt(s.variance) + s.eps) if eps_matters(s) and (s.variance > 0).all() else None


def eps_forgotten(s: Sets) -> np.ndarray | None:
    """X_hat without eps."""
    return s.centred / np.sqrt(s.variance) if eps_matters(s) and (s.variance > 0).all() else None


def over(s: Sets, axes: tuple[int, ...]) -> np.ndarray:
    """Return X_hat with the sets along other axes."""
    return Sets(s.x, s.g, 1.0, 0.0, axes, s.eps, s.rms).x_hat


for entry, kinds in ENTRIES.items():
    mistake(f"{entry}-unbiased-variance", "The variance that divides is the unbiased one, over M - 1.", kinds,
            "output")(forward(unbiased))  # fmt: skip
    mistake(f"{entry}-divided-by-variance", "Divided by the variance instead of its root.", kinds, "output")(
        forward(lambda s: s.centred / (s.variance + s.eps))
    )
    mistake(f"{entry}-mean-not-subtracted", "The mean is not taken off, only the deviation is divided by.", kinds,
            "output")(forward(lambda s: s.x * s.r))  # fmt: skip
    mistake(f"{entry}-eps-outside-root", "eps is added to the root instead of under it.", kinds, "output")(
        forward(eps_outside)
    )
    mistake(f"{entry}-eps-forgotten", "eps is left out.", kinds, "output")(forward(eps_forgotten))


@mistake("batchnorm-over-features", "Statistics of each example over its features instead of of each feature over "
         "the batch.", BATCH, "output")  # fmt: skip
@forward
def _(s: Sets) -> np.ndarray | None:
    return None if s.x[0].size < 2 else over(s, (1, 2))


@mistake("batchnorm-positions-apart", "Statistics over the batch alone: every position of a channel has its own.",
         BATCH, "output")  # fmt: skip
@forward
def _(s: Sets) -> np.ndarray | None:
    return None if s.x.shape[2] < 2 or len(s.x) < 2 else over(s, (0,))


@mistake("batchnorm-running-statistics-in-training", "The running statistics are used in training too.", BATCH,
         "output")  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    s = sets(site)
    if s is None or not site.training or "running_mean" not in site.buffers:
        return None
    mean, variance = (site.buffers[key].astype(s.x.dtype)[:, None] for key in ("running_mean", "running_var"))
    return s.affine((s.x - mean) / np.sqrt(variance + s.eps)).reshape(site.x.shape)


@mistake("layernorm-over-batch", "Normalised over the batch instead of within the example.", "LayerNorm", "output")
@forward
def _(s: Sets) -> np.ndarray | None:
    return None if len(s.x) < 2 else over(s, (0,))


@mistake("groupnorm-over-whole-layer", "Statistics over all channels instead of those of the group.", "GroupNorm",
         "output")  # fmt: skip
@forward
def _(s: Sets) -> np.ndarray | None:
    return None if s.x.shape[1] < 2 else over(s, (1, 2, 3))


@mistake("groupnorm-channels-apart", "Statistics of every channel on its own instead of those of the group.",
         "GroupNorm", "output")  # fmt: skip
@forward
def _(s: Sets) -> np.ndarray | None:
    return None if s.x.shape[2] < 2 or s.x.shape[3] < 2 else over(s, (3,))


@mistake("groupnorm-channels-interleaved", "Every G-th channel forms a group instead of neighbours.", "GroupNorm",
         "output")  # fmt: skip
@forward
def _(s: Sets) -> np.ndarray | None:
    n, groups, k, positions = s.x.shape
    if groups < 2 or k < 2:
        return None
    dealt = s.x.reshape(n, k, groups, positions)  # channel c = i G + j belongs to group j
    return Sets(dealt, s.g, 1.0, 0.0, (1, 3), s.eps).x_hat.reshape(s.x.shape)


@mistake("rmsnorm-mean-subtracted", "The mean is taken off, as in LayerNorm.", "RMSNorm", "output")
@forward
def _(s: Sets) -> np.ndarray | None:
    return Sets(s.x, s.g, 1.0, 0.0, s.axes, s.eps).x_hat if s.m > 1 else None


@mistake("rmsnorm-sum-of-squares", "Divided by the root of the sum of squares: the mean is forgotten.", "RMSNorm",
         "output")  # fmt: skip
@forward
def _(s: Sets) -> np.ndarray | None:
    return s.x / np.sqrt(s.variance * s.m + s.eps) if s.m > 1 else None


@mistake("rmsnorm-root-forgotten", "Divided by the mean square instead of its root.", "RMSNorm", "output")
@forward
def _(s: Sets) -> np.ndarray:
    return s.x / (s.variance + s.eps)


@mistake("rmsnorm-over-batch", "The mean square over the batch instead of within the example.", "RMSNorm", "output")
@forward
def _(s: Sets) -> np.ndarray | None:
    return None if len(s.x) < 2 else over(s, (0,))


mistake("rmsnorm-eps-outside-root", "eps is added to the root instead of under it.", "RMSNorm", "output")(
    forward(eps_outside)
)
mistake("rmsnorm-eps-forgotten", "eps is left out.", "RMSNorm", "output")(forward(eps_forgotten))


# Running statistics: running <- (1 - momentum) running + momentum new


def momentum(site: Site) -> float:
    """Return the share of the new statistics."""
    given = site.arguments.get("momentum", 0.1)
    return 1 / (int(site.buffers["num_batches_tracked"]) + 1) if given is None else float(given)


def tracked(wrong: Callable[[Sets, np.ndarray, float], np.ndarray | None], key: str) -> Wrong:
    """Return the mistake whose wrong buffer is given, a function of the sets, the old one and momentum."""

    def of_site(site: Site) -> np.ndarray | None:
        s = sets(site)
        if s is None or not site.training or key not in site.buffers or s.m < 2:
            return None
        return wrong(s, site.buffers[key], momentum(site))

    return of_site


def new_mean(s: Sets) -> np.ndarray:
    """Return the batch's mean (C,)."""
    return s.mean(s.x).reshape(-1)


def new_variance(s: Sets, correction: int = 1) -> np.ndarray:
    """Return the batch's variance (C,), divided by M - correction."""
    return s.variance.reshape(-1) * (s.m / (s.m - correction))


mistake("batchnorm-running-mean-momentum-swapped", "momentum and 1 - momentum have changed places.", BATCH,
        "running_mean")(
    tracked(lambda s, old, p: None if p in (0.5, 1) else p * old + (1 - p) * new_mean(s), "running_mean")
)  # fmt: skip
mistake("batchnorm-running-mean-frozen", "The running mean is never updated.", BATCH, "running_mean")(
    tracked(lambda _, old, p: old if p else None, "running_mean")
)
mistake("batchnorm-running-mean-adds-up", "The old mean is not multiplied by 1 - momentum.", BATCH, "running_mean")(
    tracked(lambda s, old, p: old + p * new_mean(s) if p and old.any() else None, "running_mean")
)
mistake("batchnorm-running-var-biased", "The running variance takes the biased variance, over M.", BATCH,
        "running_var")(
    tracked(lambda s, old, p: (1 - p) * old + p * new_variance(s, 0) if p else None, "running_var")
)  # fmt: skip
mistake("batchnorm-running-var-of-deviation", "The running variance takes the standard deviation.", BATCH,
        "running_var")(
    tracked(lambda s, old, p: (1 - p) * old + p * np.sqrt(new_variance(s)) if p else None, "running_var")
)  # fmt: skip
mistake("batchnorm-running-var-momentum-swapped", "momentum and 1 - momentum have changed places.", BATCH,
        "running_var")(
    tracked(lambda s, old, p: None if p in (0.5, 1) else p * old + (1 - p) * new_variance(s), "running_var")
)  # fmt: skip


# Backward, for gamma and beta

for entry, kinds in {**ENTRIES, "rmsnorm": ("RMSNorm",)}.items():
    mistake(f"{entry}-gamma-gradient-without-x-hat", "dC/dgamma is not multiplied by x_hat: it is beta's.", kinds,
            "weight")(per_parameter(lambda s: s.g))  # fmt: skip
    mistake(f"{entry}-gamma-gradient-of-input", "dC/dgamma is multiplied by x instead of x_hat.", kinds, "weight")(
        per_parameter(lambda s: s.g * s.x)
    )
    mistake(f"{entry}-gamma-gradient-averaged", "dC/dgamma is averaged instead of summed.", kinds, "weight")(
        lambda site: (
            site.right["weight"] * (site.parameters["weight"].size / site.x.size)
            if site.x.size > site.parameters["weight"].size
            else None
        )
    )
for entry, kinds in ENTRIES.items():
    mistake(f"{entry}-beta-gradient-averaged", "dC/dbeta is averaged instead of summed.", kinds, "bias")(
        lambda site: (
            site.right["bias"] * (site.parameters["bias"].size / site.x.size)
            if site.x.size > site.parameters["bias"].size
            else None
        )
    )


@mistake("batchnorm-gamma-gradient-not-divided", "dC/dgamma is multiplied by x - mean: the deviation is forgotten.",
         BATCH, "weight")  # fmt: skip
@per_parameter
def _(s: Sets) -> np.ndarray:
    return s.g * s.centred


# Backward, for the input: dX = r (h - mean(h) - x_hat mean(h x_hat))


def gamma_after(s: Sets) -> np.ndarray | None:
    """gamma taken out of the means, as only batch normalisation may; None where it is the same everywhere."""
    return None if np.ptp(s.gamma) == 0 else s.gamma * s.r * s.remainder(s.g)


def gamma_forgotten(s: Sets) -> np.ndarray | None:
    """g in the place of h; None where gamma is 1 everywhere."""
    return None if np.all(np.asarray(s.gamma) == 1) else s.r * s.remainder(s.g)


for entry, kinds in ENTRIES.items():
    mistake(f"{entry}-mean-term-missing", f"The road through the mean of {SETS[entry]} is left out.", kinds, "input")(
        backward(lambda s: s.r * (s.h - s.along(s.h)))
    )
    mistake(f"{entry}-variance-term-missing", f"The road through the variance of {SETS[entry]} is left out.", kinds,
            "input")(backward(lambda s: s.r * (s.h - s.mean(s.h))))  # fmt: skip
    mistake(f"{entry}-both-terms-missing", f"Mean and variance of {SETS[entry]} are taken for constants.", kinds,
            "input")(backward(lambda s: s.r * s.h))  # fmt: skip
    mistake(f"{entry}-deviation-missing-backward", "The gradient is not divided by the deviation.", kinds, "input")(
        backward(lambda s: s.h - s.mean(s.h) - s.along(s.h))
    )
    mistake(f"{entry}-root-derivative-power", "The root's derivative is -1/2 r instead of -1/2 r^3.", kinds, "input")(
        backward(lambda s: s.r * (s.h - s.mean(s.h) - s.along(s.h) / s.r**2))
    )
    mistake(f"{entry}-gamma-forgotten-backward", "The gradient is not multiplied by gamma.", kinds, "input")(
        backward(gamma_forgotten)
    )

mistake("batchnorm-variance-term-over-m-minus-1", "The variance's term is divided by M - 1: the unbiased variance is "
        "differentiated.", BATCH, "input")(
    backward(
        lambda s: None
        if s.m < 2
        else s.r * (s.h - s.mean(s.h) - s.along(s.h) * (s.m / (s.m - 1)))
    )
)  # fmt: skip
mistake("batchnorm-sums-for-means", "The two terms are sums over the batch instead of means.", BATCH, "input")(
    backward(lambda s: s.r * (s.h - s.m * (s.mean(s.h) + s.along(s.h))))
)
mistake("layernorm-gamma-after-means", "gamma is taken out of the means, as only batch normalisation may.",
        "LayerNorm", "input")(backward(gamma_after))  # fmt: skip
mistake("groupnorm-gamma-after-means", "gamma is taken out of the means, as only batch normalisation may.",
        "GroupNorm", "input")(backward(gamma_after))  # fmt: skip
mistake("layernorm-terms-over-batch", "The two means are taken over the batch instead of the example.", "LayerNorm",
        "input")(
    backward(
        lambda s: None
        if len(s.h) < 2
        else s.r * (s.h - s.h.mean(axis=0) - s.x_hat * (s.h * s.x_hat).mean(axis=0))
    )
)  # fmt: skip
mistake("rmsnorm-x-hat-term-missing", "The root mean square is taken for a constant.", "RMSNorm", "input")(
    backward(lambda s: s.r * s.h)
)
mistake("rmsnorm-mean-term-added", "A mean is taken off that the forward pass does not take, as in LayerNorm.",
        "RMSNorm", "input")(
    backward(lambda s: s.r * (s.h - s.mean(s.h) - s.along(s.h)))
)  # fmt: skip
mistake("rmsnorm-sum-for-mean", "The term of the mean square is a sum instead of a mean.", "RMSNorm", "input")(
    backward(lambda s: s.r * (s.h - s.m * s.along(s.h)) if s.m > 1 else None)
)
mistake("rmsnorm-term-halved", "The square's derivative is taken without its 2.", "RMSNorm", "input")(
    backward(lambda s: s.r * (s.h - s.along(s.h) / 2))
)
mistake("rmsnorm-gamma-forgotten-backward", "The gradient is not multiplied by the weight.", "RMSNorm", "input")(
    backward(gamma_forgotten)
)  # fmt: skip
