"""The panel of findings in a real headless Chromium: by keyboard, on a large and a small screen."""

import os
from collections.abc import Iterator

import pytest
from browsing import LARGE, SMALL, open_browser
from fakes import ListSource, make_bench, make_pairs
from serving_app import MARS, serve

from mars_engine.core.records import Pair, Turn
from mars_engine.data.findings import look_for_findings
from mars_engine.data.import_pairs import import_pairs
from mars_engine.workspace.workspace import create_workspace

pytestmark = pytest.mark.browser

HOSTILE = "<script>document.title = 'broken'</script> **bold** $x$"
MOST_STEPS = 80


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("served") / "workspace"
    bench = make_bench(url=create_workspace(root).database_url)
    prompt = (Turn("user", HOSTILE),)
    pairs = (
        *make_pairs(20),
        Pair.of(prompt, "A is better", "B is worse"),
        Pair.of(prompt, "B is worse", "A is better"),
    )
    import_pairs(ListSource(pairs), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    look_for_findings(bench.store, clock=bench.clock, progress=bench.progress)
    bench.store.close()
    with serve(MARS, root, environment=os.environ, folder=root.parent) as served:
        yield served


@pytest.fixture(params=[LARGE, SMALL], ids=["large", "small"])
def browser(request):
    with open_browser(request.param) as driver:
        yield driver


def tab_to(browser, words: str) -> None:
    """Press Tab until what has the focus says these words."""
    from selenium.webdriver import ActionChains, Keys

    for _ in range(MOST_STEPS):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        text = browser.switch_to.active_element.text
        if words in text and len(text) < 60:  # not the page as a whole, which scrolls and so takes the focus too
            return
    raise AssertionError(f"no {words!r} is reached by the Tab key")


def test_findings_are_read_and_opened_by_keyboard_alone(address, browser):
    from selenium.webdriver import Keys
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    waiting = WebDriverWait(browser, 60)
    browser.get(f"{address}/data")
    waiting.until(lambda page: "What the pairs say against themselves" in page.page_source)
    waiting.until(lambda page: "2 examples" in page.find_element(By.TAG_NAME, "body").text)
    body = browser.find_element(By.TAG_NAME, "body")
    assert "2 × a pair says the reverse of another" in body.text
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    tab_to(browser, "2 examples")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    waiting.until(lambda page: "A is better" in page.find_element(By.TAG_NAME, "body").text)
    assert HOSTILE in browser.find_element(By.TAG_NAME, "body").text
    assert browser.title != "broken"
    browser.get(f"{address}/data")
    waiting.until(lambda page: "Open all 2 in Explore" in page.find_element(By.TAG_NAME, "body").text)
    tab_to(browser, "Open all 2 in Explore")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    waiting.until(lambda page: "/explore" in page.current_url and "set=" in page.current_url)
    waiting.until(lambda page: "2 of 22 pairs selected" in page.find_element(By.TAG_NAME, "body").text)
    # Streamlit asks for its own health below the page's path first, and finds it elsewhere.
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [entry for entry in severe if "/_stcore/" not in entry["message"]]
