"""Embedding: every integer has a row of a table of its own, and the table is learned."""

import math

import numpy as np

from manual import initializers
from manual.checks import Array


class Embedding:
    """y_n = W_t(n): for every index t(n), its row of the table.            (61)

    Shapes: t of any shape (*), integers from 0 to num_embeddings - 1; W (num_embeddings, embedding_dim);
    y (*, embedding_dim).

    Derivation. The row W_v takes part in y_n of every position n that holds v, with the factor 1:
    dC/dW_v = sum over n with t(n) = v of dC/dy_n.            (62)
    A repeated index adds; it does not overwrite. An index that does not occur gets 0. There is no gradient for t:
    integers cannot move a little.

    Options, as in torch. padding_idx: this row begins as zeros and gets no gradient. scale_grad_by_freq: every sum of
    (62) is divided by the number of its terms, a mean.            (63)
    max_norm: before it is looked up, a row whose norm, (sum of |w|^norm_type)^(1/norm_type), is above max_norm is
    shortened to it, W_v <- W_v max_norm / (norm + 1e-7). That changes the table itself, in place, and is no part of
    what is differentiated: the gradient is that for the shortened row.            (64)
    """

    takes_indices = True
    whole_shape = True

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        rng: np.random.Generator | None = None,
    ):
        """Draw the table as torch does, normal of mean 0 and deviation 1, from `rng` (fresh entropy if None)."""
        if sparse:
            raise ValueError("sparse=True is not derived here: gradients are whole arrays. Leave it out.")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx is {padding_idx}; wanted one of the {num_embeddings} rows.")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx % num_embeddings if padding_idx is not None else None
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, float(norm_type), scale_grad_by_freq
        rng = rng if rng is not None else np.random.default_rng()
        self.parameters: dict[str, Array] = {"weight": initializers.normal(rng, (num_embeddings, embedding_dim))}
        if self.padding_idx is not None:
            self.parameters["weight"][self.padding_idx] = 0
        self.gradients: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return y (*, embedding_dim) for the indices x (*)."""
        self.require_indices(x)
        self.indices = x
        if self.max_norm is not None:
            self.shorten(np.unique(x), self.max_norm)
        return np.take(self.parameters["weight"], x, axis=0)  # (61)

    def backward(self, grad_output: Array) -> None:
        """Fill `gradients`. There is no gradient for the indices: returns None."""
        indices, shape = self.indices.reshape(-1), (self.num_embeddings, self.embedding_dim)
        # The table laid out in one line, and the places there of its rows: NumPy adds to single elements fast.
        line = np.zeros_like(grad_output, shape=(math.prod(shape),))
        places = np.take(np.arange(line.size).reshape(shape), indices, axis=0)
        np.add.at(line, places.reshape(-1), grad_output.reshape(-1))  # (62)
        gradient = line.reshape(shape)
        if self.scale_grad_by_freq:
            counts = np.maximum(np.bincount(indices, minlength=self.num_embeddings), 1)
            gradient = gradient / counts.astype(gradient.dtype)[:, None]  # (63)
        if self.padding_idx is not None:
            gradient[self.padding_idx] = 0
        self.gradients["weight"] = gradient

    def shorten(self, rows: Array, longest: float) -> None:
        """Shorten those of the table's `rows` that are longer than `longest`, in place.            (64)"""
        weight, p = self.parameters["weight"], self.norm_type
        size = np.abs(np.real(weight[rows]))
        norm = size.max(axis=1) if math.isinf(p) else ((size**p).sum(axis=1)) ** (1 / p)
        long = np.real(norm) > longest
        if long.any():
            weight[rows[long]] = weight[rows[long]] * (longest / (norm[long] + 1e-7))[:, None]

    def require_indices(self, x: Array) -> None:
        """Raise TypeError unless x holds integers, ValueError unless every one is a row of the table."""
        if x.dtype.kind not in "iu":
            raise TypeError(f"{self!r} got an input of dtype {x.dtype}; wanted integers. Convert it: x.astype(int).")
        if x.size and not 0 <= x.min() <= x.max() < self.num_embeddings:
            wrong = x.min() if x.min() < 0 else x.max()
            raise ValueError(
                f"{self!r} got the index {wrong}; wanted indices from 0 to {self.num_embeddings - 1}, its rows."
            )

    def output_shape(self, input_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return the shape of one example's output, given that of its indices (None: not known)."""
        return None if input_shape is None else (*input_shape, self.embedding_dim)

    def __repr__(self) -> str:
        options = {
            "padding_idx": self.padding_idx, "max_norm": self.max_norm,
            "norm_type": self.norm_type if self.norm_type != 2 else None,
            "scale_grad_by_freq": self.scale_grad_by_freq or None,
        }  # fmt: skip
        given = "".join(f", {key}={value}" for key, value in options.items() if value is not None)
        return f"Embedding({self.num_embeddings}, {self.embedding_dim}{given})"
