"""The first page in a real headless Chromium, on a large and a small screen."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import LARGE, SMALL, open_browser
from fakes import ListSource, make_bench, make_pairs
from serving_app import MARS, serve

from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.workspace.rounds import run_rounds
from mars_engine.workspace.workspace import create_workspace
from pages.parts.frame.page import MILLISECONDS_TO_DRAW_A_PAGE

pytestmark = pytest.mark.browser


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


@pytest.fixture(params=[LARGE, SMALL], ids=["large", "small"])
def browser(request) -> Iterator[Any]:
    with open_browser(request.param) as driver:
        yield driver


def test_the_page_draws_counts_and_histogram_within_the_screen(address, browser, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address)
    waiting = WebDriverWait(browser, 60)
    waiting.until(lambda page: page.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .barlayer .point"))
    body = browser.find_element(By.TAG_NAME, "body").text
    for words in ("Step by step", "low-margin", "composed", "signed round 1 ranks", "Next:"):
        assert words in body
    axes = browser.find_element(By.CSS_SELECTOR, ".js-plotly-plot").text
    assert "reward units" in axes
    overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not severe
    assert browser.save_screenshot(str(Path(tmp_path) / "overview.png"))


def test_what_draws_figures_loads_after_a_page_without_and_takes_no_room(address, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    asked = "return performance.getEntriesByType('resource').find(each => each.name.includes('PlotlyChart'))?.startTime"
    browser.get(f"{address}/settings")
    assert WebDriverWait(browser, 60).until(lambda page: page.execute_script(asked)) > MILLISECONDS_TO_DRAW_A_PAGE
    assert browser.execute_script("return document.querySelector('.st-key-early').getClientRects().length") == 0
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not any("PlotlyChart" in message for message in severe)
