"""axe-core finds no serious violation on the pages' own elements."""

import os
import re
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


IS_DRAWN = """
return document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
  && !document.querySelector('[data-testid=stStatusWidget]') && !!document.querySelector('h1')
  && !document.querySelector('[data-testid=stSkeleton]')
  && document.getAnimations().every(each => each.playState !== 'running');
"""
"""The page's script has ended, all its parts are loaded (its own styles come with one of them), and nothing fades."""

READING = (
    "check?who=axe",
    "review?who=axe&set=unread",
    "review?who=axe&set=unread&view=Grid",
    f"pair?id={make_pairs(1)[0].id}",
    f"explore?id={make_pairs(1)[0].id}&colour=label",
    "present?present=1&step=gain",
)
"""Pages with what they are there for: a card to read, many small ones, a pair."""


def contrast(first: str, second: str) -> float:
    """The ratio of contrast of two colours as a browser writes them, "rgb(r, g, b)", by WCAG 2."""

    def luminance(colour: str) -> float:
        channels = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_words_of_primary_buttons_can_be_read_enabled_and_disabled(address, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{address}/settings")
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(IS_DRAWN))
    enabled, disabled = browser.execute_script(
        """
        const button = document.querySelector('[data-testid^=stBaseButton-primary]'), words = button.querySelector('p');
        const page = getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor;
        const enabled = [getComputedStyle(words).color, getComputedStyle(button).backgroundColor];
        button.disabled = true;
        return [enabled, [getComputedStyle(words).color, page]];
        """
    )
    assert contrast(*enabled) >= 4.5
    assert contrast(*disabled) > 1.5, "they are written in the page's own colour"


@pytest.mark.parametrize("page", [*PAGES, *READING])
def test_no_serious_violation(page, address, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address if page == "overview" else f"{address}/{page}")
    WebDriverWait(browser, 60).until(lambda driver: driver.find_elements(By.TAG_NAME, "h1"))
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(IS_DRAWN))
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
