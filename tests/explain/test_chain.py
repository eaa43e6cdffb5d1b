"""The chain rule, link by link: every sum and every product is the gradient, and the numbers are the formulas'."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compare.explain.chain import chain, factors, path
from compare.explain.explanation import gradient_of
from compare.explain.moment import Moment
from compare.explain.rules import INPUT, line_of, rule_of
from compare.explain.update import update_of
from tests.explain.conftest import at

ROOT = Path(__file__).parents[2]
ARTICLE = ("article", "article-one-layer", "article-cross-entropy")


def draw_weight(data: st.DataObject, moment: Moment) -> tuple[str, tuple[int, ...]]:
    name = data.draw(st.sampled_from(sorted(moment.manual.network.parameters)))
    shape = moment.trace[name].shape
    return name, tuple(data.draw(st.integers(0, n - 1)) for n in shape)


def close(a: float, b: float, rel: float = 1e-12) -> bool:
    return math.isclose(a, b, rel_tol=rel, abs_tol=1e-300)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("experiment", ARTICLE)
def test_the_factors_multiply_to_the_gradient_that_autograd_finds(experiment: str, data: st.DataObject) -> None:
    moment = at(experiment)
    name, index = draw_weight(data, moment)
    links = chain(moment, name, index)
    product = math.prod(factor.value for factor in factors(links))
    expected = moment.autograd[f"{name}.grad"][index]
    # 1 - a of a sure output has lost digits by itself, on both sides: what is left of them is what can agree.
    slack = 1e-12 + 1e-15 / min(
        (abs(x.followed.slope) for x in links if x.kind == "Sigmoid" and x.followed), default=1.0
    )
    assert math.isclose(product, expected, rel_tol=slack, abs_tol=1e-300)


@pytest.mark.parametrize(
    ("experiment", "weight", "index"),
    [
        ("article", "linear1.weight", (23, 272)), ("article", "linear2.bias", (3,)),
        ("article-one-layer", "linear1.weight", (8, 329)), ("article-cross-entropy", "linear1.bias", (4,)),
        ("relu", "linear2.weight", (7, 19)), ("lenet", "conv2d1.weight", (0, 0, 2, 1)),
        ("lenet", "conv2d2.bias", (3,)), ("batchnorm", "batchnorm1d1.weight", (5,)),
        ("batchnorm", "linear1.weight", (5, 300)), ("adam", "linear1.weight", (3, 272)),
        ("lstm-rows", "lstm1.weight_hh_l0", (2, 5)), ("attention-rows", "residual1.layernorm1.weight", (3,)),
        ("gpt-digits", "embedding1.weight", (0, 3)),
        ("gpt-digits", "residual1.multiheadattention1.in_proj_weight", (3, 4)),
    ],
)  # fmt: skip
def test_every_link_is_a_sum_of_slope_times_error_and_ends_at_the_cost(
    experiment: str, weight: str, index: tuple[int, ...]
) -> None:
    moment = at(experiment)
    links = chain(moment, weight, index)
    assert links[-1].layer == "loss"
    for link, following in itertools.pairwise(links):
        scale = sum(abs(term.product) for term in link.terms)
        gradient = moment.autograd[f"{link.tensor}.grad"][link.index]
        assert abs(sum(term.product for term in link.terms) - gradient) <= 1e-12 * scale
        assert link.followed is not None
        assert (following.tensor, following.index) == (link.output, link.followed.index)
        sizes = [abs(term.product) for term in link.terms]
        assert sizes == sorted(sizes, reverse=True)
    assert close(moment.loss, [value for _, _, value in path(links)][-1])


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def test_a_hidden_weight_by_the_formulas_of_the_tutorial(article: Moment) -> None:
    """dC/dw_ji = x_i a_j (1 - a_j) sum over k of w_kj (o_k - t_k) o_k (1 - o_k), computed here by itself."""
    t, j, i = article.trace, 23, 272
    x = article.pixels.reshape(784) / 255
    a = sigmoid(t["linear1.weight"] @ x + t["linear1.bias"])
    o = sigmoid(t["linear2.weight"] @ a + t["linear2.bias"])
    delta = (o - (np.arange(10) == article.label)) * o * (1 - o)
    found = factors(chain(article, "linear1.weight", (j, i)))
    assert [close(f.value, v) for f, v in zip(found, (x[i], a[j] * (1 - a[j]), t["linear2.weight"][:, j] @ delta),
                                              strict=True)] == [True] * 3  # fmt: skip
    sum_ = found[-1].link
    assert [(term.index[1], term.slope) for term in sum_.terms] == [
        (k, t["linear2.weight"][k, j]) for k in np.argsort(-abs(t["linear2.weight"][:, j] * delta))
    ]
    assert all(close(term.arriving, delta[term.index[1]]) for term in sum_.terms)
    assert article.label == 0
    assert close(article.loss, 0.5 * ((o - (np.arange(10) == 0)) ** 2).sum())


def test_a_pixel_without_ink_gives_the_factor_0(article: Moment) -> None:
    links = chain(article, "linear1.weight", (12, 0))
    assert factors(links)[0].value == 0
    assert links[0].gradient == 0
    assert [link.layer for link in links] == ["linear1", "sigmoid1", "linear2", "sigmoid2", "loss"]


def test_a_token_that_does_not_occur_moves_nothing() -> None:
    moment = at("gpt-digits")
    missing = next(t for t in range(18) if t not in moment.trace["input"])
    links = chain(moment, "embedding1.weight", (missing, 2))
    assert len(links) == 1
    assert [f.value for f in factors(links)] == [0.0]


@given(data=st.data())
@settings(max_examples=12, deadline=None)
@pytest.mark.parametrize("experiment", ARTICLE)
def test_the_witnesses_agree(experiment: str, data: st.DataObject) -> None:
    moment = at(experiment)
    name, index = draw_weight(data, moment)
    gradient = gradient_of(moment, name, index)
    if abs(gradient.manual) < 1e-6:  # behind a saturated unit, where 1 - a itself has fewer digits
        assert gradient.complex_step == pytest.approx(gradient.manual, rel=1e-9, abs=1e-18)
        assert gradient.central_difference == pytest.approx(gradient.manual, rel=1e-6, abs=1e-17)
        return
    assert (gradient.digits("autograd") or 0) >= 11
    assert (gradient.digits("complex_step") or 0) >= 11
    assert (gradient.digits("central_difference") or 0) >= 9


def test_a_bias_of_a_blank_background_stands_at_a_kink() -> None:
    """Biases begin as 0, so a convolution gives exactly 0 wherever there is no ink: there ReLU has two slopes."""
    moment = at("lenet")
    gradient = gradient_of(moment, "conv2d1.bias", (0,))
    assert (moment.trace["conv2d1.output"][0, 0] == 0).sum() > 100
    assert gradient.kink
    assert (gradient.digits("autograd") or 0) >= 12  # the same side is taken
    assert (gradient.digits("central_difference") or 0) < 7
    assert not gradient_of(moment, "linear1.bias", (3,)).kink


def test_the_update_is_gradient_times_rate_and_what_it_predicts(article: Moment) -> None:
    found = update_of(article, "linear1.weight", (23, 272))
    gradient = float(article.autograd["linear1.weight.grad"][23, 272])
    assert close(found.change, -4.0 * gradient, 1e-10)
    assert close(found.alone.predicted, -4.0 * gradient**2, 1e-10)

    def cost(w: float) -> float:
        t = article.trace
        weight = t["linear1.weight"].copy()
        weight[23, 272] = w
        a = sigmoid(weight @ (article.pixels.reshape(784) / 255) + t["linear1.bias"])
        o = sigmoid(t["linear2.weight"] @ a + t["linear2.bias"])
        return float(0.5 * ((o - (np.arange(10) == 0)) ** 2).sum())

    assert close(found.alone.real, cost(found.after) - cost(found.before), 1e-10)
    squares = sum((article.autograd[f"{n}.grad"] ** 2).sum() for n in article.manual.network.parameters)
    assert close(found.together.predicted, -4.0 * float(squares), 1e-10)
    after = article.manual.network.loss(article.trace["input"], article.trace["target"])
    assert close(found.together.real, after - article.loss, 1e-10)


@pytest.mark.parametrize("experiment", ["article", "article-cross-entropy", "relu", "lenet", "batchnorm", "lstm-rows",
                                        "attention-rows", "adam", "gpt-digits"])  # fmt: skip
def test_every_factor_names_its_equation_and_a_line_that_computes_it(experiment: str) -> None:
    network = at(experiment).manual.network
    pages = [ROOT / "manual/DERIVATION.md", *(ROOT / "manual/derivation").glob("*.md")]
    tags = "".join(page.read_text(encoding="utf-8") for page in pages)
    layers = dict(network.layers) | {"loss": network.loss_function}
    for layer in list(layers.values()):
        layers |= getattr(layer, "layers", {})
    for layer in layers.values():
        keys = [] if hasattr(layer, "layers") else list(getattr(layer, "parameters", {}))
        for key in [*keys, *([] if getattr(layer, "takes_indices", False) else [INPUT])]:
            rule = rule_of(layer, key)
            assert rule.equation is not None, (type(layer), key)
            assert f"\\tag{{{rule.equation}}}" in tags
            line = line_of(layer, key, rule.in_code)
            assert line is not None
            assert f"({rule.in_code})" in line.text
            assert (ROOT / line.file).read_text(encoding="utf-8").splitlines()[line.line - 1].strip() == line.text


def test_lines_are_those_of_the_parameter_and_not_of_its_neighbour(article: Moment) -> None:
    norm = at("attention-rows").manual.network.layers["layernorm1"]  # both of its gradients cite (112)
    for key in ("weight", "bias"):
        assert f'gradients["{key}"]' in str(getattr(line_of(norm, key, rule_of(norm, key).in_code), "text", ""))
    linear = article.manual.network.layers["linear2"]
    texts = {key: str(getattr(line_of(linear, key, rule_of(linear, key).in_code), "text", "")) for key in
             ("weight", "bias", INPUT)}  # fmt: skip
    assert 'gradients["weight"] = product(delta.T, self.x)' in texts["weight"]
    assert "delta.sum(axis=0)" in texts["bias"]
    assert 'product(delta, self.parameters["weight"])' in texts[INPUT]
