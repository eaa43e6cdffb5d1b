"""Mistakes where tensors are shaped, looked up, left out and led around: order, repetition, masks, the second way."""

import numpy as np

from compare.diagnosis.mistakes.catalogue import Wrong, mistake, scaled
from compare.diagnosis.site import Site

# Flatten: the axes from start_dim to end_dim become one


def block(site: Site) -> tuple[int, int]:
    """Return the first axis that is flattened, and the one after the last."""
    first, last = site.arguments.get("start_dim", 1), site.arguments.get("end_dim", -1)
    return first % site.x.ndim, last % site.x.ndim + 1


def reordered(order: str, key: str) -> Wrong:
    """Return the wrong computation that flattens its axes in another order: "reversed", or "channels last"."""

    def wrong(site: Site) -> np.ndarray | None:
        first, after = block(site)
        axes = list(range(site.x.ndim))
        if order == "reversed":
            axes[first:after] = axes[first:after][::-1]
        elif after - first > 2:  # of two axes, the first put last is the two reversed
            axes[first:after] = [*axes[first + 1 : after], first]
        if key == "output":
            return different(site, key, site.x.transpose(axes).reshape(site.right[key].shape))
        if site.dy is None:
            return None
        there = site.dy.reshape([site.x.shape[axis] for axis in axes])
        return different(site, key, there.transpose(np.argsort(axes)))

    return wrong


def different(site: Site, key: str, wrong: np.ndarray) -> np.ndarray | None:
    """Return the wrong tensor; None where the mistake makes no difference."""
    return None if np.array_equal(wrong, site.right[key]) else wrong


for _key, _pass in (("output", "forward"), ("input", "backward")):
    mistake(f"flatten-column-major-{_pass}", f"The first axis runs fastest, {_pass}.", "Flatten", _key)(
        reordered("reversed", _key)
    )
    mistake(f"flatten-channels-last-{_pass}", f"The channels run fastest, {_pass}.", "Flatten", _key)(
        reordered("channels last", _key)
    )


@mistake("flatten-batch-mixed-forward", "Reshaped to (features, N), then transposed.", "Flatten", "output")
def _(site: Site) -> np.ndarray | None:
    right = site.right["output"]
    return different(site, "output", site.x.reshape(right.shape[::-1]).T) if right.ndim == 2 else None


@mistake("flatten-batch-mixed-backward", "Transposed, then reshaped to the input's shape.", "Flatten", "input")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or site.dy.ndim != 2:
        return None
    return different(site, "input", site.dy.T.reshape(site.x.shape))


# Dropout: m x / (1 - p)


def keeping(site: Site) -> tuple[np.ndarray, float] | None:
    """Return the mask and p; None where nothing was drawn, or the mask hides nothing or everything."""
    mask, p = site.drawn.get("mask"), site.arguments.get("p", 0.5)
    return None if mask is None or not site.training or not 0 < p < 1 else (mask, p)


@mistake("dropout-scale-missing-forward", "What is kept is not divided by 1 - p.", "Dropout", "output")
def _(site: Site) -> np.ndarray | None:
    made = keeping(site)
    return None if made is None else site.x * made[0]


@mistake("dropout-divided-by-p", "What is kept is divided by p instead of 1 - p.", "Dropout", "output")
def _(site: Site) -> np.ndarray | None:
    made = keeping(site)
    return None if made is None or made[1] == 0.5 else site.x * made[0] / made[1]


@mistake("dropout-mask-inverted", "What should be kept is dropped, and the reverse.", "Dropout", "output")
def _(site: Site) -> np.ndarray | None:
    made = keeping(site)
    return None if made is None else site.x * ~made[0] / (1 - made[1])


@mistake("dropout-forgotten-forward", "Nothing is dropped in training.", "Dropout", "output")
def _(site: Site) -> np.ndarray | None:
    return None if keeping(site) is None else site.x


@mistake("dropout-scale-missing-backward", "The gradient is masked but not divided by 1 - p.", "Dropout", "input")
def _(site: Site) -> np.ndarray | None:
    made = keeping(site)
    return None if made is None or site.dy is None else site.dy * made[0]


@mistake("dropout-mask-missing-backward", "The gradient is divided by 1 - p but not masked.", "Dropout", "input")
def _(site: Site) -> np.ndarray | None:
    made = keeping(site)
    return None if made is None or site.dy is None else site.dy / (1 - made[1])


@mistake("dropout-forgotten-backward", "The gradient passes as if nothing had been dropped.", "Dropout", "input")
def _(site: Site) -> np.ndarray | None:
    return None if keeping(site) is None else site.dy


@mistake("dropout-fresh-mask", "The backward pass draws a mask of its own.", "Dropout", "input", fitted=1)
def _(site: Site) -> np.ndarray | None:
    made, dy = keeping(site), site.dy
    if made is None or dy is None:
        return None
    mask, p = made
    fresh = np.random.default_rng(0).random(dy.shape) >= p if site.found is None else site.found != 0
    return None if np.array_equal(fresh & (dy != 0), mask & (dy != 0)) else dy * fresh / (1 - p)


# Embedding: y = W[t], and the gradients of a repeated index add


def rows(site: Site) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the indices in a line, and the gradient of each."""
    if site.dy is None:
        return None
    indices = site.x.reshape(-1)
    return indices, site.dy.reshape(len(indices), -1)


def occurrences(site: Site) -> np.ndarray:
    """Return how often each row is looked up (1 where never), as a column."""
    right = site.right["weight"]
    return np.maximum(np.bincount(site.x.reshape(-1), minlength=len(right)), 1).astype(right.dtype)[:, None]


@mistake("embedding-repeated-index-overwritten", "A repeated index overwrites, the last wins.", "Embedding", "weight")
def _(site: Site) -> np.ndarray | None:
    if (looked_up := rows(site)) is None:
        return None
    indices, gradients = looked_up
    wrong = np.zeros_like(site.right["weight"])
    last = {int(index): place for place, index in enumerate(indices)}
    for index, place in last.items():
        wrong[index] = gradients[place]
    if site.arguments.get("scale_grad_by_freq"):
        wrong /= occurrences(site)
    return different(site, "weight", padded(site, wrong))


def padded(site: Site, gradient: np.ndarray) -> np.ndarray:
    """Return the gradient with its padding row cleared."""
    padding = site.arguments.get("padding_idx")
    if padding is not None:
        gradient[padding] = 0
    return gradient


@mistake("embedding-padding-trained", "The padding row gets a gradient as any other.", "Embedding", "weight")
def _(site: Site) -> np.ndarray | None:
    padding = site.arguments.get("padding_idx")
    if (looked_up := rows(site)) is None or padding is None:
        return None
    indices, gradients = looked_up
    wrong = site.right["weight"].copy()
    wrong[padding] = gradients[indices == padding % len(wrong)].sum(axis=0)
    if site.arguments.get("scale_grad_by_freq"):
        wrong[padding] /= occurrences(site)[padding]
    return different(site, "weight", wrong)


@mistake("embedding-gradient-shifted", "The gradient goes to the row before or after its own.", "Embedding", "weight")
def _(site: Site) -> list[np.ndarray]:
    right = site.right["weight"]
    return [np.roll(right, 1, axis=0), np.roll(right, -1, axis=0)] if len(right) > 2 else []


@mistake("embedding-gradient-averaged", "The mean over an index's occurrences, not the sum.", "Embedding", "weight")
def _(site: Site) -> np.ndarray | None:
    if site.arguments.get("scale_grad_by_freq"):
        return None
    return different(site, "weight", site.right["weight"] / occurrences(site))


@mistake("embedding-frequency-ignored", "scale_grad_by_freq is set, and the sum not divided.", "Embedding", "weight")
def _(site: Site) -> np.ndarray | None:
    if not site.arguments.get("scale_grad_by_freq"):
        return None
    return different(site, "weight", site.right["weight"] * occurrences(site))


@mistake("embedding-index-shifted", "The row before or after is looked up: counting from 1.", "Embedding", "output")
def _(site: Site) -> list[np.ndarray]:
    weight = site.parameters["weight"]
    return [weight[(site.x + by) % len(weight)] for by in (-1, 1)] if len(weight) > 2 else []


# Positions: y_nt = x_nt + W_t

mistake("positions-gradient-averaged", "The mean over the batch instead of the sum.", "Positions", "weight")(
    scaled("weight", lambda s: 1 / s.n if s.n > 1 else None)
)


def placed(site: Site, gradients: np.ndarray) -> np.ndarray:
    """Return a gradient for the whole table, of gradients for its first rows."""
    wrong = np.zeros_like(site.right["weight"])
    wrong[: len(gradients)] = gradients
    return wrong


@mistake("positions-last-example", "The last example overwrites the sum over the batch.", "Positions", "weight")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.n < 2 else placed(site, site.dy[-1])


@mistake("positions-gradient-reversed", "The gradients run backwards through the sequence.", "Positions", "weight")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None or site.x.shape[1] < 2 else placed(site, site.dy.sum(axis=0)[::-1])


@mistake("positions-one-for-all", "One gradient, summed over the places too, for every place.", "Positions", "weight")
def _(site: Site) -> np.ndarray | None:
    if site.dy is None or site.x.shape[1] < 2:
        return None
    return placed(site, np.broadcast_to(site.dy.sum(axis=(0, 1)), site.x.shape[1:]))


@mistake("positions-forgotten", "Nothing is added.", "Positions", "output")
def _(site: Site) -> np.ndarray:
    return site.x


@mistake("positions-shifted", "Every place gets the row of the next or the one before.", "Positions", "output")
def _(site: Site) -> list[np.ndarray]:
    weight, places = site.parameters["weight"], site.x.shape[1]
    return [site.x + np.roll(weight, by, axis=0)[:places] for by in (-1, 1)] if len(weight) > 2 else []


# Residual: y = x + f(x)


@mistake("residual-skip-missing-forward", "f(x) alone: x is not added.", "Residual", "output")
def _(site: Site) -> np.ndarray:
    return site.right["output"] - site.x


@mistake("residual-skip-twice-forward", "x is added twice.", "Residual", "output")
def _(site: Site) -> np.ndarray:
    return site.right["output"] + site.x


@mistake("residual-skip-gradient-forgotten", "Only what comes through f goes back.", "Residual", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else site.right["input"] - site.dy


@mistake("residual-branch-gradient-forgotten", "Only what comes around f goes back.", "Residual", "input")
def _(site: Site) -> np.ndarray | None:
    return site.dy


@mistake("residual-skip-gradient-twice", "What comes around f is added twice.", "Residual", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else site.right["input"] + site.dy


@mistake("residual-gradients-subtracted", "What comes through f is subtracted.", "Residual", "input")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else 2 * site.dy - site.right["input"]
