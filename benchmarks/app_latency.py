"""How quickly the app answers on a large workspace, in a real headless Chromium: medians and 95th percentiles.

    python -m benchmarks.app_latency [--pairs 100000] [--decisions 200] [--data ../shared/data] [--workspace FOLDER]
                                     [--order gain]

Needs the test requirements, and chromium with chromium-driver. The workspace is made anew, or taken from --workspace
where an earlier run left one (see benchmarks/large_workspace.py). Nothing else should be running.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.large_workspace import make_large_workspace
from mars_engine.curate.reading import ORDERS
from mars_engine.store import Store
from mars_engine.workspace.workspace import CONFIG_FILE, find_workspace, open_workspace_store

TESTS = Path(__file__).resolve().parents[1] / "tests"
"""The tests know how to serve the app and drive the card; what they use is used here."""

ANNOTATOR = "latency"
SECONDS_A_KEY = 0.15
FIRST_PAGE, PAINT, SAVE, FILTER, BRUSH = (
    "first page",
    "key to next card painted",
    "key to event in the database",
    "filter to all views",
    "brush to all views",
)
LIMITS = {FIRST_PAGE: 4000.0, PAINT: 50.0, SAVE: 500.0, FILTER: 1000.0, BRUSH: 1000.0}
"""Milliseconds that the 95th percentile may take."""

QUADRANTS = ("hard and close", "hard and apart", "easy and close", "easy and apart")


@dataclass
class Timings:
    """Milliseconds of each kind of answer, and what the server weighs."""

    pairs: int
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    server_mb: float = 0.0
    loads_torch: bool = False
    explore_mb: float = 0.0
    """What the server sent until Explore was drawn."""
    first_order_seconds: float = 0.0
    """Until the first order by expected gain was made in the background, where that was asked for."""

    def add(self, name: str, *values: float) -> None:
        self.milliseconds.setdefault(name, []).extend(values)

    def p95(self, name: str) -> float:
        return percentile(self.milliseconds[name], 0.95)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(workspace: Path, *, pairs: int, decisions: int, changes: int, order: str) -> Timings:
    """Serve a workspace and measure it as one person uses it, who reads proposals in this order."""
    sys.path[:0] = [str(TESTS), str(TESTS / "pages")]
    from browsing import start_browser
    from serving_app import serve

    timings = Timings(pairs)
    mars = [sys.executable, "-m", "mars_engine.cli.main"]
    with serve(mars, workspace, environment=os.environ, folder=workspace.parent) as address:
        with start_browser() as browser:
            _measure_pages(browser, address, timings, changes)
        with start_browser() as browser:
            _measure_review(browser, address, workspace, timings, decisions, order)
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


def _seconds_until(is_so: Callable[[], Any], *, since: float, most: float = 60) -> float:
    while not is_so():
        if time.perf_counter() - since > most:
            raise TimeoutError("the page did not answer")
        time.sleep(0.005)
    return time.perf_counter() - since


COUNT_RECEIVED = """
window.received = 0;
window.WebSocket = class extends WebSocket {
  constructor(...how) {
    super(...how);
    this.addEventListener('message', ({data}) => { window.received += data.byteLength ?? data.size ?? data.length; });
  }
};
"""
"""Counts the bytes that the server sends."""


def _is_settled(browser: Any) -> bool:
    """Whether the page's script has run to its end."""
    script = "return document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
    return bool(browser.execute_script(script))


def _selected(browser: Any) -> str:
    """The line that says how many pairs are selected."""
    script = (
        "return [...document.querySelectorAll('h2, h3')].map(each => each.innerText).find(t => t.includes(' selected'))"
    )
    return str(browser.execute_script(script) or "")


DRAWN = "return document.querySelectorAll('.js-plotly-plot .main-svg').length > 0"


def _open_explore(browser: Any, address: str) -> None:
    started = time.perf_counter()
    browser.get(f"{address}/explore")
    _seconds_until(lambda: _selected(browser) and browser.execute_script(DRAWN) and _is_settled(browser), since=started)
    time.sleep(2)
    browser.execute_script(WATCH)


def _measure_pages(browser: Any, address: str, timings: Timings, changes: int) -> None:
    """The first page of a server that has just started, then filters and brushes on Explore."""
    started = time.perf_counter()
    browser.get(address)
    seconds = _seconds_until(lambda: browser.execute_script(DRAWN) and _is_settled(browser), since=started)
    timings.add(FIRST_PAGE, seconds * 1000)
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": COUNT_RECEIVED})
    _open_explore(browser, address)
    timings.explore_mb = float(browser.execute_script("return window.received")) / 1e6
    for number in range(changes):
        timings.add(FILTER, _change(browser, lambda: _click(browser, QUADRANTS[number % len(QUADRANTS)])))  # noqa: B023
    _open_explore(browser, address)
    for number in range(changes):
        timings.add(BRUSH, _change(browser, lambda: _brush(browser, 0.1 + 0.02 * number)))  # noqa: B023


WATCH = """
const headings = () => [...document.querySelectorAll('h2, h3')].map(each => each.innerText);
const selected = () => headings().find(text => text.includes(' selected'));
const idle = () => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning';
window.answers = [];
let last = 0;
const begin = () => {
  if (performance.now() - last < 200) return;  // the same release, told as another kind of event
  const started = last = performance.now(), before = selected();
  const look = () => {
    if (performance.now() - started > 30000) return;
    if (selected() === before || !idle()) requestAnimationFrame(look);
    else requestAnimationFrame(() => requestAnimationFrame(() => window.answers.push(performance.now() - started)));
  };
  requestAnimationFrame(look);
};
for (const name of ['pointerup', 'touchend', 'mouseup']) window.addEventListener(name, begin, true);
"""
"""Times each change in the page itself, from letting go of the mouse to the second frame after all has been drawn."""


def _change(browser: Any, act: Callable[[], None]) -> float:
    """Milliseconds from letting go of the mouse until another number is selected and all is drawn."""
    known = int(browser.execute_script("return window.answers.length"))
    act()
    started = time.perf_counter()
    while int(browser.execute_script("return window.answers.length")) == known:
        if time.perf_counter() - started > 30:
            raise TimeoutError("the page did not answer")
        time.sleep(0.2)
    time.sleep(0.3)
    return float(browser.execute_script("return window.answers.at(-1)"))


def _click(browser: Any, label: str) -> None:
    """Press a button by the mouse."""
    from selenium.webdriver.common.action_chains import ActionChains

    named = "return [...document.querySelectorAll('button')].find(each => each.innerText.trim() === arguments[0])"
    button = browser.execute_script(named, label)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    ActionChains(browser, duration=20).move_to_element(button).click().perform()


def _brush(browser: Any, start: float) -> None:
    """Drag across the margin histogram."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    area = browser.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .nsewdrag")[-1]  # below the map and the plane
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", area)
    width = area.size["width"]
    drag = ActionChains(browser, duration=20)
    drag.move_to_element_with_offset(area, int(width * (start - 0.5)), 0).click_and_hold()
    drag.move_by_offset(int(width * 0.15), 10).move_by_offset(int(width * 0.1), 5).release().perform()


def _measure_review(browser: Any, address: str, workspace: Path, timings: Timings, decisions: int, order: str) -> None:
    from card_driving import CardDriver

    card = CardDriver(browser)
    card.open(f"{address}/review?who={ANNOTATOR}&order={order}")
    if order == "gain":
        started = time.perf_counter()
        says = "return document.querySelector('[data-testid=stMain]')?.innerText.includes('one after another')"
        timings.first_order_seconds = _seconds_until(lambda: browser.execute_script(says), since=started, most=300)
    with open_workspace_store(find_workspace(workspace)) as store:
        watch = _Watch(store)
        watch.start()
        for number in range(decisions):
            card.press("ax"[number % 2])
            time.sleep(SECONDS_A_KEY)
        card.wait_until_saved()
        watch.stop()
    paints = card.paint_times()
    if (len(paints), len(watch.seen)) != (decisions, decisions):
        raise RuntimeError(f"{decisions} keys: {len(paints)} cards painted, {len(watch.seen)} events stored")
    timings.add(PAINT, *paints)
    # A sequence number is the moment of the key in microseconds.
    timings.add(SAVE, *((seen - sequence / 1e6) * 1000 for sequence, seen in watch.seen.items()))


class _Watch(threading.Thread):
    """Looks into the database from outside, and notes when each new event is there to be read."""

    def __init__(self, store: Store) -> None:
        super().__init__(daemon=True)
        self._store = store
        self._last = max((mark.row for mark in store.reviews.marks("proposal", after=0)), default=0)
        self._is_over = threading.Event()
        self.seen: dict[int, float] = {}

    def run(self) -> None:
        while not self._is_over.wait(0.01):
            self._look()

    def stop(self) -> None:
        self._is_over.set()
        self.join()
        self._look()

    def _look(self) -> None:
        marks = list(self._store.reviews.marks("proposal", after=self._last))
        now = time.time()
        for mark in marks:
            self._last = mark.row
            if mark.annotator == ANNOTATOR:
                self.seen[mark.sequence] = now


def show(timings: Timings) -> None:
    """Print a line for each kind of answer."""
    click.echo(f"{timings.pairs:,} pairs, milliseconds")
    click.echo(f"{'':32}{'n':>5}{'median':>9}{'p95':>9}{'limit':>9}")
    for name, values in timings.milliseconds.items():
        figures = f"{statistics.median(values):9.0f}{timings.p95(name):9.0f}{LIMITS[name]:9.0f}"
        click.echo(f"{name:32}{len(values):5}{figures}")
    click.echo(f"sent until Explore was drawn: {timings.explore_mb:.2f} MB")
    if timings.first_order_seconds:
        click.echo(f"first order by expected gain after {timings.first_order_seconds:.1f} s, in the background")
    click.echo(f"server: {timings.server_mb:.0f} MB, torch {'loaded' if timings.loads_torch else 'not loaded'}")


@click.command(help=__doc__)
@click.option("--pairs", type=click.IntRange(1000), default=100_000, show_default=True)
@click.option("--decisions", type=click.IntRange(1), default=200, show_default=True)
@click.option("--changes", type=click.IntRange(1), default=20, show_default=True, help="Filters, and as many brushes.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with real pairs. [default: the demo pairs]")
@click.option("--workspace", type=click.Path(path_type=Path, file_okay=False), help="Keep the workspace here.")
@click.option("--order", type=click.Choice(ORDERS["proposal"]), default="plan", show_default=True, help="Of Review.")
def main(pairs: int, decisions: int, changes: int, data: Path | None, workspace: Path | None, order: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = workspace or Path(folder) / "workspace"
        if not (root / CONFIG_FILE).exists():
            make_large_workspace(root, pairs=pairs, proposals=max(1000, pairs // 5), data=data)
        timings = measure(root, pairs=pairs, decisions=decisions, changes=changes, order=order)
    show(timings)
    sys.exit(any(timings.p95(name) > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    main()
