"""Mistakes in attention: the scale, the mask, the softmax's row term, heads that are mixed, what is not transposed.

The layer of the site is run again with one slip in it.
"""

import math
from typing import Any

import numpy as np

from compare.diagnosis.mistakes.catalogue import mistake
from compare.diagnosis.site import Site
from manual.attention import MultiheadAttention
from manual.scaled_dot_product import ScaledDotProductAttention

ON = "MultiheadAttention"
FIRST = "in_proj_weight"  # the first tensor that a slip in the backward pass spoils


class Slipped(ScaledDotProductAttention):
    """Scaled dot-product attention with one slip, named by `slip`, in its forward or its backward pass."""

    slip = ""

    def forward(self, q: Any, k: Any, v: Any, blocked: Any = None, added: Any = None, keep: Any = None, p: Any = 0.0):
        """Return O."""
        right = super().forward(q, k, v, blocked, added, keep, p)
        if self.slip == "over queries":
            scores = q @ k.swapaxes(-1, -2) * self.scale
            e = np.exp(scores - scores.max(axis=-2, keepdims=True)) * (1 if blocked is None else ~blocked)
            weights = e / e.sum(axis=-2, keepdims=True)
        elif self.slip == "masked afterwards" and blocked is not None:
            weights = np.where(
                blocked, 0, ScaledDotProductAttention().forward(q, k, np.eye(k.shape[-2], dtype=k.dtype))
            )
        else:
            return right
        return (weights if keep is None else np.where(keep, weights, 0) * self.rest) @ v

    def backward(self, grad_output: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return dQ, dK, dV."""
        dp = grad_output @ self.v.swapaxes(-1, -2)
        if self.keep is not None:
            dp = np.where(self.keep, dp, 0) * self.rest
        row = (self.p * dp).sum(axis=-2 if self.slip == "row term over queries" else -1, keepdims=True)
        ds = self.p * (dp - (0 if self.slip == "no row term" else row))
        ds = ds if self.slip != "no softmax" else dp
        dq, dk = ds @ self.k * self.scale, ds.swapaxes(-1, -2) @ self.q * self.scale
        dv = self.used.swapaxes(-1, -2) @ grad_output
        match self.slip:
            case "query unscaled":
                dq = dq / self.scale
            case "key unscaled":
                dk = dk / self.scale
            case "key not transposed":
                dk = ds @ self.q * self.scale
            case "value not transposed":
                dv = self.used @ grad_output
        return dq, dk, dv


class MixedHeads(MultiheadAttention):
    """The rows are reshaped into heads at once, instead of cut and transposed."""

    def cut(self, rows: np.ndarray) -> np.ndarray:
        """Return rows as (N, h, positions, d), mixed up."""
        return rows.reshape(self.sizes[1], self.num_heads, -1, self.embed_dim // self.num_heads)


class UnjoinedHeads(MultiheadAttention):
    """The heads are reshaped into rows at once, instead of transposed and joined."""

    def join(self, heads: np.ndarray) -> np.ndarray:
        """Return (N, h, positions, d) as rows, mixed up."""
        return np.ascontiguousarray(heads).reshape(-1, self.embed_dim)


def layer_of(site: Site, slip: str = "", kind: type[MultiheadAttention] = MultiheadAttention) -> MultiheadAttention:
    """Return the site's layer, with a slip."""
    layer = kind(**site.arguments)
    layer.parameters = dict(site.parameters)
    layer.training = site.training
    layer.replay(site.drawn)
    layer.heads = Slipped()
    layer.heads.slip = slip
    return layer


def different(wrong: np.ndarray, site: Site, key: str) -> np.ndarray | None:
    """Return the wrong tensor; None where it is the right one but for rounding (heads of one are never mixed)."""
    right = site.right[key]
    return None if np.abs(wrong - right).max() <= 200 * np.finfo(right.dtype).eps * np.abs(right).max() else wrong


def output_of(site: Site, slip: str = "", kind: type[MultiheadAttention] = MultiheadAttention) -> np.ndarray | None:
    """Return what comes out with a slip in the forward pass."""
    return different(layer_of(site, slip, kind).forward(site.x), site, "output")


def square(site: Site) -> bool:
    """Whether there are as many keys as queries, so that a forgotten transposition goes unnoticed by shapes."""
    return not (site.arguments.get("add_bias_kv") or site.arguments.get("add_zero_attn"))


# Forward


def with_scale(site: Site, scale: float) -> np.ndarray | None:
    """Return the output with `scale` in the place of 1/sqrt(d): the queries' projection takes the factor in."""
    E, d = site.arguments["embed_dim"], site.arguments["embed_dim"] // site.arguments["num_heads"]
    layer = layer_of(site)
    for key in ("in_proj_weight", "in_proj_bias"):
        if key in layer.parameters:
            scaled = layer.parameters[key].copy()
            scaled[:E] *= scale * math.sqrt(d)
            layer.parameters[key] = scaled
    return different(layer.forward(site.x), site, "output")


@mistake("attention-scale-missing", "The scores are not divided by sqrt(d).", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return with_scale(site, 1.0)


@mistake("attention-scaled-by-d", "The scores are divided by d instead of sqrt(d).", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return with_scale(site, site.arguments["num_heads"] / site.arguments["embed_dim"])


@mistake(
    "attention-scaled-by-embed-dim", "The scores are divided by sqrt(E) instead of a head's sqrt(d).", ON, "output"
)
def _(site: Site) -> np.ndarray | None:
    E, d = site.arguments["embed_dim"], site.arguments["embed_dim"] // site.arguments["num_heads"]
    return None if d * d == E else with_scale(site, E**-0.5)  # where sqrt(E) = d it is another mistake


@mistake("attention-causal-mask-missing", "The causal mask is left out: every position sees the future.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return with_mask(site, None)


@mistake(
    "attention-causal-mask-shifted", "The causal mask is shifted: one position of the future is seen.", ON, "output"
)
def _(site: Site) -> np.ndarray | None:
    return with_mask(site, 1) if positions(site) > 2 else None


@mistake("attention-causal-mask-transposed", "The causal mask is transposed: the past is hidden.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return with_mask(site, -1)


def positions(site: Site) -> int:
    """Return T, the number of positions."""
    return site.x.shape[1 if site.x.ndim == 3 and site.arguments.get("batch_first") else 0]


def with_mask(site: Site, future: int | None) -> np.ndarray | None:
    """Return the output of a causal layer that sees so many positions of the future (None: all; -1: nothing else)."""
    if not site.arguments.get("is_causal"):
        return None
    layer, steps = layer_of(site), np.arange(positions(site))
    layer.is_causal = False
    mask = None if future is None else steps > steps[:, None] + future if future >= 0 else steps < steps[:, None]
    return different(layer.forward(site.x, attn_mask=mask), site, "output")


@mistake("attention-masked-after-softmax", "Weights are zeroed after the softmax: rows do not sum to 1.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return output_of(site, "masked afterwards")


@mistake("attention-softmax-over-queries", "The softmax goes over the queries instead of the keys.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return output_of(site, "over queries")


@mistake("attention-heads-mixed", "Reshaped to heads at once, without a transposition: heads are mixed.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return output_of(site, kind=MixedHeads)


@mistake("attention-heads-not-joined", "The heads are joined by reshaping, without a transposition.", ON, "output")
def _(site: Site) -> np.ndarray | None:
    return output_of(site, kind=UnjoinedHeads)


# Backward


def backward_slip(name: str, about: str, slip: str, needs_square: bool = False) -> None:
    """Declare the mistake of a slip in the backward pass of the heads."""

    @mistake(name, about, ON, FIRST)
    def _(site: Site) -> np.ndarray | None:
        if site.dy is None or (needs_square and not square(site)):
            return None
        layer = layer_of(site, slip)
        layer.forward(site.x)
        layer.backward(site.dy)
        return different(layer.gradients[FIRST], site, FIRST)


backward_slip("attention-softmax-row-term-missing", "dS = P dP: the sum over the row is left out.", "no row term")
backward_slip("attention-softmax-row-term-over-queries", "The row term is summed over the queries instead of the keys.",
              "row term over queries")  # fmt: skip
backward_slip("attention-softmax-left-out-backward", "dS = dP: the softmax is left out on the way back.", "no softmax")
backward_slip("attention-scale-missing-in-query-gradient", "dQ lacks the factor 1/sqrt(d).", "query unscaled")
backward_slip("attention-scale-missing-in-key-gradient", "dK lacks the factor 1/sqrt(d).", "key unscaled")
backward_slip(
    "attention-key-gradient-not-transposed", "dK = dS Q instead of dS^T Q: as many keys as queries let it pass.",
    "key not transposed", needs_square=True,
)  # fmt: skip
backward_slip(
    "attention-value-gradient-not-transposed", "dV = P dO instead of P^T dO: as many keys as queries let it pass.",
    "value not transposed", needs_square=True,
)  # fmt: skip


@mistake("attention-output-weight-transposed-backward", "dO = dY W_o^T instead of dY W_o.", ON, FIRST)
def _(site: Site) -> np.ndarray | None:
    if site.dy is None:
        return None
    layer = layer_of(site)
    layer.forward(site.x)
    layer.parameters["out_proj.weight"] = layer.parameters["out_proj.weight"].T
    layer.backward(site.dy)
    return different(layer.gradients[FIRST], site, FIRST)


@mistake("attention-output-weight-gradient-transposed", "dW_o = O^T dY instead of dY^T O.", ON, "out_proj.weight")
def _(site: Site) -> np.ndarray | None:
    return None if site.dy is None else site.right["out_proj.weight"].T.copy()


def input_gradient_of(site: Site, parts: str) -> np.ndarray | None:
    """Return the input's gradient through some of the three projections alone, named by the letters q, k, v."""
    if site.dy is None:
        return None
    layer = layer_of(site)
    layer.forward(site.x)
    stacked, E = layer.parameters[FIRST].copy(), site.arguments["embed_dim"]
    for place, letter in enumerate("qkv"):
        if letter not in parts:
            stacked[place * E : (place + 1) * E] = 0
    layer.parameters[FIRST] = stacked
    found: Any = layer.backward(site.dy)
    return different(found, site, "input")


@mistake("attention-input-through-values-alone", "The input's gradient comes through the values alone.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    return input_gradient_of(site, "v")


@mistake("attention-input-through-queries-alone", "The input's gradient comes through the queries alone.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    return input_gradient_of(site, "q")


@mistake("attention-input-not-through-keys", "The keys' part of the input's gradient is left out.", ON, "input")
def _(site: Site) -> np.ndarray | None:
    return input_gradient_of(site, "qv")
