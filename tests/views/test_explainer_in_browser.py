"""The explainer in a real browser: its numbers are manual's, its mistakes the catalogue's, its keys all there.

The page computes in JavaScript; here manual computes the same from the same weights, and what the page holds is asked
of it as JSON, which loses no bit of a double.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare.diagnosis.mistakes import CATALOGUE
from compare.diagnosis.plant import correct_steps, find_mistake, plant
from compare.diagnosis.planted import Planted
from compare.experiment.datasets import Dataset
from compare.experiment.description import DescriptionError, Experiment, Layer, Loss
from compare.experiment.files import read_experiment
from compare.experiment.networks import build_manual
from compare.explain.course import Course, record_course
from compare.views.explainer import ExplainerError, write_explainer
from compare.views.explainer.page import with_step
from tests.views.test_report_in_browser import CHROMIUM, DESKTOP, DRIVER, PHONE, Browser, brightness
from tests.views.test_report_in_browser import browser as browser  # one for this module

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with its chromedriver is installed"),
]

SAMPLE = 1
STEPS = {"article": (1, 4, 30)}
NARROW = (360, 740)
TENSORS = "JSON.stringify(window.explainer.scene().{which}, (k, v) => v instanceof Float64Array ? [...v] : v)"

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Page:
    """A page, and the training that it tells of."""

    file: Path
    experiment: Experiment
    course: Course


def dense(name: str, sizes: tuple[int, ...], activations: tuple[str, ...], loss: Loss, **linear: Any) -> Experiment:
    """Return a small network of linear layers of these sizes, with these activations ("" for none) behind them."""
    layers: list[Layer] = []
    for inputs, outputs, activation in zip(sizes[:-1], sizes[1:], activations, strict=True):
        layers.append(Layer("Linear", arguments={"in_features": inputs, "out_features": outputs, **linear}))
        if activation:
            layers.append(Layer(activation))
    return replace(read_experiment("article-cross-entropy"), name=name, layers=tuple(layers), loss=loss)


EXPERIMENTS = {
    "article": lambda: read_experiment("article"),
    "article-one-layer": lambda: read_experiment("article-one-layer"),
    "article-cross-entropy": lambda: read_experiment("article-cross-entropy"),
    "narrow": lambda: dense("narrow", (784, 7, 10), ("Sigmoid", "Sigmoid"), Loss("SquaredError")),
    "yes-no": lambda: dense("yes-no", (784, 6, 5, 10), ("Tanh", "", "Sigmoid"), Loss("BCELoss")),
    "relu": lambda: dense("relu", (784, 9, 8, 10), ("ReLU", "ReLU", ""), Loss("CrossEntropyLoss")),
    "mean": lambda: dense("mean", (784, 6, 10), ("Tanh", ""), Loss("MSELoss"), bias=False),
}


@pytest.fixture(scope="module")
def pages(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """A page about each of the experiments."""
    folder, made, courses = tmp_path_factory.mktemp("explainers"), {}, []

    def recorded(*asked: Any) -> Course:
        courses.append(record_course(*asked))
        return courses[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compare.views.explainer.page.record_course", recorded)
        patch.setattr("compare.experiment.datasets.load", lambda *_: small)
        for name, experiment in EXPERIMENTS.items():
            asked, steps = experiment(), STEPS.get(name, (1, 6))
            file = write_explainer(asked, folder / f"{name}.html", steps=steps, sample=SAMPLE, weight=None)
            made[name] = Page(file, asked, courses[-1])
    return made


@pytest.fixture
def shown(request: pytest.FixtureRequest, browser: Browser, pages: dict[str, Page]) -> Page:
    """The page of the experiment whose name is the test's parameter, shown; by default that of the article."""
    page = pages[getattr(request, "param", "article")]
    browser.show(page.file)
    return page


some = pytest.mark.parametrize("shown", ["article", "article-one-layer", "yes-no", "relu"], indirect=True)
every = pytest.mark.parametrize("shown", EXPERIMENTS, indirect=True)


def tensors(browser: Browser, which: str = "right") -> dict[str, np.ndarray]:
    """Return the tensors of the scene that the page shows."""
    found = json.loads(browser.ask(TENSORS.format(which=which)))
    return {name: np.array(values) for name, values in found.items()}


def manual_tensors(experiment: Experiment, weights: Arrays, pixels: np.ndarray, label: int) -> dict[str, np.ndarray]:
    """Return what manual makes of one image, in the order of the trace, without the batch's axis."""
    network = build_manual(experiment, weights).network
    network.loss(pixels.reshape(1, 784) / 255, np.array([label]))
    network.backward()
    return made(network, weights)


def made(network: Any, weights: Arrays) -> dict[str, np.ndarray]:
    """Return the tensors that a step of the network made, flat."""
    given = {"input", "target", *weights}
    return {name: np.ravel(array) for name, array in network.trace().items() if name not in given}


def require_equal(found: Arrays, wanted: Arrays) -> None:
    """Assert that the tensors are the same to 1e-12, by norm and element by element.

    An element that is a sum of larger terms is right to a rounding of these: 1e-15 of the tensor's largest element.
    """
    assert list(found) == list(wanted)
    for name, right in wanted.items():
        assert found[name].shape == right.shape, name
        assert np.linalg.norm(found[name] - right) <= 1e-12 * np.linalg.norm(right), name
        assert np.allclose(found[name], right, rtol=1e-12, atol=1e-15 * np.abs(right).max()), name


def turn_to(browser: Browser, instant: int) -> None:
    """Move the slider of the steps, as a reader's hand would."""
    browser.ask(
        f"(s => {{ s.value = {instant}; s.dispatchEvent(new Event('input')); }})(document.getElementById('step'))"
    )


def choose(browser: Browser, control: str, value: Any) -> None:
    """Choose a value in a list or a field."""
    browser.ask(
        "((e, v) => { e.value = v; e.dispatchEvent(new Event('change')); })"
        f"(document.getElementById('{control}'), arguments[0])", value,
    )  # fmt: skip


def text(browser: Browser, selector: str) -> str:
    return browser.ask("document.querySelector(arguments[0]).textContent", selector)


def focus(browser: Browser, selector: str) -> None:
    browser.ask("document.querySelector(arguments[0]).focus()", selector)


# ------------------------------------------------------------------------------------------------------ the numbers


@every
def test_every_tensor_is_manuals_at_every_recorded_step(shown: Page, browser: Browser) -> None:
    pixels = shown.course.image
    for n, instant in enumerate(shown.course.instants):
        turn_to(browser, n)
        assert browser.ask("window.explainer.scene().step") == instant.step
        found = tensors(browser)
        require_equal(found, manual_tensors(shown.experiment, instant.parameters, pixels, shown.course.label))
        autograd = tensors(browser, "autograd")
        for name, array in instant.autograd.items():
            assert np.array_equal(autograd[name], array.ravel()), name  # to the bit
        assert browser.ask("window.explainer.scene().compared.every(t => t.verdict === 'agrees' && t.apart < 1e-13)")


@some
def test_a_drawn_digit_gives_manuals_numbers(shown: Page, browser: Browser) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    turn_to(browser, 1)
    before = tensors(browser)["loss"].item()
    browser.ask("document.getElementById('clear').click()")
    choose(browser, "target", 7)
    canvas = browser.driver.find_element(By.ID, "drawing")
    browser.ask("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", canvas)
    pen = ActionChains(browser.driver, duration=20).move_to_element_with_offset(canvas, -70, -80).click_and_hold()
    pen.move_by_offset(130, 0).move_by_offset(-70, 160).release().perform()
    pixels = np.array(browser.ask("window.explainer.pixels()"))
    assert pixels.shape == (784,)
    assert 60 < (pixels > 0).sum() < 300
    assert len(np.unique(pixels)) > 3  # soft edges
    weights = shown.course.instants[1].parameters
    require_equal(tensors(browser), manual_tensors(shown.experiment, weights, pixels, 7))
    assert tensors(browser)["loss"].item() != before
    assert "the right formulas" in text(browser, "#reference")
    assert browser.ask("window.explainer.scene().autograd") is None


def test_the_witnesses_agree_as_far_as_they_can(shown: Page, browser: Browser) -> None:
    for tensor in ("linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"):
        choose(browser, "tensor", tensor)
        told = browser.ask("window.explainer.witnesses()")
        gradient = shown.course.instants[0].autograd[f"{tensor}.grad"][tuple(told["index"])]
        assert told["autograd"] == gradient
        assert told["manual"] == pytest.approx(gradient, rel=1e-12)
        assert told["second"] == pytest.approx(gradient, rel=1e-6)
        assert told["fourth"] == pytest.approx(gradient, rel=1e-9)
        weight = shown.course.instants[0].parameters[tensor]
        assert told["value"] == weight[tuple(told["index"])]


# ----------------------------------------------------------------------------------------------------- the mistakes


@pytest.fixture(scope="module")
def planted(small: Dataset) -> Any:
    """A function: a page and the name of a mistake -> where it was planted, and what manual makes of the image then."""
    steps: dict[str, Any] = {}

    def planted_step(page: Page, mistake: str) -> tuple[Planted, dict[str, np.ndarray]]:
        alone = page.experiment.changed("training", batch_size=1)
        weights = page.course.instants[1].parameters
        side = build_manual(alone, weights)
        if alone.name not in steps:
            steps[alone.name] = correct_steps(alone, small)
        site = plant(find_mistake(mistake), side, steps[alone.name])
        side.network.loss(page.course.image.reshape(1, 784) / 255, np.array([page.course.label]))
        side.network.backward()
        return site, made(side.network, weights)

    return planted_step


SMALL = ("narrow", "yes-no", "relu")


@pytest.mark.parametrize("shown", SMALL, indirect=True)
def test_every_mistake_is_the_catalogues_and_parts_where_it_was_planted(
    shown: Page, browser: Browser, planted: Any
) -> None:
    turn_to(browser, 1)
    names = browser.ask("[...document.getElementById('mistake').options].map(o => o.value).filter(Boolean)")
    assert len(names) >= 9
    course = shown.course
    right = manual_tensors(shown.experiment, course.instants[1].parameters, course.image, course.label)
    assert set(names) <= CATALOGUE.keys()
    for name in names:
        choose(browser, "mistake", name)
        site, wanted = planted(shown, name)
        require_equal(tensors(browser, "tensors"), wanted)
        assert browser.ask("window.explainer.scene().mistake.where") == site.where
        verdicts = browser.ask(
            "[...document.querySelectorAll('#tensors tr')].map(r => [r.dataset.tensor, r.className])"
        )
        first = next((tensor for tensor, verdict in verdicts if verdict != "agrees"), None)
        assert [tensor for tensor, verdict in verdicts if verdict == "parts"] == [site.tensor] == [first], name
        assert site.tensor in text(browser, "#verdict")
        assert text(browser, "#about-mistake")
        for tensor, verdict in verdicts:  # what is said to agree does, and what is said to follow is wrong
            size = np.linalg.norm(right[tensor])
            assert (np.linalg.norm(wanted[tensor] - right[tensor]) <= 1e-12 * size) == (verdict == "agrees"), name
    assert browser.complaints() == []


def test_all_mistakes_of_the_page_are_tried_above(browser: Browser, pages: dict[str, Page]) -> None:
    tried: set[str] = set()
    for name in SMALL:
        browser.show(pages[name].file)
        tried |= set(browser.ask("[...document.getElementById('mistake').options].map(o => o.value).filter(Boolean)"))
    assert tried == set(browser.ask("Object.keys(JSON.parse(document.getElementById('words').textContent).mistakes)"))


def test_a_mistake_is_told_in_words_and_by_a_sign(shown: Page, browser: Browser) -> None:
    assert "All 13 tensors agree" in text(browser, "#verdict")
    choose(browser, "mistake", "sigmoid-derivative-without-rest")
    row = text(browser, "#tensors tr.parts")
    assert "◆ parts here" in row
    assert text(browser, "#tensors tr.agrees td").startswith("✓")
    assert text(browser, "#tensors tr.follows td").startswith("↳")
    assert "with the planted mistake" in text(browser, "#witnesses")
    choose(browser, "mistake", "")
    assert "All 13 tensors agree" in text(browser, "#verdict")


# ------------------------------------------------------------------------------------------------- what is operated


def test_a_click_on_a_line_shows_its_chain(shown: Page, browser: Browser) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    choose(browser, "tensor", "linear2.weight")
    assert browser.ask("window.explainer.scene().linear") == 1
    pixel = browser.driver.find_element(By.CSS_SELECTOR, ".digit .frame")
    width = pixel.rect["width"] - 1
    aim = [(column + 0.5) / 28 * width - width / 2 for column in (13, 5)]  # column 13, row 5
    ActionChains(browser.driver, duration=0).move_to_element_with_offset(pixel, *map(round, aim)).click().perform()
    assert browser.ask("window.explainer.scene().path[0]") == 5 * 28 + 13
    unit = browser.driver.find_elements(By.CSS_SELECTOR, ".units:not(.outputs) .unit")[4]
    ActionChains(browser.driver, duration=0).move_to_element(unit).click().perform()
    assert "linear1.weight[4,153]" in text(browser, "#choice")
    assert browser.ask("document.querySelector('.chosen').dataset.connection") == "0:153:4"
    browser.ask("document.querySelectorAll('.edges .hit')[30 + 17].dispatchEvent(new MouseEvent('click'))")
    assert "linear2.weight[0,17]" in text(browser, "#choice")
    parameters, autograd = shown.course.instants[0].parameters, shown.course.instants[0].autograd
    assert f"{parameters['linear2.weight'][0, 17]:.6g}".replace("-", "−") in text(browser, "#choice")
    chain = text(browser, "[data-linear='1'] [data-equation='chain'] .line")
    factors = [as_number(part) for part in chain.split(" = ")[1].split(" × ")] if "10" not in chain else []
    product = autograd["linear2.weight.grad"][0, 17]
    assert not factors or np.prod(factors) == pytest.approx(product, rel=1e-4)
    assert "the same" in text(browser, "[data-linear='1'] [data-equation='chain'] .check")


def as_number(shown: str) -> float:
    """Return a number that the page shows."""
    return float(shown.strip("()").replace("−", "-"))


def test_the_parts_that_come_back_stand_in_order_and_sum_up(shown: Page, browser: Browser) -> None:
    rows = browser.ask(
        "[...document.querySelectorAll(\"[data-linear='0'] .above tbody tr\")]"
        ".map(r => [...r.children].map(c => c.textContent))"
    )
    j = browser.ask("window.explainer.scene().path[1]")
    instant = shown.course.instants[0]
    products = instant.autograd["linear2.output.grad"] * instant.parameters["linear2.weight"][:, j]
    order = np.argsort(-np.abs(products))
    assert [row[0] for row in rows] == [*(f"output {k}" for k in order), "sum"]
    for row, k in zip(rows, order, strict=False):
        mantissa, _, power = row[3].replace("−", "-").partition(" × 10")
        digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
        assert float(mantissa) * 10.0 ** int(power.translate(digits) or 0) == pytest.approx(products[k], rel=1e-5)
    assert instant.autograd["sigmoid1.output.grad"][j] == pytest.approx(products.sum(), rel=1e-12)


def test_a_symbol_tells_its_number_and_its_place(shown: Page, browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    focus(browser, "[data-linear='0'] [data-equation='chain'] .symbol")
    assert not browser.ask("document.getElementById('bubble').hidden")
    for _ in range(3):
        browser.press(Keys.ARROW_RIGHT)
    assert browser.ask("document.activeElement.dataset.symbol") == "x"
    i = browser.ask("window.explainer.scene().path[0]")
    assert f"{shown.course.image.ravel()[i] / 255:.6g}"[:6] in text(browser, "#bubble strong")
    ring, frame = "document.querySelector('.marks .ring')", "document.querySelector('.chosen-end')"
    middle = "(b => [b.x + b.width / 2, b.y + b.height / 2].map(Math.round))({}.getBBox())"
    assert browser.ask(middle.format(ring)) == browser.ask(middle.format(frame))  # around the pixel
    assert "pixel" in browser.ask("document.activeElement.getAttribute('aria-label')")
    browser.press(Keys.ESCAPE)
    assert browser.ask("document.getElementById('bubble').hidden")
    assert browser.ask("document.querySelectorAll('.marks .ring').length") == 0


@some
def test_every_symbol_of_every_equation_has_a_number_and_a_place(shown: Page, browser: Browser) -> None:
    for tensor in [name for name in shown.course.instants[0].parameters if name.endswith("weight")]:
        choose(browser, "tensor", tensor)
        told = browser.ask(
            "[...document.querySelectorAll('[data-linear]:not([hidden]) .symbol')].map(s => {"
            " s.dispatchEvent(new PointerEvent('pointerenter'));"
            " return [s.dataset.symbol, document.querySelector('#bubble strong').textContent,"
            " document.querySelectorAll('.marks .ring').length, s.getAttribute('aria-label')]; })"
        )
        assert len(told) > 8
        for symbol, value, rings, label in told:
            assert value, symbol
            assert rings >= 1, symbol
            assert value in label
            assert "{" not in label


def test_everything_can_be_done_by_keyboard(shown: Page, browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    reached = []
    while "mistake" not in reached and len(reached) < 50:
        browser.press(Keys.TAB)
        reached.append(browser.ask("(e => e.id || e.getAttribute('class') || e.tagName)(document.activeElement)"))
        assert browser.ask("getComputedStyle(document.activeElement).outlineStyle") != "none", reached[-1]
    wanted = ("skip", "field digit", "units", "units outputs", "step", "tensor", "unit", "input", "steepest", "drawing",
              "target", "clear", "start-recorded", "mistake")  # fmt: skip
    assert [name for name in reached if name in wanted] == list(wanted)
    assert sum("symbol" in name for name in reached) == 10  # one stop an equation
    start = browser.ask("window.explainer.scene().path")
    focus(browser, ".field.digit")
    browser.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    focus(browser, ".units")
    browser.press(Keys.ARROW_UP)
    focus(browser, ".units.outputs")
    browser.press(Keys.END)
    assert browser.ask("window.explainer.scene().path") == [start[0] + 29, start[1] - 1, 9]
    assert browser.ask("document.activeElement.getAttribute('aria-valuetext')") == "output 9"
    assert "its gradient" in text(browser, "#live")
    focus(browser, "#step")
    browser.press(Keys.ARROW_RIGHT)
    assert "Weights before step 4" in text(browser, "#live")


def test_a_digit_is_drawn_by_keyboard(shown: Page, browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.ask("document.getElementById('clear').click()")
    focus(browser, "#drawing")
    browser.press(Keys.SPACE)
    once = np.array(browser.ask("window.explainer.pixels()")).reshape(28, 28)
    assert once[6, 14] == 255
    assert 4 < (once > 0).sum() < 20
    browser.press(*[Keys.ARROW_DOWN] * 3, Keys.SPACE)
    assert "Row 9, column 14: 255 of 255." in text(browser, "#live")
    assert np.array(browser.ask("window.explainer.pixels()")).reshape(28, 28)[9, 14] == 255
    browser.press(Keys.BACKSPACE)
    assert np.array(browser.ask("window.explainer.pixels()")).reshape(28, 28)[9, 14] == 0
    browser.ask("document.getElementById('show-recorded').click()")
    assert browser.ask("window.explainer.pixels()") == shown.course.image.ravel().tolist()
    assert browser.ask("window.explainer.scene().autograd") is not None


def test_the_picture_turns_from_forward_to_backward(shown: Page, browser: Browser) -> None:
    browser.ask("document.querySelector('[name=mode][value=backward]').click()")
    j = browser.ask("window.explainer.scene().path[1]")
    drawn = browser.ask(
        "[...document.querySelectorAll('.map rect:not(.frame)')]"
        ".map(r => Number(r.getAttribute('width')) + (r.classList.contains('negative') ? 1 : 0))"
    )
    row = shown.course.instants[0].autograd["linear1.weight.grad"][j]
    size = np.sqrt(np.abs(row) / np.abs(row).max()) * max(drawn)  # the area tells how much
    assert np.allclose(np.maximum(drawn, 1), np.maximum(size, 1), rtol=1e-9)
    negative = browser.ask(
        "[...document.querySelectorAll('.outputs .unit')].map(u => u.classList.contains('negative'))"
    )
    assert negative == (shown.course.instants[0].autograd["linear2.output.grad"] < 0).tolist()


@pytest.mark.parametrize("shown", ["relu"], indirect=True)
def test_a_unit_shows_the_sign_of_its_delta(shown: Page, browser: Browser) -> None:
    browser.ask("document.querySelector('[name=mode][value=backward]').click()")
    drawn = browser.ask("[...document.querySelectorAll('.units:not(.outputs) .unit')].map(u => u.classList[1])")
    autograd = shown.course.instants[0].autograd
    deltas = [*autograd["linear1.output.grad"], *autograd["linear2.output.grad"]]
    assert 0 < sum(delta == 0 for delta in deltas) < len(deltas)  # some units are off
    assert drawn == ["plain" if delta == 0 else "negative" if delta < 0 else "positive" for delta in deltas]


# ----------------------------------------------------------------------------------------------- the page as a page


@every
def test_a_page_is_small_and_shown_without_a_complaint_or_a_request(shown: Page, browser: Browser) -> None:
    assert browser.complaints() == []
    assert browser.requests() - {"about:blank"} == {shown.file.as_uri()}
    assert browser.ask("performance.getEntriesByType('resource').length") == 0
    assert shown.file.stat().st_size < 3_000_000
    assert browser.ask("document.documentElement.lang") == "en"
    assert "{" not in browser.ask("document.body.innerText")
    assert "undefined" not in browser.ask("document.body.innerText")


@pytest.mark.parametrize("size", [NARROW, PHONE], ids=["360", "390"])
@pytest.mark.parametrize("name", ["article", "relu", "article-cross-entropy"])
def test_nothing_sticks_out_on_a_phone(
    name: str, size: tuple[int, int], browser: Browser, pages: dict[str, Page]
) -> None:
    browser.show(pages[name].file, size)
    for tensor in ("linear1.weight", "linear2.weight"):
        choose(browser, "tensor", tensor)
        assert browser.ask("document.documentElement.scrollWidth") <= size[0]
    picture = browser.ask("document.querySelector('.network').getBoundingClientRect().toJSON()")
    assert picture["left"] >= 0
    assert picture["right"] <= size[0]
    assert (
        browser.ask(
            "Math.max(...[...document.querySelectorAll('.network text')].map(t => t.getBoundingClientRect().right))"
        )
        <= size[0]
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_day_and_night_have_contrast(size: tuple[int, int], browser: Browser, pages: dict[str, Page]) -> None:
    browser.show(pages["article"].file, size)
    choose(browser, "mistake", "delta-doubled")
    selectors = (
        "body",
        ".soft",
        ".check",
        "#verdict",
        "tr.follows td",
        "tr.parts td",
        ".formula .number",
        "button",
        "caption",
    )
    for night in (False, True):
        browser.light(night)
        paper = browser.ask("getComputedStyle(document.body).backgroundColor")
        assert (brightness(paper) < 60) == night
        for selector in selectors:
            colour = browser.ask("getComputedStyle(document.querySelector(arguments[0])).color", selector)
            assert contrast(colour, paper) >= 4.5, selector
        seen = browser.screenshot()
        assert seen.shape == (size[1], size[0], 3)
        assert seen.std() > 8


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours rgb(r, g, b), as the WCAG defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in colour.strip("rgb()").split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


# -------------------------------------------------------------------------------------------------- what is refused


def test_the_weight_that_is_asked_for_is_shown_first(browser: Browser, small_data: Dataset, tmp_path: Path) -> None:
    write = partial(write_explainer, read_experiment("article-one-layer"), tmp_path / "page.html", sample=0)
    browser.show(write(steps=(2,), weight="linear1.weight[3,350]"))
    assert "linear1.weight[3,350]" in text(browser, "#choice")
    browser.show(write(steps=(2,), weight="linear1.bias[4]"))
    assert "linear1.bias[4]" in text(browser, "#choice")
    assert browser.ask("document.getElementById('input').disabled")
    browser.show(write(steps=(1, 2, 3), step=3, weight="linear1.weight[2,:]"))
    assert browser.ask("window.explainer.scene().step") == 3
    assert browser.ask("document.getElementById('step').value") == "2"
    assert "linear1.weight[2," in text(browser, "#choice")
    for wrong in ("linear1.weight[10,0]", "linear1.weight[3]", "linear9.weight[0,0]", "nonsense"):
        with pytest.raises(DescriptionError, match="--weight"):
            write(steps=(1,), weight=wrong)


def test_a_step_of_ones_own_takes_the_place_of_the_nearest() -> None:
    assert with_step([1, 3, 30, 300], 1) == [1, 3, 30, 300]
    assert with_step([1, 3, 30, 300], 25) == [1, 3, 25, 300]
    assert with_step([1, 3], 2) == [1, 2]
    assert with_step([1], 7) == [7]


@pytest.mark.parametrize("name", ["lenet", "batchnorm", "gpt-digits"])
def test_other_networks_are_told_which_have_a_page(name: str, small_data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ExplainerError, match="article, article-one-layer, article-cross-entropy and relu"):
        write_explainer(read_experiment(name), tmp_path / "page.html", steps=None, sample=0, weight=None)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_shown_is_said(small_data: Dataset, tmp_path: Path) -> None:
    article = read_experiment("article")
    for experiment, says in (
        (article.changed("training", dtype="float32"), "computes in float32"),
        (article.changed("loss", arguments={"reduction": "none"}), "options"),
        (replace(article, loss=Loss("HuberLoss")), "its loss is HuberLoss"),
    ):
        with pytest.raises(ExplainerError, match=says):
            write_explainer(experiment, tmp_path / "page.html", steps=(1,), sample=0, weight=None)
    with pytest.raises(ExplainerError, match="Ask for fewer steps"):
        write_explainer(article, tmp_path / "page.html", steps=range(1, 13), sample=0, weight=None)
    with pytest.raises(ExplainerError, match="cannot be written"):
        write_explainer(article, tmp_path / "no" / "page.html", steps=(1,), sample=0, weight=None)


def test_the_largest_preset_fits(small_data: Dataset, tmp_path: Path) -> None:
    page = write_explainer(read_experiment("relu"), tmp_path / "page.html", steps=None, sample=SAMPLE, weight=None)
    assert 2_500_000 < page.stat().st_size < 3_000_000
