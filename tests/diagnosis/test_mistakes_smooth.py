"""The mistakes of the smooth activations and of softmax: each is one, and no two are the same."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import manual
from compare.diagnosis.mistakes import CATALOGUE, smooth  # noqa: F401 - importing the room declares its mistakes
from compare.diagnosis.site import Neighbour, Site

GROUNDS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "LeakyReLU": ("LeakyReLU", {"negative_slope": 0.2}, (7, 5)),
    "LeakyReLU images": ("LeakyReLU", {}, (4, 3, 2, 5)),
    "ELU": ("ELU", {"alpha": 1.5}, (7, 5)),
    "ELU images": ("ELU", {"alpha": 0.6}, (4, 3, 2, 5)),
    "GELU": ("GELU", {}, (7, 5)),
    "GELU tanh": ("GELU", {"approximate": "tanh"}, (4, 3, 5)),
    "SiLU": ("SiLU", {}, (7, 5)),
    "Softplus": ("Softplus", {"beta": 1.7}, (7, 5)),
    "Softplus with a threshold": ("Softplus", {"beta": 0.6, "threshold": 1.0}, (4, 3, 5)),
    "Softmax": ("Softmax", {"dim": 1}, (7, 5)),
    "Softmax of sequences": ("Softmax", {"dim": -1}, (4, 3, 5)),
}
KINDS = {kind for kind, *_ in GROUNDS.values()}
PARTICULAR = {name for name, mistake in CATALOGUE.items() if set(mistake.on) <= KINDS}


def site_of(ground: str, dtype: Any = np.float64) -> Site:
    kind, arguments, shape = GROUNDS[ground]
    rng = np.random.default_rng(1)
    x, other, earlier, dy = (rng.normal(size=shape).astype(dtype) for _ in range(4))
    layer = getattr(manual, kind)(**arguments)
    neighbours = {"other": Neighbour(kind, other, layer.forward(other))}
    previous = Site("here", kind, earlier, {}, dy=dy, arguments=arguments)
    output = layer.forward(x)
    right = {"output": output, "input": layer.backward(dy)}
    return Site("here", kind, x, right, y=output, dy=dy, arguments=arguments, neighbours=neighbours, previous=previous)


def made_at(site: Site) -> dict[str, dict[str, np.ndarray]]:
    """Return every way of every mistake at the site, by the tensor it spoils and its name."""
    made: dict[str, dict[str, np.ndarray]] = {"output": {}, "input": {}}
    for name, mistake in CATALOGUE.items():
        if mistake.key in made and not mistake.fitted and not mistake.precision:
            made[mistake.key] |= {f"{name} {i}": way for i, way in enumerate(mistake.ways(site))}
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("ground", GROUNDS)
def test_each_differs_from_the_right_tensor_and_from_every_other(ground: str, dtype: Any) -> None:
    site = site_of(ground, dtype)
    for key, ways in made_at(site).items():
        right = site.right[key]
        far = 1e4 * np.finfo(dtype).eps * np.abs(right).max()
        for name, way in ways.items():
            assert way.shape == right.shape, name
            assert way.dtype == dtype, name
            assert np.abs(way - right).max() > (1e-4 * np.abs(right).max() if "other-form" in name else far), name
        for (one, a), (other, b) in combinations(ways.items(), 2):
            assert np.abs(a - b).max() > far / 100, (one, other)


def test_every_mistake_of_the_room_can_be_made_somewhere() -> None:
    made = {name.split()[0] for ground in GROUNDS for ways in made_at(site_of(ground)).values() for name in ways}
    assert len(PARTICULAR) >= 30
    assert made >= PARTICULAR
    for name in ("activation-derivative-twice", "derivative-of-wrong-layer", "activation-of-previous-batch"):
        assert name in made


def test_what_makes_no_difference_is_not_made() -> None:
    plain = replace(site_of("ELU"), arguments={"alpha": 1.0})
    assert CATALOGUE["elu-alpha-missing-backward"].ways(plain) == []
    assert CATALOGUE["softplus-beta-in-derivative"].ways(replace(site_of("Softplus"), arguments={})) == []
    assert CATALOGUE["softmax-over-batch"].ways(replace(site_of("Softmax"), arguments={"dim": 0})) == []
    assert CATALOGUE["gelu-cubic-factor-missing"].ways(site_of("GELU")) == []


def test_by_hand() -> None:
    """z = -log 2: e^z = 1/2, the logistic function 1/3."""
    z, dy = np.array([[-np.log(2.0)]]), np.array([[6.0]])

    def wrong(name: str, kind: str, y: float = 0.0, **arguments: Any) -> float:
        right = {"output": np.array([[y]]), "input": dy}
        (way,) = CATALOGUE[name].ways(Site("here", kind, z, right, y=np.array([[y]]), dy=dy, arguments=arguments))
        return way.item()

    assert wrong("leakyrelu-sides-swapped", "LeakyReLU") == 6
    assert wrong("leakyrelu-slope-missing-backward", "LeakyReLU") == 0
    assert wrong("elu-derivative-as-output", "ELU", alpha=3.0) == pytest.approx(6 * 3 * -0.5)
    assert wrong("elu-derivative-plus-one", "ELU", alpha=3.0) == pytest.approx(6 * (3 * -0.5 + 1))
    assert wrong("silu-first-term-missing", "SiLU") == pytest.approx(-6 * np.log(2) * 2 / 9)
    assert wrong("silu-second-term-missing", "SiLU") == pytest.approx(2)
    assert wrong("softplus-derivative-as-sigmoid", "Softplus") == pytest.approx(6 * 2 / 9)
    assert wrong("softplus-derivative-mirrored", "Softplus") == pytest.approx(4)
    assert wrong("softplus-logarithm-base-2", "Softplus", np.log(1.5)) == pytest.approx(np.log2(1.5))
    assert wrong("gelu-density-term-missing", "GELU") == pytest.approx(6 * 0.24410859578558275)  # Phi(-log 2)
    p = np.array([[0.25, 0.75]])
    row = Site("here", "Softmax", np.log(p), {"output": p, "input": p}, y=p, dy=np.array([[4.0, 0.0]]))
    for name, expected in {
        "softmax-row-term-missing": [[1, 0]], "softmax-jacobian-diagonal-only": [[0.75, 0]],
        "softmax-row-averaged": [[0.25 * 3.5, -0.375]], "softmax-row-not-weighted": [[0, -3]],
        "softmax-as-logsoftmax": [[3, -3]],
    }.items():  # fmt: skip
        np.testing.assert_allclose(CATALOGUE[name].ways(row)[0], expected, err_msg=name)
