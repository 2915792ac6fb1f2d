"""The first page in a real headless Chromium, on a large and a small screen."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import ListSource, make_bench, make_pairs
from serving_app import MARS, serve

from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.workspace.rounds import run_rounds
from mars_engine.workspace.workspace import create_workspace

pytestmark = pytest.mark.browser

SIZES = [(1440, 900), (390, 844)]


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """The app serving a workspace in which one round has run."""
    root = tmp_path_factory.mktemp("served") / "workspace"
    bench = make_bench(url=create_workspace(root).database_url)
    pairs = ListSource(make_pairs(40))
    import_pairs(pairs, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    (report,) = run_rounds(bench, 1, policy="accept-all")
    score_model(bench, report.model)
    bench.store.close()
    with serve(MARS, root, environment=os.environ, folder=root.parent) as served:
        yield served


@pytest.fixture(params=SIZES, ids=["large", "small"])
def browser(request) -> Iterator[object]:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    width, height = request.param
    metrics = {"width": width, "height": height, "pixelRatio": 1}
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield driver
    driver.quit()


def test_the_page_draws_funnel_and_histogram_within_the_screen(address, browser, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address)
    waiting = WebDriverWait(browser, 60)
    waiting.until(lambda page: page.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .barlayer .point"))
    body = browser.find_element(By.TAG_NAME, "body").text
    for words in ("Funnel", "low-margin", "composed", "signed round 1 ranks", "Next:"):
        assert words in body
    axes = browser.find_element(By.CSS_SELECTOR, ".js-plotly-plot").text
    assert "reward units" in axes
    overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not severe
    assert browser.save_screenshot(str(Path(tmp_path) / "overview.png"))


def test_what_draws_figures_loads_with_any_page_and_takes_no_room(address, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    loads = "return performance.getEntriesByType('resource').some(each => each.name.includes('PlotlyChart'))"
    browser.get(f"{address}/settings")  # has no figure
    WebDriverWait(browser, 60).until(lambda page: page.execute_script(loads))
    assert browser.execute_script("return document.querySelector('.st-key-early').getClientRects().length") == 0
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not any("PlotlyChart" in message for message in severe)
