"""Mistakes in what is done before the update: accumulation, clipping, schedule.

Their sites are those of `compare.diagnosis.preparation`.
"""

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake, scaled
from compare.diagnosis.site import Site

# Accumulation: x the micro-batch's gradient, state the sum before it


def kept(site: Site) -> np.ndarray | None:
    """Return the sum that this gradient is added to; None where a new one begins."""
    return site.state.get("accumulated") if site.options["micro"] % site.options["accumulate"] else None


@mistake("accumulation-not-divided", "The gradients are added up, not averaged: k times too large.", "Accumulation",
         "accumulated", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray:
    before = kept(site)
    return site.x if before is None else before + site.x


@mistake("accumulation-overwritten", "Each micro-batch overwrites the gradients of those before.", "Accumulation",
         "accumulated", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    return None if kept(site) is None else site.x / site.options["accumulate"]


@mistake("accumulation-not-zeroed", "After the update the sum is not set to zero.", "Accumulation", "accumulated",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    old = site.state.get("accumulated")
    return None if old is None or kept(site) is not None else old + site.right["accumulated"]


# Clipping: x the gradient before it, parameters those of all parameters


def total(site: Site, gradients: list[np.ndarray]) -> float:
    """Return the norm of these gradients as one vector."""
    q, whole = site.options["norm_type"], np.concatenate([np.ravel(g) for g in gradients])
    return float(np.abs(whole).max() if q == np.inf else (np.abs(whole) ** q).sum() ** (1 / q))


def shortened(site: Site, norm: float) -> np.ndarray | None:
    """Return the gradient shortened as if this were the total norm; None where it is clipped by value."""
    limit = site.options["max_norm"]
    return None if limit is None else site.x * min(1.0, limit / (norm + 1e-6))


@mistake("clipping-each-on-its-own", "Each parameter's gradient is clipped by its own norm.", "Clipping", "clipped",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    own, limit = total(site, [site.x]), site.options["max_norm"]
    if limit is None or own + 1e-6 <= limit or len(site.parameters) == 1:  # it stays as it is: the mistake below
        return None
    return shortened(site, own)


@mistake("clipping-without-effect", "The update takes the gradients as they were: clipped after it, or on copies.",
         "Clipping", "clipped", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray:
    return site.x


@mistake("clipping-norms-added", "The norms of the parameters are added up, not their squares.", "Clipping", "clipped",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    if site.options["norm_type"] == 1 or len(site.parameters) == 1:
        return None
    return shortened(site, sum(total(site, [g]) for g in site.parameters.values()))


@mistake("clipping-root-missing", "The sum of squares is taken for the norm.", "Clipping", "clipped", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    q = site.options["norm_type"]
    return None if q in (1, np.inf) else shortened(site, total(site, list(site.parameters.values())) ** q)


@mistake("clipping-lengthens", "Gradients shorter than max_norm are lengthened to it.", "Clipping", "clipped",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    limit, norm = site.options["max_norm"], total(site, list(site.parameters.values())) + 1e-6
    return None if limit is None or norm >= limit else site.x * (limit / norm)


@mistake("clipping-by-value-for-norm", "Each element is held within max_norm.", "Clipping", "clipped", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    limit = site.options["max_norm"]
    if limit is None or np.abs(site.x).max() <= limit:  # without effect: another mistake
        return None
    return np.clip(site.x, -limit, limit)


@mistake("clipping-above-only", "Values are held below clip_value, not above its negative.", "Clipping", "clipped",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    limit = site.options["clip_value"]
    return None if limit is None else np.minimum(site.x, limit)


# Schedule: x the base rate


@mistake("schedule-off-by-one", "The schedule is a step ahead, or a step behind.", "Schedule", "lr")
def _(site: Site) -> list[np.ndarray]:
    schedule, step, base = site.options["schedule"], site.options["step"], float(site.x)
    return [np.asarray(schedule.lr(max(at, 0), base)) for at in (step + 1, step - 1)]


@mistake("schedule-ignored", "The learning rate stays what it was.", "Schedule", "lr")
def _(site: Site) -> np.ndarray:
    return site.x


@mistake("schedule-multiplied-again", "The factor is applied to the rate of the step before: it piles up.", "Schedule",
         "lr")  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    schedule, step, base = site.options["schedule"], site.options["step"], float(site.x)
    if not base or not step:
        return None
    return np.asarray(base * np.prod([schedule.lr(n, base) / base for n in range(step + 1)]))


mistake("schedule-halved", "The learning rate is halved once more: the cosine's 1/2 twice.", "Schedule", "lr")(
    scaled("lr", lambda _: 0.5)
)
