"""Importing a file in a real browser: a hostile name and hostile texts are shown as they are, and nothing runs."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import LARGE, SMALL, open_browser
from serving_app import MARS, serve

from mars_engine.store import open_store
from mars_engine.workspace.workspace import create_workspace, find_workspace

pytestmark = pytest.mark.browser

NAME = "<img src=x onerror=alert(1)> ![](a) $$b$$ :smile:.jsonl"
HOSTILE = (
    "<script>alert(1)</script><img src='http://127.0.0.1:9/x.png' onerror='alert(2)'>\n"
    "![](http://127.0.0.1:9/y.png) $$\\int$$ :smile: **bold** [link](javascript:alert(3))"
)
SECONDS = 90


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    create_workspace(root)
    return root


@pytest.fixture
def address(workspace: Path) -> Iterator[str]:
    with serve(MARS, workspace, environment=os.environ, folder=workspace.parent) as served:
        yield served


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "given" / NAME
    path.parent.mkdir()
    rows = [
        {"prompt": f"{HOSTILE} {number}", "chosen": f"{HOSTILE} {'x' * 100_000}", "rejected": f"{number} {HOSTILE}"}
        for number in range(4)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"prompt": "p"}\n')
    return path


def wait(browser: Any, condition: Any) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, SECONDS).until(lambda _: condition())


def press(browser: Any, words: str) -> None:
    """Press the button whose label begins so, once it is there."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.by import By

    def pressed() -> bool:
        try:
            for button in browser.find_elements(By.TAG_NAME, "button"):
                if button.text.strip().split("\n")[-1].startswith(words) and button.is_enabled():
                    button.click()
                    return True
        except StaleElementReferenceException:
            pass  # it was drawn anew meanwhile
        return False

    wait(browser, pressed)


def shown(browser: Any) -> str:
    """All text on the page, that of components included."""
    return str(
        browser.execute_script(
            "const texts = root => [root.textContent, ...[...root.querySelectorAll('*')]"
            ".filter(each => each.shadowRoot).map(each => texts(each.shadowRoot))].join(' ');"
            "return texts(document.querySelector('[data-testid=stMain]'));"
        )
    )


def fits(browser: Any, size: tuple[int, int]) -> bool:
    """Whether the page is no wider than a screen of this size."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wait(browser, lambda: browser.execute_script("return window.screen.width") == width)
    return bool(browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_hostile_file_is_uploaded_previewed_and_imported(address, workspace, source):
    from selenium.webdriver.common.by import By

    with open_browser(LARGE) as browser:
        browser.get(f"{address}/data")
        press(browser, "A file of yours")
        (field,) = wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "input[type=file]"))
        field.send_keys(str(source))
        wait(browser, lambda: HOSTILE in shown(browser))
        words = shown(browser)
        assert "Import 4 pairs" in words
        assert "img-src-x-onerror-alert-1-a-b-smile.jsonl" in words
        assert "x" * 100_000 in words
        assert "dropped because" in words
        assert fits(browser, LARGE)
        assert fits(browser, SMALL)
        browser.refresh()
        wait(browser, lambda: "Import 4 pairs" in shown(browser))
        press(browser, "Import 4 pairs")
        wait(browser, lambda: "finished: import" in shown(browser))
        press(browser, "Datasets")
        wait(browser, lambda: "img-src-x-onerror-alert-1-a-b-smile" in shown(browser))
        severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert not [entry for entry in severe if "_stcore" not in entry["message"]]
        asked = browser.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
        of_data = (
            "img[src*='127.0.0.1:9'], [data-testid=stMain] script:not(.st-key-early script, .st-key-keyboard script)"
        )
        assert not browser.find_elements(By.CSS_SELECTOR, of_data)
    store = open_store(find_workspace(workspace).database_url)
    assert [pair.rejected for pair in store.pairs.pairs("train")] == [f"{number} {HOSTILE}" for number in range(4)]
    store.close()


def test_columns_are_chosen_by_keyboard_and_the_pairs_follow(address, workspace, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    path = tmp_path / "odd.jsonl"
    rows = [{"frage": f"How deep, {n}?", "best": f"Deep {n} km.", "worst": f"Unknown {n}."} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def tab_to(browser: Any, words: str) -> Any:
        for _ in range(100):
            browser.switch_to.active_element.send_keys(Keys.TAB)
            at = browser.switch_to.active_element
            if words in f"{at.text} {at.get_attribute('aria-label')}":
                return at
        raise AssertionError(f"{words} is not reached by Tab")

    with open_browser(SMALL) as browser:
        browser.get(f"{address}/data")
        press(browser, "A file of yours")
        (field,) = wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "input[type=file]"))
        field.send_keys(str(path))
        wait(browser, lambda: "has no format that is known" in shown(browser))
        tab_to(browser, "Use these columns").send_keys(Keys.ENTER)
        wait(browser, lambda: "Import 3 pairs" in shown(browser) and "How deep, 0?" in shown(browser))
        selector = tab_to(browser, "Score of chosen")
        selector.send_keys("best")
        selector.send_keys(Keys.ENTER)
        wait(browser, lambda: "best: Deep 0 km." in browser.page_source)
        assert fits(browser, SMALL)
        assert fits(browser, LARGE)
        press(browser, "Import 3 pairs")
        wait(browser, lambda: "finished: import" in shown(browser))
    store = open_store(find_workspace(workspace).database_url)
    assert [pair.chosen for pair in store.pairs.pairs("train")] == [row["best"] for row in rows]
    store.close()
