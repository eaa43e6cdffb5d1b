"""Mistakes in the optimizer's step."""

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake, scaled
from compare.diagnosis.site import Site

ON = "SGD"
ANY = ("SGD", "Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW")  # whatever the rule, its step is subtracted
DECAYING = ("SGD", "AdamW")  # the rules whose decay goes into the update as it is


def step(site: Site) -> np.ndarray:
    """Return lr times the direction of the right update: what was subtracted."""
    return site.x - site.right["updated"]


def rate(site: Site) -> float:
    """Return the learning rate of this step, which a schedule may have moved."""
    return site.options.get("lr", site.lr)


def is_bias(site: Site) -> bool:
    """Whether the parameter is a bias."""
    return site.name.endswith(".bias")


@mistake("learning-rate-twice", "The learning rate is applied twice: lr^2.", ANY, "updated", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    return None if rate(site) in (0, 1) else site.x - rate(site) * step(site)


@mistake("learning-rate-over-batch", "The learning rate is divided by N, which is in the gradient already.", ANY,
         "updated", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray:
    return site.x - step(site) / site.nominal


@mistake("learning-rate-other", "Another learning rate: the step is the right one but for a factor.", ANY, "updated",
         fitted=1, everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    taken, found = step(site), site.found
    whole = float((taken * taken).sum())
    if not whole:
        return None
    ratio = 1.25 if found is None else float((taken * (site.x - found)).sum()) / whole
    return site.x - ratio * taken if ratio > 0 else None


@mistake("update-adds", "The update adds: gradient ascent.", ANY, "updated", everywhere=True)
def _(site: Site) -> np.ndarray:
    return site.x + step(site)


@mistake("layer-never-updated", "One layer's weight is never updated.", ANY, "updated")
def _(site: Site) -> np.ndarray | None:
    return None if is_bias(site) else site.x


@mistake("bias-never-updated", "The biases are never updated.", ANY, "updated")
def _(site: Site) -> np.ndarray | None:
    return site.x if is_bias(site) else None


@mistake("updated-twice", "The step is taken twice.", ANY, "updated", everywhere=True)
def _(site: Site) -> np.ndarray:
    return site.x - 2 * step(site)


@mistake("previous-gradient-used", "The step is taken with the gradient of the step before.", ON, "updated")
def _(site: Site) -> np.ndarray | None:
    plain = not site.options.get("momentum") and not site.options.get("weight_decay")
    if site.previous is None or site.previous.dy is None or not plain:
        return None
    return site.x - rate(site) * site.previous.dy


def plain_decay(site: Site) -> float:
    """Return the weight decay of a parameter without momentum: its part of the step is then lr * decay * p."""
    return 0.0 if site.options.get("momentum") else site.options.get("weight_decay", 0.0)


@mistake("weight-decay-halved", "lambda/2: the square's derivative is taken without its 2.", DECAYING, "updated")
def _(site: Site) -> np.ndarray | None:
    return site.right["updated"] + rate(site) * plain_decay(site) / 2 * site.x if plain_decay(site) else None


@mistake("weight-decay-doubled", "The weight decay is applied twice.", DECAYING, "updated")
def _(site: Site) -> np.ndarray | None:
    return site.right["updated"] - rate(site) * plain_decay(site) * site.x if plain_decay(site) else None


@mistake("weight-decay-forgotten", "The weight decay is left out.", DECAYING, "updated")
def _(site: Site) -> np.ndarray | None:
    return site.right["updated"] + rate(site) * plain_decay(site) * site.x if plain_decay(site) else None


@mistake("weight-decay-on-biases", "The biases decay too, although only the weights should.", DECAYING, "updated")
def _(site: Site) -> np.ndarray | None:
    decay = site.options.get("decay_of_weights", 0.0)
    if not is_bias(site) or not decay or site.options.get("weight_decay"):
        return None
    return site.right["updated"] - rate(site) * decay * site.x


def velocity(site: Site) -> np.ndarray | None:
    """Return the momentum buffer before the step; None at the first."""
    return site.state.get("momentum_buffer")


@mistake("momentum-damped", "The new gradient is multiplied by 1 - momentum: wrong dampening.", ON, "momentum_buffer",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    v = velocity(site)
    if v is None:
        return None
    momentum = site.options["momentum"]
    return momentum * v + (1 - momentum) * (site.right["momentum_buffer"] - momentum * v)


@mistake("velocity-not-kept", "The velocity is not kept between steps.", ON, "momentum_buffer", everywhere=True)
def _(site: Site) -> np.ndarray | None:
    v = velocity(site)
    return None if v is None else site.right["momentum_buffer"] - site.options["momentum"] * v


@mistake("momentum-halved-gradient-kept", "v = v + g: the velocity is not multiplied by the momentum.", ON,
         "momentum_buffer", everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    v = velocity(site)
    return None if v is None else site.right["momentum_buffer"] + (1 - site.options["momentum"]) * v


@mistake("learning-rate-in-velocity", "lr is put into the velocity: v = momentum v + lr g.", ON, "momentum_buffer",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    if "momentum_buffer" not in site.right or rate(site) == 1:
        return None
    v = velocity(site)
    carried = 0 if v is None else site.options["momentum"] * v
    return carried + rate(site) * (site.right["momentum_buffer"] - carried)


@mistake("nesterov-without-look-ahead", "Nesterov's look-ahead is left out: p - lr v.", ON, "updated",
         everywhere=True)  # fmt: skip
def _(site: Site) -> np.ndarray | None:
    return site.x - rate(site) * site.right["momentum_buffer"] if site.options.get("nesterov") else None


mistake("parameter-scaled-255-256", "A factor 255/256 has slipped into the updated weights.", ANY, "updated")(
    scaled("updated", lambda _: 255 / 256)
)
