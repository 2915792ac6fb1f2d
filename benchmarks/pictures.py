"""The README's pictures and its recording of half a minute, of any workspace, in a real headless Chromium.

    python -m benchmarks.pictures WORKSPACE [--into docs/screenshots] [--every-page FOLDER] [--no-recording]

Needs the test requirements, and chromium with chromium-driver. It works on a copy of the workspace: what it decides
there to show a card leaves no trace. --every-page takes each page at both sizes, light and dark, to be looked at.
"""

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from PIL import Image

from mars_engine.evaluate.story import TITLES
from mars_engine.store import Store
from mars_engine.workspace.workspace import find_workspace, open_workspace_store

TESTS = Path(__file__).resolve().parents[1] / "tests"
"""The tests know how to serve the app and drive the card; what they use is used here."""

LARGE, SMALL = (1440, 900), (390, 844)
README_PAGES = {
    "overview": "",
    "explore": "explore",
    "check": "check?who=visitor",
    "review": "review?who=visitor",
    "train": "train",
    "results": "results",
    "present": "present?present=1&step=gain",
}
"""Pictures of the README, and their addresses."""
OTHER_PAGES = {
    "check-unnamed": "check",
    "review-grid": "review?who=visitor&view=Grid",
    "people": "people",
    "align": "align",
    "align-follow": "align?part=Runs+and+policies",
    "align-compare": "align?part=Compare+blind",
    "data": "data",
    "data-import": "data?section=Import",
    "data-export": "data?section=Export",
    "settings": "settings",
}
RECORDED_WIDTH = 960
RECORDING = "tour.webp"
PATIENCE = 60.0
"""Seconds that a page may take."""

IS_DRAWN = """
const empty = [...document.querySelectorAll('[data-testid=stPlotlyChart]')].filter(each =>
  !each.querySelector('.main-svg'));
return document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
  && !!document.querySelector('h1') && !document.querySelector('[data-testid=stSkeleton]') && !empty.length;
"""
NEAREST_POINT = """
const plot = document.querySelector('.js-plotly-plot'), {xaxis, yaxis} = plot._fullLayout;
const {left, top} = plot.querySelector('.nsewdrag').getBoundingClientRect();
const points = plot._fullData.filter(trace => trace.customdata).flatMap(trace => Array.from(trace.x).map(
  (x, at) => [xaxis.d2p(x), yaxis.d2p(trace.y[at])]));
const far = ([x, y]) => Math.hypot(x - xaxis._length / 2, y - yaxis._length / 2);
const [x, y] = points.sort((one, other) => far(one) - far(other))[0] ?? [];
return x === undefined ? null : [Math.round(left + x), Math.round(top + y)];
"""
"""Where on the screen the point nearest to the map's middle stands."""


@dataclass
class Recording:
    """Frames, and how long each is shown."""

    frames: list[Image.Image] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, picture: bytes, seconds: float) -> None:
        frame = Image.open(io.BytesIO(picture)).convert("RGB")
        height = round(frame.height * RECORDED_WIDTH / frame.width)
        self.frames.append(frame.resize((RECORDED_WIDTH, height), Image.Resampling.LANCZOS))
        self.seconds.append(seconds)

    def save(self, path: Path) -> None:
        first, *rest = self.frames
        durations = [round(1000 * each) for each in self.seconds]
        first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, quality=70, method=6)


class Camera:
    """A browser that opens pages, waits until they are drawn, and takes pictures of them."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser, self.address = browser, address

    def wait(self, is_so: Callable[[], Any], what: str) -> None:
        """Wait until something is so.

        Raises:
            click.ClickException: it is not within `PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > deadline:
                raise click.ClickException(f"after {PATIENCE:.0f} s still not: {what}, at {self.browser.current_url}")
            time.sleep(0.1)

    def open(self, page: str) -> None:
        self.browser.get(f"{self.address}/{page}")
        self.settle()

    def settle(self) -> None:
        """Wait until the page is drawn, and figures and cards have faded in."""
        self.wait(lambda: self.browser.execute_script(IS_DRAWN), "the page is drawn")
        time.sleep(1.0)

    def picture(self) -> bytes:
        return bytes(self.browser.get_screenshot_as_png())

    @property
    def title(self) -> str:
        return str(self.browser.execute_script("return document.querySelector('h1')?.innerText || ''"))

    def wait_for_title(self, title: str) -> None:
        self.wait(lambda: self.title == title, f"the page is {title!r}")

    def press(self, key: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(key).perform()

    def point_at(self, place: Sequence[int], *, click: bool) -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        hand: Any = ActionBuilder(self.browser)
        hand.pointer_action.move_to_location(*place)
        if click:
            hand.pointer_action.click()
        hand.perform()
        ActionChains(self.browser).pause(0.5).perform()


@contextmanager
def camera(address: str, size: tuple[int, int], scheme: str = "light") -> Iterator[Camera]:
    """A browser of a size, in the light or the dark theme."""
    from browsing import start_browser

    with start_browser(size) as browser:
        preference = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
        yield Camera(browser, address)


def take_readme_pictures(address: str, into: Path) -> list[Path]:
    """Take the README's pictures; the files written."""
    written = []
    with camera(address, LARGE) as lens:
        for name, page in README_PAGES.items():
            lens.open(page)
            written.append(into / f"{name}.png")
            Image.open(io.BytesIO(lens.picture())).convert("RGB").quantize(256).save(written[-1], optimize=True)
    return written


def pages_of(store: Store) -> dict[str, str]:
    """All pages and the story's steps, and a pair where there is one: their addresses by the pictures' names."""
    steps = {f"present-{key}": f"present?present=1&step={key}" for key in TITLES}
    pages = README_PAGES | OTHER_PAGES | steps
    if pairs := store.pairs.pairs("train")[:1]:
        pages = pages | {"pair": f"pair?id={pairs[0].id}", "explore-pair": f"explore?id={pairs[0].id}"}
    return pages


def take_every_page(address: str, store: Store, folder: Path) -> int:
    """Take each page at both sizes, light and dark; how many pictures."""
    pages = pages_of(store)
    folder.mkdir(parents=True, exist_ok=True)
    for label, size in (("large", LARGE), ("small", SMALL)):
        for scheme in ("light", "dark"):
            with camera(address, size, scheme) as lens:
                for name, page in pages.items():
                    lens.open(page)
                    (folder / f"{name}-{label}-{scheme}.png").write_bytes(lens.picture())
    return 4 * len(pages)


def record(address: str) -> Recording:
    """Walk through the app as a visitor does: overview, a pair beside the map, decisions by key, the story."""
    from card_driving import CardDriver
    from selenium.webdriver.common.keys import Keys

    film = Recording()
    with camera(address, LARGE) as lens:
        lens.open("")
        film.add(lens.picture(), 3.0)
        lens.open("explore")
        film.add(lens.picture(), 2.0)
        if place := lens.browser.execute_script(NEAREST_POINT):
            lens.point_at(place, click=False)
            film.add(lens.picture(), 2.0)
            lens.point_at(place, click=True)
            opened = "return !!document.querySelector('.st-key-pair-beside')"
            lens.wait(lambda: lens.browser.execute_script(opened), "the pair is open beside the map")
            lens.settle()
            film.add(lens.picture(), 3.0)
    with camera(address, LARGE) as lens:
        card = CardDriver(lens.browser)
        for page, keys in (("check", "rfr"), ("review", "aax")):
            lens.open(f"{page}?who=visitor")
            film.add(lens.picture(), 2.0)
            for key in keys:
                if not card.painted:
                    break
                lens.press(key)
                lens.settle()
                film.add(lens.picture(), 1.0)
        lens.open("present?present=1")
        film.add(lens.picture(), 1.5)
        for title in list(TITLES.values())[1:]:
            lens.press(Keys.ARROW_RIGHT)
            lens.wait_for_title(title)
            lens.settle()
            film.add(lens.picture(), 1.5)
    return film


@click.command()
@click.argument("workspace", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), default=Path("docs/screenshots"), show_default=True)
@click.option("--every-page", type=click.Path(path_type=Path), help="A folder for each page at both sizes and themes.")
@click.option("--recording/--no-recording", default=True, show_default=True)
def main(workspace: Path, into: Path, every_page: Path | None, recording: bool) -> None:
    """Take the pictures of a workspace, such as the one that 'make demo' makes."""
    sys.path[:0] = [str(TESTS), str(TESTS / "pages")]
    from serving_app import MARS, serve

    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shutil.copytree(find_workspace(workspace).root, folder / workspace.resolve().name)
        copy = find_workspace(folder / workspace.resolve().name)
        with serve(MARS, copy.root, environment=os.environ, folder=folder) as address:
            for path in take_readme_pictures(address, into):
                click.echo(f"{path}: {path.stat().st_size / 1000:,.0f} kB")
            if every_page is not None:
                with open_workspace_store(copy) as store:
                    count = take_every_page(address, store, every_page)
                click.echo(f"{every_page}: {count} pictures")
            if recording:
                film = record(address)
                film.save(into / RECORDING)
                size = (into / RECORDING).stat().st_size / 1000
                click.echo(f"{into / RECORDING}: {sum(film.seconds):.0f} s, {len(film.frames)} frames, {size:,.0f} kB")


if __name__ == "__main__":
    main()
