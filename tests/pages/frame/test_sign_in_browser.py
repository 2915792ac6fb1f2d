"""A shared token guards every page, whichever is the first that a new server is asked for."""

import os
import sys

import pytest
from app_workspaces import make_workspace
from browsing import open_browser
from serving_app import serve

pytestmark = pytest.mark.browser

TOKEN = "correct horse battery staple"


@pytest.mark.parametrize("page", ["results", "pair?id=x"])
def test_a_link_into_a_new_server_asks_for_the_token_inside_the_frame(page, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    root = make_workspace(tmp_path / "workspace", "complete")
    environment = os.environ | {"MARS_APP_TOKEN": TOKEN}
    mars = [sys.executable, "-m", "mars_engine.cli.main"]
    with serve(mars, root, environment=environment, folder=tmp_path) as address, open_browser() as browser:
        browser.get(f"{address}/{page}")
        waiting = WebDriverWait(browser, 60)
        field = waiting.until(lambda driver: driver.find_element(By.CSS_SELECTOR, "input[type=password]"))
        body = browser.find_element(By.TAG_NAME, "body").text
        assert "Held-out accuracy" not in body
        assert "question number" not in body
        navigation = (
            "return [...document.querySelectorAll('[data-testid=stSidebarNav] a')].map(a => a.innerText.trim())"
        )
        names = browser.execute_script(navigation)
        assert any("Explore" in name for name in names)
        field.send_keys(TOKEN + "\n")
        waiting.until(lambda driver: driver.find_elements(By.TAG_NAME, "h1"))
        waiting.until(lambda driver: driver.find_element(By.TAG_NAME, "h1").text in {"Results", "Pair"})
        waiting.until(lambda driver: any(each["name"].startswith("mars_") for each in driver.get_cookies()))
        (kept,) = [each for each in browser.get_cookies() if each["name"].startswith("mars_")]
        assert TOKEN not in kept["value"]
        assert kept["sameSite"] == "Strict"
        browser.get(f"{address}/{page}")
        waiting.until(lambda driver: driver.find_elements(By.TAG_NAME, "h1"))
        waiting.until(lambda driver: driver.find_element(By.TAG_NAME, "h1").text in {"Results", "Pair"})
        assert not browser.find_elements(By.CSS_SELECTOR, "input[type=password]")
        browser.add_cookie({"name": kept["name"], "value": "0" * len(kept["value"]), "path": "/"})
        browser.get(f"{address}/{page}")
        waiting.until(lambda driver: driver.find_element(By.CSS_SELECTOR, "input[type=password]"))
