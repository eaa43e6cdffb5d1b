"""The layer around attention: projections, heads, masks, and the way back through them."""

import math
from collections.abc import Mapping

import numpy as np

from manual import initializers
from manual.checks import Array, require_shape
from manual.scaled_dot_product import ScaledDotProductAttention, blocked_and_added


class MultiheadAttention:
    """Attention in h heads, each on its own d = E / h features of the projected queries, keys and values.

    Shapes: query (T, N, E), key (S, N, kdim), value (S, N, vdim). in_proj_weight (3 E, E) is W_q, W_k, W_v one above
    the other; they are weights of their own, q_proj_weight (E, E), k_proj_weight (E, kdim), v_proj_weight (E, vdim),
    where kdim or vdim is not E. Self-attention, forward(x) alone, has query = key = value = x.

        Q = query W_q^T + b_q,  K = key W_k^T + b_k,  V = value W_v^T + b_v            (154)
        O = the heads' outputs (147) side by side, head j in the columns j d to (j + 1) d            (155)
        Y = O W_o^T + b_o            (156)

    Derivation. (154) and (156) are linear layers, with all positions of all examples as rows; their weights act at
    every position, so (15), (16) and (18) hold as they stand:

        dW_o = dY^T O,  db_o = sum of the rows of dY,  dO = dY W_o            (157)
        dW_q = dQ^T query,  db_q = sum of the rows of dQ,  dquery = dQ W_q,  and likewise for key and value     (158)

    Cutting into heads (155) moves numbers without changing them; the gradients move back. In self-attention x acts in
    three places, so its gradient is the sum of the three, dX = dQ W_q + dK W_k + dV W_v: one product with the stacked
    weight, as the forward pass is one.            (159)

    `add_bias_kv` appends a learned key and a learned value to every sequence, the same for all examples: their
    gradients are the sums over the examples. `add_zero_attn` appends a key and a value of zeros: a way to attend to
    nothing.            (160)
    """

    whole_shape = True

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        is_causal: bool = False, rng: np.random.Generator | None = None,
    ):  # fmt: skip
        """Draw torch's initial weights: Xavier's for the projections, zero biases.

        `is_causal` is ours: every forward pass is causal (position t attends to positions s <= t), as a Network needs
        it, which hands on x alone.
        """
        if num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(f"embed_dim is {embed_dim}; wanted a multiple of num_heads = {num_heads}.")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}; wanted a probability from 0 to 1.")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, float(dropout)
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.bias, self.add_bias_kv, self.add_zero_attn = bias, add_bias_kv, add_zero_attn
        self.batch_first, self.is_causal = batch_first, is_causal
        self.rng = rng if rng is not None else np.random.default_rng()
        self.parameters: dict[str, Array] = {name: self.initial(name, shape) for name, shape in self.shapes().items()}
        self.gradients: dict[str, Array] = {}
        self.needs_input_gradient = True  # a Network turns it off where nobody would read it
        self.training = True
        self.drawn: dict[str, Array] = {}
        self.replayed: Mapping[str, Array] = {}
        self.heads = ScaledDotProductAttention()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the parameters' names and shapes, in torch's order."""
        E = self.embed_dim
        shapes: dict[str, tuple[int, ...]] = {"in_proj_weight": (3 * E, E)}
        if (self.kdim, self.vdim) != (E, E):
            shapes = {"q_proj_weight": (E, E), "k_proj_weight": (E, self.kdim), "v_proj_weight": (E, self.vdim)}
        if self.bias:
            shapes["in_proj_bias"] = (3 * E,)
        if self.add_bias_kv:
            shapes |= {"bias_k": (1, 1, E), "bias_v": (1, 1, E)}
        shapes["out_proj.weight"] = (E, E)
        if self.bias:
            shapes["out_proj.bias"] = (E,)
        return shapes

    def initial(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return a parameter as torch draws it."""
        if name in ("bias_k", "bias_v"):
            return initializers.xavier_normal(self.rng, shape)
        if len(shape) == 1:
            return np.zeros(shape)
        if name == "out_proj.weight":
            limit = 1 / math.sqrt(self.embed_dim)
            return initializers.uniform(self.rng, shape, -limit, limit)
        return initializers.xavier_uniform(self.rng, shape)

    def replay(self, drawn: Mapping[str, Array]) -> None:
        """Use this {"mask": (N, h, T, S) of bool, True is kept} instead of drawing; {} ends it."""
        self.replayed = drawn

    def forward(
        self, query: Array, key: Array | None = None, value: Array | None = None,
        key_padding_mask: Array | None = None, attn_mask: Array | None = None, is_causal: bool = False,
    ) -> Array:  # fmt: skip
        """Return Y, of the query's shape; the weights P that were used, averaged over the heads, are in `attention`.

        query (T, N, E), key (S, N, kdim), value (S, N, vdim); with batch_first N comes first; without N, (T, E) and so
        on, it is one example. key_padding_mask (N, S) or (S,), attn_mask (T, S) or (N h, T, S): of bool, True may not
        be attended to, or floating, added to the scores. is_causal: position t attends to positions s <= t.
        """
        self.enter(query, key, value)
        T, N, _ = self.sizes
        q, k, v = (self.cut(part) for part in self.project())  # (155)  (N, h, T or S, d)
        k, v = self.append(k, "bias_k"), self.append(v, "bias_v")  # (160)
        blocked, added = self.masks(key_padding_mask, attn_mask, is_causal or self.is_causal, k.shape[2])
        added = None if added is None else added.astype(q.dtype)
        keep = self.draw((N, self.num_heads, T, k.shape[2]))
        self.out = self.join(self.heads.forward(q, k, v, blocked, added, keep, self.dropout))  # (147), (155)
        y = self.out @ self.parameters["out_proj.weight"].T  # (156)  (T N, E) @ (E, E)
        if self.bias:
            y += self.parameters["out_proj.bias"]
        return y.reshape(self.given[0])

    def backward(self, grad_output: Array) -> Array | tuple[Array, ...] | None:
        """Fill `gradients`; return dC/dx in self-attention, else (dC/dquery, dC/dkey, dC/dvalue).

        None where `needs_input_gradient` is off.
        """
        require_shape(f"grad_output of {self.name()}", grad_output, self.given[0])
        dy = grad_output.reshape(-1, self.embed_dim)
        self.gradients["out_proj.weight"] = dy.T @ self.out  # (157)  (E, T N) @ (T N, E)
        if self.bias:
            self.gradients["out_proj.bias"] = dy.sum(axis=0)  # (157)
        dq, dk, dv = self.heads.backward(self.cut(dy @ self.parameters["out_proj.weight"]))  # (157), (148) to (152)
        if self.add_bias_kv:
            for name, d in (("bias_k", dk), ("bias_v", dv)):
                self.gradients[name] = d[:, :, self.sizes[2]].sum(axis=0).reshape(1, 1, self.embed_dim)  # (160)
        parts = [self.join(d) for d in (dq, dk[:, :, : self.sizes[2]], dv[:, :, : self.sizes[2]])]  # (155)
        parts = [np.concatenate(parts, axis=1)] if len(self.rows) == 1 else parts  # (159)  (T N, 3 E)
        self.keep_gradients([d.T @ rows for d, rows in zip(parts, self.rows, strict=True)], parts)  # (158)
        if not self.needs_input_gradient:
            return None
        grads = (d @ W for d, W in zip(parts, self.weights(), strict=True))  # (158), (159)
        inputs = tuple(grad.reshape(shape) for grad, shape in zip(grads, self.given, strict=True))
        return inputs[0] if len(inputs) == 1 else inputs

    # The projections: one for self-attention, of the stacked weight; three else.

    def weights(self) -> list[Array]:
        """Return the weight of every input: the stacked one in self-attention, W_q, W_k, W_v else."""
        if "in_proj_weight" not in self.parameters:
            return [self.parameters[f"{part}_proj_weight"] for part in "qkv"]
        stacked = self.parameters["in_proj_weight"]
        return [stacked] if len(self.rows) == 1 else np.split(stacked, 3)

    def project(self) -> list[Array]:
        """Return Q (T N, E), K and V (S N, E).            (154)"""
        parts = [rows @ W.T for rows, W in zip(self.rows, self.weights(), strict=True)]
        if self.bias:
            bias = self.parameters["in_proj_bias"]
            for part, b in zip(parts, [bias] if len(parts) == 1 else np.split(bias, 3), strict=True):
                part += b
        return np.split(parts[0], 3, axis=1) if len(parts) == 1 else parts

    def keep_gradients(self, weights: list[Array], parts: list[Array]) -> None:
        """Fill the gradients of the projections' weights, stacked as the parameters are, and of their biases.  (158)"""
        if "in_proj_weight" in self.parameters:
            self.gradients["in_proj_weight"] = np.concatenate(weights)
        else:
            self.gradients |= {f"{part}_proj_weight": weight for part, weight in zip("qkv", weights, strict=True)}
        if self.bias:
            self.gradients["in_proj_bias"] = np.concatenate([part.sum(axis=0) for part in parts])

    # The heads

    def cut(self, rows: Array) -> Array:
        """Return rows (positions times examples, E) as heads (N, h, positions, d).            (155)"""
        d, N = self.embed_dim // self.num_heads, self.sizes[1]
        if self.batch_first:
            return rows.reshape(N, -1, self.num_heads, d).transpose(0, 2, 1, 3)
        return rows.reshape(-1, N, self.num_heads, d).transpose(1, 2, 0, 3)

    def join(self, heads: Array) -> Array:
        """Return heads (N, h, positions, d) as rows (positions times examples, E).            (155)"""
        return heads.transpose((0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)).reshape(-1, self.embed_dim)

    def append(self, heads: Array, name: str) -> Array:
        """Return keys or values (N, h, S, d) with the learned one and the zero one appended, where asked for.  (160)"""
        N, h, _, d = heads.shape
        parts = [heads]
        if self.add_bias_kv:
            parts.append(np.broadcast_to(self.parameters[name].reshape(1, h, 1, d), (N, h, 1, d)))
        if self.add_zero_attn:
            parts.append(np.zeros_like(heads, shape=(N, h, 1, d)))
        return np.concatenate(parts, axis=2) if len(parts) > 1 else heads

    # What may not be attended to

    def masks(
        self, key_padding_mask: Array | None, attn_mask: Array | None, is_causal: bool, width: int
    ) -> tuple[Array | None, Array | None]:
        """Return what is blocked and what is added to the scores, both extending to (N, h, T, width), or None.

        Appended positions (160), S to width - 1, are open to all.
        """
        T, N, S = self.sizes
        masks = []
        if key_padding_mask is not None:
            require_shape("key_padding_mask", key_padding_mask, (N, S) if self.batched else (S,))
            masks.append(key_padding_mask.reshape(N, 1, 1, S))
        if attn_mask is not None:
            require_shape("attn_mask", attn_mask, (T, S) if attn_mask.ndim == 2 else (N * self.num_heads, T, S))
            masks.append(attn_mask if attn_mask.ndim == 2 else attn_mask.reshape(N, self.num_heads, T, S))
        if is_causal:
            masks.append(np.arange(S) > np.arange(T)[:, None])
        return blocked_and_added([np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, width - S)]) for mask in masks])

    def draw(self, shape: tuple[int, ...]) -> Array | None:
        """Return which elements of P the dropout keeps, of `shape` (N, h, T, S); None where there is none.    (153)"""
        self.drawn = {}
        if not (self.training and self.dropout):
            return None
        mask = self.replayed["mask"] if "mask" in self.replayed else self.rng.random(shape) >= self.dropout
        require_shape(f"mask of {self.name()}", mask, shape)
        self.drawn["mask"] = mask
        return mask

    @property
    def attention(self) -> Array:
        """The weights P of the last forward pass, averaged over the heads: (N, T, S), or (T, S) for one example."""
        average = self.heads.used.mean(axis=1)
        return average if self.batched else average[0]

    # The entry

    def name(self) -> str:
        """Return what messages call the layer."""
        return f"MultiheadAttention({self.embed_dim}, {self.num_heads})"

    def enter(self, query: Array, key: Array | None, value: Array | None) -> None:
        """Keep the inputs as rows, their shapes, and the sizes (T, N, S); raise ValueError where they do not fit."""
        if (key is None) != (value is None):
            raise ValueError(f"{self.name()} got a key or a value alone; wanted both, or the query alone.")
        given = [("query", query, self.embed_dim)]
        if key is not None and value is not None:
            given += [("key", key, self.kdim), ("value", value, self.vdim)]
        elif (self.kdim, self.vdim) != (self.embed_dim, self.embed_dim):
            raise ValueError(f"{self.name()} has kdim={self.kdim}, vdim={self.vdim}; wanted a key and a value as well.")
        self.batched = query.ndim == 3
        N = query.shape[0 if self.batch_first else 1] if self.batched else 1
        for tensor, array, features in given:
            if array.ndim != query.ndim or array.ndim not in (2, 3) or array.shape[-1] != features or 0 in array.shape:
                layout = ("N, T" if self.batch_first else "T, N") if tensor == "query" or self.batched else "T"
                raise ValueError(
                    f"{self.name()} got a {tensor} of shape {array.shape}; wanted ({layout}, {features}), "
                    f"or (T, {features}) for one example if all inputs are."
                )
        T, S = (array.size // (features * N) for _, array, features in (given[0], given[-1]))
        self.sizes = T, N, S
        for tensor, array, features in given[1:]:
            pair = (N, S) if self.batch_first else (S, N)
            require_shape(f"{tensor} of {self.name()}", array, (*(pair if self.batched else (S,)), features))
        self.rows = [array.reshape(-1, features) for _, array, features in given]
        self.given = [array.shape for _, array, _ in given]

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return the shape of one example's output, given that of its input (None: not known)."""
        if input_shape is None:
            return None
        if len(input_shape) not in (1, 2) or input_shape[-1] != self.embed_dim:
            raise ValueError(f"wants sequences with {self.embed_dim} inputs a position")
        return input_shape

    def __repr__(self) -> str:
        options = {
            "dropout": (self.dropout, 0.0), "bias": (self.bias, True), "add_bias_kv": (self.add_bias_kv, False),
            "add_zero_attn": (self.add_zero_attn, False), "kdim": (self.kdim, self.embed_dim),
            "vdim": (self.vdim, self.embed_dim), "batch_first": (self.batch_first, False),
            "is_causal": (self.is_causal, False),
        }  # fmt: skip
        shown = [f", {key}={value!r}" for key, (value, default) in options.items() if value != default]
        return f"MultiheadAttention({self.embed_dim}, {self.num_heads}{''.join(shown)})"
