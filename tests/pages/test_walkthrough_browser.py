"""A stranger in the finished demo, by keyboard alone: ten decisions, a round closed, its result, its report."""

import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest
from browsing import open_browser
from card_driving import CardDriver
from serving_app import MARS, serve

from mars_engine.workspace.workspace import find_workspace, open_workspace_store
from pages.parts.frame.sign_in import offered_name

pytestmark = [pytest.mark.browser, pytest.mark.model]

REVIEWS = "aaxaa12aax"
SECONDS_TO_THE_FIRST_DECISION = 60
MOST_TABS = 12
"""To what a page is there for, from where its keys begin."""

FOCUSED = """
let at = document.activeElement;
while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
const style = getComputedStyle(at);
return {
  words: (at.getAttribute('aria-label') || at.innerText || at.value || '').trim(),
  is_there: !arguments[0] || at.matches(arguments[0]),
  is_seen: (style.outlineStyle !== 'none' && style.outlineWidth !== '0px') || style.boxShadow !== 'none',
};
"""
"""What has the focus, whether a selector matches it, and whether a ring around it shows that."""

SETTLED = """
return !document.querySelector('[data-testid=stSkeleton]') &&
  document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning';
"""


class Keyboard:
    """Somebody without a mouse."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    @property
    def text(self) -> str:
        return str(
            self.browser.execute_script("return document.querySelector('[data-testid=stMain]')?.innerText || ''")
        )

    def wait(self, is_so: Callable[[], Any], what: str, *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"after {seconds} s still not: {what}; the page says: {self.text}"
            time.sleep(0.1)

    def wait_for(self, words: str, *, seconds: float = 60) -> None:
        """Wait until the page says these words and has settled."""
        self.wait(lambda: words in self.text and self.browser.execute_script(SETTLED), words, seconds=seconds)

    def wait_for_page(self, words: str) -> None:
        """Wait for another page, from whose beginning keys go on."""
        self.wait_for(words)
        self.wait(lambda: self.focused("#stMain")["is_there"], "keys begin at the page", seconds=5)

    def focused(self, among: str = "") -> dict[str, Any]:
        return dict(self.browser.execute_script(FOCUSED, among))

    def tab_to(self, words: str, *, among: str = "") -> None:
        """Press Tab until what says these words has the focus, soon enough and with a ring around it."""
        passed = []
        for _ in range(MOST_TABS):
            self.press("\ue004")
            focused = self.focused(among)
            passed.append(focused["words"])
            if words in focused["words"] and focused["is_there"]:
                assert focused["is_seen"], f"{words!r} has the focus, and nothing shows it"
                return
        raise AssertionError(f"{MOST_TABS} times Tab led to {passed}, not to {words!r}")

    def enter(self) -> None:
        self.press("\ue007")

    def press(self, key: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser, duration=0).send_keys(key).perform()

    def errors(self) -> list[str]:
        """What the browser's console calls an error; Streamlit looks for its server below each page first."""
        log = self.browser.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE" and "_stcore" not in entry["message"]]


def test_a_stranger_decides_closes_the_round_and_takes_its_report_by_keyboard_alone(tmp_path, finished_demo):
    root = tmp_path / "workspace"
    shutil.copytree(finished_demo / "workspace", root)
    with serve(MARS, root, environment=os.environ, folder=tmp_path) as address, open_browser() as browser:
        downloads = {"behavior": "allow", "downloadPath": str(tmp_path / "downloads")}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
        keyboard, card = Keyboard(browser), CardDriver(browser)

        opened = time.monotonic()
        browser.get(address)
        keyboard.wait_for("wait for a decision")
        keyboard.tab_to("Skip to main content")
        keyboard.enter()
        keyboard.tab_to("Review proposals", among="button")
        keyboard.enter()
        card.wait_for_card()
        card.press_next(REVIEWS[0])
        assert time.monotonic() - opened < SECONDS_TO_THE_FIRST_DECISION

        for key in REVIEWS[1:-1]:
            card.press_next(key)
        keyboard.wait_for("Decisions counted", seconds=120)  # a first refit, before which there is none
        card.press_next(REVIEWS[-1])
        card.wait(lambda: "Last: rejected. Its margin, refitted: " in card.text(".banner"), "how it moved", seconds=120)
        card.wait_until_saved()
        keyboard.tab_to("Train on what is accepted")
        keyboard.enter()

        keyboard.wait_for_page("Wait for review")
        # What is chosen above has the name of the button that starts it.
        keyboard.tab_to("Close the round and retrain", among=".st-key-start button")
        keyboard.enter()
        keyboard.wait_for("finished: close-round", seconds=300)
        assert keyboard.focused(".st-key-start button")["is_there"]
        keyboard.tab_to("See what the last round gained")
        keyboard.enter()

        keyboard.wait_for_page("The reward model “signed round 1” ranks")
        keyboard.tab_to("Report (one HTML file)")
        keyboard.enter()
        report = tmp_path / "downloads" / "mars-report.html"
        keyboard.wait(report.exists, "the report is downloaded")
        page = report.read_text(encoding="utf-8")
        assert page.lower().startswith("<!doctype html>")
        assert "held-out pairs" in page
        assert not keyboard.errors()

    with open_workspace_store(find_workspace(root)) as store:
        events = [event for each in store.reviews.events("proposal").values() for event in each]
        assert len([event for event in events if event.annotator == offered_name()]) == len(REVIEWS)
        assert store.models.latest().round == 1
        assert [run.state for run in store.runs.all() if run.kind == "close-round"] == ["finished"]
