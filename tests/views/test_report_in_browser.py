"""The report in a real browser: nothing goes wrong, nothing goes out, all is drawn, by day and night, on a phone.

Skipped only where no chromium is installed; `.ci/run` installs it.
"""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from compare.views.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with its chromedriver is installed"),
]

DESKTOP, PHONE = (1280, 900), (390, 844)
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-sync", "--disable-extensions", "--no-first-run", "--hide-scrollbars",
)  # fmt: skip
DEAD = "--proxy-server=http://127.0.0.1:9"  # nobody answers there: what asks for anything outside fails


class Browser:
    """A headless chromium, and what it tells of the page that it shows."""

    def __init__(self, driver: Any):
        self.driver = driver

    def show(self, page: Path, size: tuple[int, int] = DESKTOP, night: bool = False, fragment: str = "") -> None:
        """Show a page at a size, by day or by night, and wait until its charts are drawn; forget what was before."""
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.resize(*size)
        self.light(night)
        self.driver.get("about:blank")
        self.driver.get(page.as_uri() + fragment)
        self.wait_for_charts()

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def light(self, night: bool) -> None:
        feature = {"name": "prefers-color-scheme", "value": "dark" if night else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def ask(self, expression: str, *arguments: Any) -> Any:
        """Return the value of an expression of JavaScript."""
        return self.driver.execute_script(f"return {expression}", *arguments)

    def wait_for_charts(self) -> None:
        """Wait until every chart that can be seen is drawn."""
        from selenium.webdriver.support.ui import WebDriverWait

        wanting = (
            "[...document.querySelectorAll('.chart:not([data-drawn])')].filter(c => !c.closest('details:not([open])'))"
        )
        WebDriverWait(self.driver, 20).until(lambda _: self.ask(f"{wanting}.length === 0"))

    def press(self, *keys: str) -> None:
        """Press keys, where the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """Return what stands on the console, errors and warnings."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """Return the addresses that have been asked for, except of data that the page itself holds."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return {url for url in sent if not url.startswith(("data:", "blob:"))}

    def screenshot(self) -> np.ndarray:
        """Return what is seen, as uint8 (height, width, 3)."""
        return np.asarray(Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests here, behind a proxy that is dead."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for switch in (*SWITCHES, DEAD, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def pages(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages about each record, and about three and about seven together."""
    folder = tmp_path_factory.mktemp("pages")
    wanted = {name: [record] for name, record in runs.items()}
    wanted |= {"three": [runs[name] for name in ("finished", "diverged", "killed")], "seven": [runs["finished"]] * 7}
    return {name: write_report(records, folder / f"{name}.html") for name, records in wanted.items()}


EVERY = ("finished", "diverged", "convolved", "killed", "hostile", "three", "seven")


@pytest.mark.parametrize("name", EVERY)
def test_a_page_is_shown_without_a_complaint_or_a_request(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages[name])
    if name in ("three", "seven"):
        browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
        browser.wait_for_charts()
    assert browser.complaints() == []
    assert browser.requests() - {"about:blank"} == {pages[name].as_uri()}


@pytest.mark.parametrize("name", EVERY)
def test_every_chart_has_marks(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages[name])
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.wait_for_charts()
    marks = "svg .mark-line path, svg .mark-area path, svg .mark-symbol path"
    drawn = browser.ask(
        "[...document.querySelectorAll('.chart')].map(c => [c.id, c.getBoundingClientRect().height,"
        f" [...c.querySelectorAll('{marks}')].filter(p => (p.getAttribute('d') || '').length > 5).length])"
    )
    assert len(drawn) == pages[name].read_text(encoding="utf-8").count('role="img"')
    assert drawn
    assert all(height > 100 and count > 0 for _, height, count in drawn), drawn


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("night", [False, True], ids=["day", "night"])
def test_a_screenshot_has_its_size_and_is_not_empty(
    size: tuple[int, int], night: bool, browser: Browser, pages: dict[str, Path]
) -> None:
    browser.show(pages["diverged"], size, night)
    seen = browser.screenshot()
    assert seen.shape == (size[1], size[0], 3)
    background = seen[2, 2].astype(int)
    assert (background.mean() < 60) == night
    other = (np.abs(seen.astype(int) - background).max(axis=2) > 40).mean()
    assert 0.01 < other < 0.5  # text and lines on a page, neither an empty one nor a black one
    assert seen.std() > 8
    browser.ask("document.querySelector('.chart').scrollIntoView()")
    chart = browser.screenshot()
    assert (np.abs(chart.astype(int) - background).max(axis=2) > 25).mean() > 0.01


@pytest.mark.parametrize("name", EVERY)
def test_nothing_sticks_out_on_a_phone(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages[name], PHONE)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.wait_for_charts()
    assert browser.ask("document.documentElement.scrollWidth") <= PHONE[0]


def test_night_changes_the_page_and_its_charts(browser: Browser, pages: dict[str, Path]) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    colours = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
        " document.querySelector('.chart .mark-text text').getAttribute('fill')]"
    )
    browser.show(pages["finished"])
    day = browser.ask(colours)
    browser.light(night=True)  # the charts are drawn anew, a moment later
    WebDriverWait(browser.driver, 10).until(lambda _: browser.ask(colours)[2] != day[2])
    night = browser.ask(colours)
    assert all(a != b for a, b in zip(day, night, strict=True))
    assert brightness(day[0]) > 200 > 60 > brightness(night[0])
    assert brightness(day[1]) < 60 < 200 < brightness(night[1])


def brightness(colour: str) -> float:
    """Return the mean of the channels of rgb(r, g, b)."""
    return float(np.mean([int(part) for part in colour.strip("rgb()").split(",")]))


def test_the_keyboard_reaches_what_can_be_operated(browser: Browser, pages: dict[str, Path]) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.show(pages["finished"])
    reached = []
    for _ in range(60):
        browser.press(Keys.TAB)
        reached.append(browser.ask("(e => e.className + '|' + e.tagName + '|' + e.id)(document.activeElement)"))
    assert reached[0].startswith("skip|A")
    tags = [name.split("|")[1] for name in reached]
    assert {"A", "SELECT", "SUMMARY", "DIV", "PRE"} <= set(tags)
    assert any(name.endswith("r1-audits-choose") for name in reached)
    assert tags.index("SELECT") < len(tags) - 1 - tags[::-1].index("SUMMARY")  # and no control holds the focus
    outlined = browser.ask("getComputedStyle(document.activeElement).outlineStyle")
    assert outlined != "none"


def test_a_curve_is_chosen_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    browser.show(pages["finished"])
    strong = "document.querySelector('#r1-audits-chart .layer_1_marks path').getAttribute('d')"
    before = browser.ask(strong)
    browser.ask("document.getElementById('r1-audits-choose').focus()")
    browser.press(Keys.ARROW_DOWN)
    WebDriverWait(browser.driver, 5).until(lambda _: browser.ask(strong) != before)
    assert browser.ask("document.getElementById('r1-audits-choose').selectedIndex") == 1


def test_the_numbers_of_a_chart_are_one_key_away(browser: Browser, pages: dict[str, Path]) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.show(pages["finished"])
    table = "document.querySelector('#r1-losses details table').checkVisibility({contentVisibilityAuto: true})"
    browser.ask("document.querySelector('#r1-losses summary').focus()")
    assert not browser.ask("document.querySelector('#r1-losses details').open")
    browser.press(Keys.ENTER)
    assert browser.ask("document.querySelector('#r1-losses details').open")
    assert browser.ask(table)


def test_a_link_to_a_record_opens_it(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["three"], fragment="#r2")
    assert browser.ask("[...document.querySelectorAll('details.record')].map(d => d.open)") == [False, True, False]
    assert browser.ask("document.querySelector('#r2 .chart').dataset.drawn") == "yes"


def test_a_hostile_record_executes_nothing(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["hostile"])
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.wait_for_charts()
    assert browser.ask("window.hacked === undefined")
    assert browser.ask("document.querySelectorAll('img:not([src^=\"data:\"])').length") == 0
    assert "window.hacked" in browser.ask("document.body.innerText")  # it is there to be read


def test_even_a_script_that_got_into_the_page_would_not_run(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    smuggled = "<script>window.hacked = 1</script><img src='data:,' onerror='window.hacked = 1'></main>"
    html = pages["finished"].read_text(encoding="utf-8").replace("</main>", smuggled)
    file = tmp_path / "smuggled.html"
    file.write_text(html, encoding="utf-8")
    browser.show(file)
    assert browser.ask("window.hacked === undefined")
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())
