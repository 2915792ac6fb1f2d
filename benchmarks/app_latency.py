"""How quickly the app answers on a large workspace, in a real headless Chromium: medians and 95th percentiles.

    python -m benchmarks.app_latency [--pairs 100000] [--decisions 200] [--data ../shared/data] [--workspace FOLDER]

Needs the test requirements, Debian's chromium and chromium-driver. The workspace is made anew, or taken from --workspace
where an earlier run left one (see benchmarks/large_workspace.py). The times include the browser's own drawing.
"""

import base64
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.large_workspace import make_large_workspace
from mars_engine.assembly.workspace import find_workspace, open_workspace_store

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "pages"))

ANNOTATOR = "latency"
SECONDS_A_KEY = 0.15
LIMITS = {
    "first page": 4000.0,
    "key to next card painted": 50.0,
    "key to event in the database": 500.0,
    "filter to all views": 1000.0,
    "brush to all views": 1000.0,
}
"""Milliseconds that the 95th percentile may take."""


@dataclass
class Timings:
    """Milliseconds of each kind of answer, and what the server weighs."""

    pairs: int
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    server_mb: float = 0.0
    loads_torch: bool = False
    map_payload_mb: float = 0.0

    def add(self, name: str, *values: float) -> None:
        self.milliseconds.setdefault(name, []).extend(values)

    def p95(self, name: str) -> float:
        return percentile(self.milliseconds[name], 0.95)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(workspace: Path, *, pairs: int, decisions: int, brushes: int) -> Timings:
    """Serve a workspace and measure it as one person uses it; nothing else should be running."""
    from browsing import open_browser
    from serving_app import serve

    timings = Timings(pairs)
    mars = [sys.executable, "-m", "mars_engine.assembly.cli"]
    with serve(mars, workspace, environment=os.environ, folder=workspace.parent) as address:
        with open_browser(log_network=True) as browser:
            timings.add("first page", _first_page(browser, address))
            _measure_explore(browser, address, timings, brushes)
        with open_browser() as browser:
            _measure_review(browser, address, workspace, timings, decisions)
        server = _server(address)
        timings.server_mb = server.memory_info().rss / 1e6
        timings.loads_torch = any("libtorch" in mapped.path for mapped in server.memory_maps())
    return timings


def _server(address: str) -> psutil.Process:
    port = int(address.rsplit(":", 1)[1])
    for connection in psutil.net_connections(kind="tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            return psutil.Process(connection.pid)
    raise RuntimeError(f"nobody listens on {address}")


def _wait(is_so: Callable[[], Any], *, seconds: float = 60) -> None:
    deadline = time.perf_counter() + seconds
    while not is_so():
        if time.perf_counter() > deadline:
            raise TimeoutError("the page did not answer")
        time.sleep(0.005)


def _first_page(browser: Any, address: str) -> float:
    started = time.perf_counter()
    browser.get(address)
    _wait(lambda: browser.execute_script("return document.body.innerText.includes('proposed') && !!document.querySelector('.js-plotly-plot')"))
    _wait(lambda: is_idle(browser))
    return (time.perf_counter() - started) * 1000


def is_idle(browser: Any) -> bool:
    """Whether the script of the page has run to its end."""
    return bool(browser.execute_script("return document.querySelector('[data-test-script-state]')?.dataset.testScriptState !== 'running'"))


def _measure_review(browser: Any, address: str, workspace: Path, timings: Timings, decisions: int) -> None:
    from card_driving import CardDriver

    card = CardDriver(browser)
    card.open(f"{address}/review?who={ANNOTATOR}")
    for number in range(decisions):
        card.press("ax"[number % 2])
        time.sleep(SECONDS_A_KEY)
    card.wait_until_saved()
    timings.add("key to next card painted", *card.paint_times())
    with open_workspace_store(find_workspace(workspace)) as store:
        events = [each for events in store.reviews.events("proposal").values() for each in events]
    saved = [each for each in events if each.annotator == ANNOTATOR][-decisions:]
    # A sequence number is the moment of the key in microseconds, and `at` the moment of the transaction.
    timings.add("key to event in the database", *((each.at.timestamp() - each.sequence / 1e6) * 1000 for each in saved))
    if len(saved) != decisions:
        raise RuntimeError(f"{decisions} keys gave {len(saved)} events")
