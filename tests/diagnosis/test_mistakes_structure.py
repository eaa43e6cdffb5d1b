"""The mistakes of flattening, dropout, embedding, positions and residuals: each is one, and no two are the same."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import manual
from compare.diagnosis.mistakes import CATALOGUE, structure  # noqa: F401 - importing the room declares its mistakes
from compare.diagnosis.site import Neighbour, Site

Array = np.ndarray[Any, Any]

GROUNDS: dict[str, tuple[str, dict[str, Any], tuple[int, ...], int]] = {  # and the indices below a number
    "Flatten": ("Flatten", {}, (7, 2, 3, 4), 0),
    "Flatten of two axes": ("Flatten", {"start_dim": 2}, (7, 2, 3, 4), 0),
    "Dropout": ("Dropout", {"p": 0.3}, (7, 5), 0),
    "Dropout images": ("Dropout", {"p": 0.6}, (3, 2, 3, 4), 0),
    "Embedding": ("Embedding", {"num_embeddings": 6, "embedding_dim": 4, "padding_idx": 2}, (7, 5), 6),
    "Embedding: mean": ("Embedding", {"num_embeddings": 6, "embedding_dim": 4, "scale_grad_by_freq": True}, (7, 5), 6),
    "Embedding, both": (
        "Embedding", {"num_embeddings": 5, "embedding_dim": 3, "padding_idx": -1, "scale_grad_by_freq": True}, (7, 5), 5
    ),
    "Positions": ("Positions", {"length": 6, "features": 4}, (7, 5, 4), 0),
    "Residual": ("Residual", {"layers": [{"kind": "Linear"}]}, (7, 4), 0),
}  # fmt: skip
KINDS = {kind for kind, *_ in GROUNDS.values()}
PARTICULAR = {name for name, mistake in CATALOGUE.items() if set(mistake.on) <= KINDS}


def site_of(ground: str, dtype: Any = np.float64) -> Site:
    kind, arguments, shape, indices = GROUNDS[ground]
    rng = np.random.default_rng(1)
    x = rng.integers(0, indices, shape) if indices else rng.normal(size=shape).astype(dtype)
    if kind == "Residual":
        layer: Any = manual.Residual([manual.Linear(4, 5, rng=rng), manual.Tanh(), manual.Linear(5, 4, rng=rng)])
    else:
        layer = getattr(manual, kind)(**arguments)
    for key, value in dict(getattr(layer, "parameters", {})).items():
        layer.parameters[key] = value.astype(dtype)
    output = layer.forward(x)
    dy = rng.normal(size=output.shape).astype(dtype)
    gradient = layer.backward(dy)
    right = {"output": output} | ({} if gradient is None else {"input": gradient})
    right |= dict(getattr(layer, "gradients", {}))
    parameters, drawn = dict(getattr(layer, "parameters", {})), dict(getattr(layer, "drawn", {}))
    return Site("here", kind, x, right, y=output, dy=dy, arguments=arguments, parameters=parameters, drawn=drawn)


def made_at(site: Site) -> dict[str, dict[str, Array]]:
    """Return every way of every mistake at the site, by the tensor it spoils and its name."""
    made: dict[str, dict[str, Array]] = {key: {} for key in site.right}
    for name in PARTICULAR:
        mistake = CATALOGUE[name]
        made.setdefault(mistake.key, {}).update({f"{name} {i}": way for i, way in enumerate(mistake.ways(site))})
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("ground", GROUNDS)
def test_each_differs_from_the_right_tensor_and_from_every_other(ground: str, dtype: Any) -> None:
    site = site_of(ground, dtype)
    for key, ways in made_at(site).items():
        if not ways:
            continue
        right = site.right[key]
        far = 1e4 * np.finfo(dtype).eps * np.abs(right).max()
        for name, way in ways.items():
            assert way.shape == right.shape, name
            assert way.dtype == dtype, name
            assert np.abs(way - right).max() > far, name
        for (one, a), (other, b) in combinations(ways.items(), 2):
            assert np.abs(a - b).max() > far, (one, other)


def test_every_mistake_of_the_room_can_be_made_somewhere() -> None:
    made = {name.split()[0] for ground in GROUNDS for ways in made_at(site_of(ground)).values() for name in ways}
    assert len(PARTICULAR) >= 30
    assert made == PARTICULAR


def test_what_makes_no_difference_is_not_made() -> None:
    single = Site("here", "Flatten", np.ones((4, 5)), {"output": np.ones((4, 5))})
    assert CATALOGUE["flatten-column-major-forward"].ways(single) == []
    evaluation = replace(site_of("Dropout"), training=False)
    once = replace(site_of("Embedding"), x=np.array([[0, 1, 3]]), dy=np.ones((1, 3, 4)))
    once = replace(once, right={"weight": np.repeat([[1.0], [1], [0], [1], [0], [0]], 4, axis=1)})
    for site, start in ((evaluation, "dropout"), (once, "embedding-repeated"), (once, "embedding-gradient-averaged")):
        for name in PARTICULAR:
            if name.startswith(start):
                assert CATALOGUE[name].ways(site) == [], name
    assert CATALOGUE["embedding-padding-trained"].ways(once) == []  # the padding row does not occur


def test_a_fresh_mask_is_read_off() -> None:
    site = site_of("Dropout")
    assert site.dy is not None
    fresh = np.random.default_rng(2).random(site.dy.shape) >= 0.3
    (way,) = CATALOGUE["dropout-fresh-mask"].ways(replace(site, found=site.dy * fresh / 0.7))
    np.testing.assert_allclose(way, site.dy * fresh / 0.7, rtol=1e-15)
    assert CATALOGUE["dropout-fresh-mask"].ways(replace(site, found=site.right["input"])) == []


def test_by_hand() -> None:
    table, t = np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]]), np.array([[1, 3], [1, 0]])
    dy = np.array([[[1.0, 10], [2, 20]], [[4, 40], [8, 80]]])
    right = {"output": table[t], "weight": np.array([[0.0, 0], [5, 50], [0, 0], [2, 20]])}
    site = Site("here", "Embedding", t, right, dy=dy, arguments={"padding_idx": 0}, parameters={"weight": table})
    for name, expected in {
        "embedding-repeated-index-overwritten": [[[0, 0], [4, 40], [0, 0], [2, 20]]],
        "embedding-padding-trained": [[[8, 80], [5, 50], [0, 0], [2, 20]]],
        "embedding-gradient-averaged": [[[0, 0], [2.5, 25], [0, 0], [2, 20]]],
        "embedding-gradient-shifted": [[[2, 20], [0, 0], [5, 50], [0, 0]], [[5, 50], [0, 0], [2, 20], [0, 0]]],
        "embedding-index-shifted": [
            [[[1, 2], [5, 6]], [[1, 2], [7, 8]]], [[[5, 6], [1, 2]], [[5, 6], [3, 4]]],
        ],
    }.items():  # fmt: skip
        np.testing.assert_array_equal(CATALOGUE[name].ways(site), expected, err_msg=name)
    x = np.arange(12.0).reshape(2, 1, 2, 3)  # two images of 2 x 3
    flat = Site("here", "Flatten", x, {"output": x.reshape(2, 6), "input": x}, dy=x.reshape(2, 6))
    (way,) = CATALOGUE["flatten-column-major-forward"].ways(flat)
    np.testing.assert_array_equal(way, [[0, 3, 1, 4, 2, 5], [6, 9, 7, 10, 8, 11]])
    (way,) = CATALOGUE["flatten-column-major-backward"].ways(flat)
    np.testing.assert_array_equal(way[0, 0], [[0, 2, 4], [1, 3, 5]])
    (way,) = CATALOGUE["flatten-batch-mixed-forward"].ways(flat)
    np.testing.assert_array_equal(way, [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]])
    mask = np.array([[True, False]])
    dropped = Site("here", "Dropout", np.array([[3.0, 6]]), {"output": np.array([[4.0, 0]])}, arguments={"p": 0.25})
    dropped = replace(dropped, drawn={"mask": mask})
    for name, expected in {
        "dropout-scale-missing-forward": [[3, 0]], "dropout-divided-by-p": [[12, 0]], "dropout-mask-inverted": [[0, 8]],
        "dropout-forgotten-forward": [[3, 6]],
    }.items():  # fmt: skip
        np.testing.assert_array_equal(CATALOGUE[name].ways(dropped)[0], expected, err_msg=name)


def test_the_mistakes_of_a_linear_layer_are_made_on_sequences_as_on_their_rows() -> None:
    """Where examples do not matter, a sequence is so many rows; a batch of one-element sequences is a plain batch."""
    rng = np.random.default_rng(3)
    x, dy, earlier = rng.normal(size=(7, 1, 4)), rng.normal(size=(7, 1, 5)), rng.normal(size=(7, 1, 4))
    layer = manual.Linear(4, 5, rng=rng)

    def site(x: Array, dy: Array, earlier: Array, before: Site | None = None) -> Site:
        output = layer.forward(x)
        right = {"output": output, "input": layer.backward(dy), **layer.gradients}
        neighbours = {"other": Neighbour("Linear", earlier, output)}
        return Site(
            "here", "Linear", x, right, y=output, dy=dy, parameters=layer.parameters, lr=0.1, previous=before,
            preceding=(earlier, x), neighbours=neighbours,
        )  # fmt: skip

    plain = site(x[:, 0], dy[:, 0], earlier[:, 0], site(earlier[:, 0], dy[:, 0], x[:, 0]))
    sequences = site(x, dy, earlier, site(earlier, dy, x))
    made = 0
    for name, mistake in CATALOGUE.items():
        if "Linear" in mistake.on and not mistake.fitted and not mistake.precision:
            for way, wanted in zip(mistake.ways(sequences), mistake.ways(plain), strict=True):
                np.testing.assert_allclose(way.ravel(), wanted.ravel(), rtol=1e-12, atol=1e-14, err_msg=name)
                made += 1
    assert made > 30
