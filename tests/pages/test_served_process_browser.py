"""The process that serves the pages: light, and without the models' libraries, whatever was opened."""

import os
import sys

import psutil
import pytest
from app_workspaces import PAGES, make_workspace
from browsing import open_browser
from explore_workspaces import add_map
from fakes import make_pairs
from serving_app import AppServer

pytestmark = pytest.mark.browser

MOST_BYTES = 500_000_000
MODELS = ("libtorch", "transformers", "sentence_transformers", "numba", "datasets")
"""Parts of the names of files that a process has mapped or opened once it has loaded these libraries."""


def test_no_page_loads_a_models_library(tmp_path):
    root = make_workspace(tmp_path / "workspace", "complete")
    add_map(root)
    mars = [sys.executable, "-m", "mars_engine.cli.main"]
    server = AppServer(mars, root, environment=os.environ, folder=tmp_path)
    server.start()
    try:
        with open_browser() as browser:
            for page in (
                "",
                *PAGES[1:-1],
                "check?who=ann",
                "review?who=ann&set=unread",
                f"pair?id={make_pairs(1)[0].id}",
            ):
                _open(browser, f"{server.address}/{page}")
        process = psutil.Process(server.process.pid)
        mapped = {each.path for each in process.memory_maps()}
        assert any("numpy" in path for path in mapped)
        assert not [path for path in mapped if any(name in path for name in MODELS)]
        assert process.memory_info().rss < MOST_BYTES
    finally:
        server.stop()


def _open(browser, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address)
    WebDriverWait(browser, 60).until(lambda driver: driver.find_elements(By.TAG_NAME, "h1"))
    settled = "return document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(settled))
