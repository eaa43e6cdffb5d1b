"""A normalising layer's tensors seen as sets of numbers, for the mistakes that are made with them."""

from dataclasses import dataclass

import numpy as np

from compare.diagnosis.site import Site

BATCH = ("BatchNorm1d", "BatchNorm2d")


@dataclass(frozen=True)
class Sets:
    """A normalising layer's tensors, seen so that the sets of numbers run along `axes`."""

    x: np.ndarray
    g: np.ndarray  # the gradient from above; zeros in a forward pass
    gamma: np.ndarray | float  # shaped to stand beside x
    beta: np.ndarray | float
    axes: tuple[int, ...]
    eps: float
    rms: bool = False  # no mean is taken off

    @property
    def m(self) -> int:
        """M, the numbers of a set."""
        return int(np.prod([self.x.shape[axis] for axis in self.axes]))

    def mean(self, tensor: np.ndarray) -> np.ndarray:
        """Return the mean of every set."""
        return tensor.mean(axis=self.axes, keepdims=True)

    @property
    def centred(self) -> np.ndarray:
        """X - mean; X itself for RMSNorm."""
        return self.x if self.rms else self.x - self.mean(self.x)

    @property
    def variance(self) -> np.ndarray:
        """The variance of every set, divided by M; the mean square for RMSNorm."""
        return self.mean(self.centred**2)

    @property
    def r(self) -> np.ndarray:
        """1 / sqrt(variance + eps)."""
        return 1 / np.sqrt(self.variance + self.eps)

    @property
    def x_hat(self) -> np.ndarray:
        """X standardised."""
        return self.centred * self.r

    @property
    def h(self) -> np.ndarray:
        """The gradient for x_hat."""
        return self.g * self.gamma

    def along(self, h: np.ndarray) -> np.ndarray:
        """Return x_hat mean(h x_hat): what the road through the variance takes off."""
        return self.x_hat * self.mean(h * self.x_hat)

    def remainder(self, h: np.ndarray) -> np.ndarray:
        """Return what all roads leave of h, before the factor r."""
        return h - self.along(h) if self.rms else h - self.mean(h) - self.along(h)

    def affine(self, x_hat: np.ndarray) -> np.ndarray:
        """Return gamma x_hat + beta."""
        return self.gamma * x_hat + self.beta


def eps_of(site: Site) -> float:
    """Return the layer's eps."""
    default = None if site.kind == "RMSNorm" else 1e-5
    eps = site.arguments.get("eps", default)
    return float(np.finfo(site.x.dtype).eps) if eps is None else float(eps)


def view(site: Site) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the shape in which x is seen, the axes of a set in it, and the shape of gamma and beta beside it."""
    shape = site.x.shape
    match site.kind:
        case "GroupNorm":
            groups = site.arguments["num_groups"]
            k = shape[1] // groups
            return (shape[0], groups, k, int(np.prod(shape[2:]))), (2, 3), (groups, k, 1)
        case "LayerNorm" | "RMSNorm":
            normalized = site.arguments["normalized_shape"]
            m = int(np.prod(normalized))
            return (site.x.size // m, m), (1,), (m,)
        case _:
            return (*shape[:2], int(np.prod(shape[2:]))), (0, 2), (shape[1], 1)


def sets(site: Site) -> Sets | None:
    """Return the site's tensors as sets; None where running statistics stand in the place of a set's own."""
    if site.kind in BATCH and not site.training and site.buffers:
        return None
    shape, axes, beside = view(site)
    gamma, beta = (
        site.parameters[key].reshape(beside) if key in site.parameters else plain
        for key, plain in (("weight", 1.0), ("bias", 0.0))
    )
    g = np.zeros_like(site.x) if site.dy is None else site.dy
    return Sets(site.x.reshape(shape), g.reshape(shape), gamma, beta, axes, eps_of(site), rms=site.kind == "RMSNorm")


def summed(terms: np.ndarray, site: Site) -> np.ndarray:
    """Return terms of x's size, summed to the shape of the weight: over all axes along which the weight is the same."""
    beside = view(site)[2]
    lead = terms.ndim - len(beside)
    axes = (*range(lead), *(lead + i for i, n in enumerate(beside) if n == 1 and terms.shape[lead + i] != 1))
    return terms.sum(axis=axes).reshape(site.parameters["weight"].shape)
