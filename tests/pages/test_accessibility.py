"""axe-core finds no serious violation on the pages' own elements."""

import os
from pathlib import Path

import pytest
from app_workspaces import PAGES, make_workspace
from browsing import LARGE, SMALL, open_browser
from fakes import make_pairs
from serving_app import MARS, serve

pytestmark = pytest.mark.browser

AXE = Path(__file__).resolve().parents[2] / ".cache" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
NOT_OURS = ["[data-testid='stHeader']", "[data-testid='stSidebar']", ".modebar", "[data-testid='stDataFrame']"]
"""Streamlit's and plotly's own furniture, which no page of ours can change."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = make_workspace(tmp_path_factory.mktemp("served") / "workspace", "complete")
    with serve(MARS, root, environment=os.environ, folder=root.parent) as served:
        yield served


@pytest.fixture(scope="module", params=[("light", LARGE), ("dark", SMALL)], ids=["light and large", "dark and small"])
def browser(request):
    if not AXE.is_file():
        pytest.skip("axe-core is not there: npm install --prefix .cache/axe axe-core@4.11.0")
    scheme, size = request.param
    with open_browser(size) as driver:
        preference = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
        yield driver


READING = (
    "check?who=axe",
    "review?who=axe&set=unread",
    "review?who=axe&set=unread&view=Grid",
    f"pair?id={make_pairs(1)[0].id}",
    f"explore?id={make_pairs(1)[0].id}&colour=label",
    "present?present=1&step=gain",
)
"""Pages with what they are there for: a card to read, many small ones, a pair."""


@pytest.mark.parametrize("page", [*PAGES, *READING])
def test_no_serious_violation(page, address, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address if page == "overview" else f"{address}/{page}")
    WebDriverWait(browser, 60).until(lambda driver: driver.find_elements(By.TAG_NAME, "h1"))
    idle = "return !document.querySelector('[data-testid=stStatusWidget]') && document.querySelector('h1') !== null"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(idle))
    if "who=" in page:
        deck = (
            "return document.querySelector('[data-testid=stBidiComponentIsolated]')?.shadowRoot?.querySelector('.deck')"
        )
        WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(deck))
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run({exclude: arguments[0].map(each => [each])}).then(found => done(found.violations));",
        NOT_OURS,
    )
    serious = [
        (violation["id"], violation["help"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found
        if violation["impact"] in {"serious", "critical"}
    ]
    assert not serious
