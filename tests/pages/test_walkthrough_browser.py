"""From an empty workspace to a trained probe, in the browser alone; its pictures stand in the README.

With MARS_SCREENSHOTS naming a folder the pictures are kept there, and show a round of the default budget.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import open_browser
from card_driving import CardDriver
from serving_app import MARS, serve

from mars_engine.core.config import AllocationConfig, MarsConfig
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

pytestmark = [pytest.mark.browser, pytest.mark.model]

CHECKS = "rfrra"
REVIEWS = "aaxa12aaxa"
SMALL_ROUND = MarsConfig(allocation=AllocationConfig(budget=60))


class Visitor:
    """Somebody who uses the app, and takes a picture now and then."""

    def __init__(self, browser: Any, address: str, pictures: Path) -> None:
        self.browser, self.address, self.pictures = browser, address, pictures
        self.card = CardDriver(browser)

    @property
    def text(self) -> str:
        return str(
            self.browser.execute_script("return document.querySelector('[data-testid=stMain]')?.innerText || ''")
        )

    def wait(self, is_so: Callable[[], Any], what: str, *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"after {seconds} s still not: {what}; the page says: {self.text}"
            time.sleep(0.2)

    def open(self, page: str, words: str) -> None:
        self.browser.get(f"{self.address}/{page}")
        self.wait(lambda: words in self.text, words)

    def click(self, label: str, *, among: str = "button") -> None:
        named = "b => b.innerText.trim().endsWith(arguments[0])"
        find = f"return [...document.querySelectorAll('{among}')].filter({named}).pop()"
        self.wait(lambda: self.browser.execute_script(find, label), f"a button {label!r}")
        self.browser.execute_script("arguments[0].click()", self.browser.execute_script(find, label))

    def picture(self, name: str) -> None:
        settled = (
            "const empty = [...document.querySelectorAll('[data-testid=stPlotlyChart]')].filter(chart => "
            "!chart.querySelector('.main-svg')); return !document.querySelector('[data-testid=stSkeleton]') && "
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning' && !empty.length"
        )
        self.wait(lambda: self.browser.execute_script(settled), "the page has settled")
        time.sleep(1)  # figures fade in
        assert self.browser.save_screenshot(str(self.pictures / f"{name}.png"))


def test_from_an_empty_workspace_to_a_trained_probe(tmp_path, finished_demo):
    kept = os.environ.get("MARS_SCREENSHOTS")
    pictures = Path(kept or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    root = create_workspace(tmp_path / "workspace", MarsConfig() if kept else SMALL_ROUND).root
    # The demo has embedded the same pairs; what the round's proposals say is embedded here.
    shutil.copytree(finished_demo / "workspace" / "artifacts" / "embeddings", root / "artifacts" / "embeddings")
    with serve(MARS, root, environment=os.environ, folder=tmp_path) as address, open_browser() as browser:
        downloads = {"behavior": "allow", "downloadPath": str(tmp_path / "downloads")}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
        visitor = Visitor(browser, address, pictures)

        visitor.open("", "no training pairs yet")
        visitor.picture("empty")
        visitor.click("Import the demo pairs")
        visitor.wait(lambda: "Open the round" in visitor.text, "the demo pairs are there", seconds=120)
        visitor.click("Open the round")
        visitor.wait(lambda: "wait for a decision" in visitor.text, "the round is open", seconds=400)
        visitor.picture("overview")
        visitor.open("explore", "pairs selected")
        visitor.click("Make the map")
        visitor.wait(
            lambda: "There is no map" not in visitor.text and "At work" not in visitor.text, "a map", seconds=300
        )
        visitor.picture("explore")

        visitor.card.open(f"{address}/check?who=ada")
        visitor.picture("check")
        for key in CHECKS:
            visitor.card.press_next(key)
        visitor.card.wait_until_saved()

        visitor.card.open(f"{address}/review?who=ada")
        visitor.picture("review")
        for key in REVIEWS:
            visitor.card.press_next(key)
        visitor.card.wait_until_saved()

        visitor.open("train", "Close the round and retrain")
        # What is chosen above has the name of the button that starts it, and is there before it.
        visitor.click("Close the round and retrain", among=".st-key-start button")
        visitor.wait(lambda: "finished: close-round" in visitor.text, "the round is closed", seconds=300)
        visitor.picture("train")

        visitor.open("results", "Held-out accuracy")
        visitor.picture("results")
        visitor.click("Report (one HTML file)")
        report = tmp_path / "downloads" / "mars-report.html"
        visitor.wait(report.exists, "the report is downloaded")
        page = report.read_text(encoding="utf-8")
        assert page.lower().startswith("<!doctype html>")
        assert "held-out pairs" in page

    with open_workspace_store(find_workspace(root)) as store:
        checks = [event for events in store.reviews.events("pair").values() for event in events]
        reviews = [event for events in store.reviews.events("proposal").values() for event in events]
        assert len(checks) == len(CHECKS)
        assert len(reviews) == len(REVIEWS)
        assert {event.annotator for event in [*checks, *reviews]} == {"ada"}
        assert store.models.latest().round == 1
        assert all(run.state == "finished" for run in store.runs.all())
