"""Explore in a real headless Chromium: brushes link the views, a link opens the same selection, texts stay texts."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from app_workspaces import make_workspace
from browsing import LARGE, SMALL, open_browser
from explore_workspaces import HOSTILE, add_map
from fakes import ListSource, make_bench, make_pairs
from serving_app import MARS, serve

from mars_engine.core.records import Pair, Turn
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.workspace import create_workspace

pytestmark = pytest.mark.browser

MAP, PLANE, HISTOGRAM = range(3)
LASSO = ((0.2, 0.25), (0.7, 0.2), (0.8, 0.6), (0.5, 0.85), (0.25, 0.7), (0.2, 0.25))
"""Corners as shares of a figure's width and height."""


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    root = make_workspace(tmp_path_factory.mktemp("served") / "workspace", "complete")
    add_map(root)
    with serve(MARS, root, environment=os.environ, folder=root.parent) as served:
        yield served


class ExplorePage:
    """The page in a browser, brushed as a person does."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser = browser
        browser.get(address)
        self.until(lambda: len(self.plots()) == 3)

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.browser.find_element("tag name", "body").text
            time.sleep(0.05)

    def plots(self) -> list[Any]:
        return self.browser.find_elements("css selector", ".js-plotly-plot .nsewdrag")

    def selected(self) -> int:
        script = "return [...document.querySelectorAll('h3')].map(each => each.innerText)"
        (count,) = [text for text in self.browser.execute_script(script) if "pairs selected" in text]
        return int(count.split()[0].replace(",", ""))

    def brush(self, plot: int, corners: Sequence[tuple[float, float]]) -> None:
        """Drag over a figure, and wait until the address has the brush and the page the selection."""
        from selenium.webdriver.common.action_chains import ActionChains

        before, count = self.browser.current_url, self.selected()
        area = self.plots()[plot]
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", area)
        time.sleep(0.3)
        width, height = area.size["width"], area.size["height"]
        points = [(int(x * width), int(y * height)) for x, y in corners]
        hand = ActionChains(self.browser, duration=40)
        hand.move_to_element_with_offset(area, points[0][0] - width // 2, points[0][1] - height // 2).click_and_hold()
        for (x1, y1), (x2, y2) in pairwise(points):
            hand.move_by_offset(x2 - x1, y2 - y1)
        hand.release().perform()
        self.until(lambda: self.browser.current_url != before)
        self.until(lambda: self.selected() != count)

    def rows(self) -> list[str]:
        """The table's rows as screen readers have them."""
        script = "return [...document.querySelectorAll('[data-testid=stDataFrame] tr')].map(each => each.innerText)"
        return [str(row) for row in self.browser.execute_script(script)]


def severe(browser: Any) -> list[str]:
    # Streamlit looks for its server's files below the page's path before it looks above.
    entries = [each["message"] for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    return [message for message in entries if "_stcore" not in message]


def test_brushes_link_the_views_and_a_copied_link_opens_the_same_selection(address):
    with open_browser() as browser:
        page = ExplorePage(browser, f"{address}/explore?split=train")
        assert page.selected() == 20
        page.brush(MAP, LASSO)
        after_lasso = page.selected()
        assert 0 < after_lasso < 20
        assert "in_map=l_" in browser.current_url
        page.brush(HISTOGRAM, ((0.2, 0.5), (0.75, 0.5)))
        both = page.selected()
        assert 0 < both < after_lasso
        link = browser.current_url
        assert len(link) < 2000
        time.sleep(1)
        assert (browser.current_url, page.selected()) == (link, both)
        rows = page.rows()
        assert len(rows) > both
        assert not severe(browser)
    with open_browser() as another:
        same = ExplorePage(another, link)
        assert same.selected() == both
        same.until(lambda: same.rows() == rows)
        assert another.current_url == link
        (clear,) = [each for each in another.find_elements("css selector", "button") if "Brush on the map" in each.text]
        clear.click()
        same.until(lambda: same.selected() > both)
        assert "in_map" not in another.current_url
        assert "in_margin" in another.current_url


def test_a_box_on_the_plane_selects_and_is_zoomed_into(address):
    with open_browser() as browser:
        page = ExplorePage(browser, f"{address}/explore")
        page.brush(PLANE, ((0.1, 0.1), (0.6, 0.9)))
        assert 0 < page.selected() < 40
        # In one script: the page may draw its buttons anew between two.
        press = (
            "const zooms = [...document.querySelectorAll('button')].filter(b => b.innerText.includes('to the brush'));"
            "if (zooms.length === 2) zooms[1].click(); return zooms.length === 2"
        )
        page.until(lambda: browser.execute_script(press))
        page.until(lambda: "plane_zoom=" in browser.current_url)


def test_the_filters_stay_open_while_several_are_set(address):
    from selenium.webdriver.common.keys import Keys

    with open_browser() as browser:
        page = ExplorePage(browser, f"{address}/explore")
        browser.find_element("css selector", "[data-testid=stExpander] summary").click()
        field = "[data-testid=stNumberInput] input[aria-label='Margin {}']"
        for end, number in (("from", "0"), ("to", "1.5")):
            page.until(lambda end=end: browser.find_element("css selector", field.format(end)).is_displayed())
            browser.find_element("css selector", field.format(end)).send_keys(number, Keys.ENTER)
            page.until(lambda number=number: number in browser.current_url.rpartition("margin=")[2])
        page.until(lambda: page.selected() < 40)
        assert browser.find_element("css selector", "[data-testid=stExpander] details").get_attribute("open")
        choice = browser.find_element("css selector", "[data-testid=stMultiSelect] input[aria-label^='Triage']")
        choice.send_keys("not", Keys.ENTER)
        page.until(lambda: "verdict=untriaged" in browser.current_url)
        page.until(lambda: "Triage ✕" in browser.find_element("tag name", "body").text)
        time.sleep(0.5)
        assert browser.find_element("css selector", "[data-testid=stExpander] details").get_attribute("open")


def test_nothing_moves_while_one_brushes(address):
    """Where the histogram begins, with more and more of the brushes and filters set, and with nothing selected."""
    brushes = ("in_margin=-1_2", "in_map=-1.5_1.5_-1.5_1.5", "in_plane=-1_2_0_2", "split=train", "words=nowhere")
    with open_browser() as browser:
        tops = []
        for count in range(len(brushes) + 1):
            page = ExplorePage(browser, f"{address}/explore?{'&'.join(brushes[:count])}")
            time.sleep(0.5)
            tops.append(page.plots()[HISTOGRAM].rect["y"])
        assert max(tops) - min(tops) < 1, tops


def choose_row(page: ExplorePage, table: int) -> None:
    """Tick the first row of a table, as a person does."""
    from selenium.webdriver.common.action_chains import ActionChains

    grid = page.browser.find_elements("css selector", "[data-testid=stDataFrame] canvas[data-testid=data-grid-canvas]")[
        table
    ]
    page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", grid)
    time.sleep(0.5)
    corner = (-grid.size["width"] // 2 + 18, -grid.size["height"] // 2 + 52)
    ActionChains(page.browser).move_to_element_with_offset(grid, *corner).click().perform()


def pair_shown(browser: Any) -> str:
    script = "return new URLSearchParams(location.search).get('id')"
    return str(browser.execute_script(script)) if "/pair?" in browser.current_url else ""


def test_a_row_opens_the_pairs_page_and_both_ways_back_lead_to_the_view(address):
    with open_browser() as browser:
        view = f"{address}/explore?split=train"
        page = ExplorePage(browser, view)
        assert page.selected() == 20
        choose_row(page, 0)
        page.until(lambda: pair_shown(browser))
        page.until(lambda: "Mark the words that differ" in text_of_component(browser))
        link = browser.find_element("css selector", "[data-testid=stPageLink] a")
        browser.execute_script("arguments[0].click()", link)  # wherever the page is scrolled to
        page.until(lambda: len(page.plots()) == 3)
        assert "/explore?" in browser.current_url
        assert page.selected() == 20
        browser.get(view)
        page.until(lambda: len(page.plots()) == 3)
        choose_row(page, 0)
        page.until(lambda: pair_shown(browser))
        page.until(lambda: "Mark the words that differ" in text_of_component(browser))
        browser.back()
        page.until(lambda: len(page.plots()) == 3)
        page.until(lambda: page.selected() == 20)


def test_one_of_the_nearest_pairs_opens_once_and_back_leads_to_the_pair_before(address):
    with open_browser() as browser:
        page = ExplorePage(browser, f"{address}/explore?split=train")
        choose_row(page, 0)
        page.until(lambda: pair_shown(browser))
        page.until(lambda: "Nearest pairs" in browser.find_element("tag name", "body").text)
        first = pair_shown(browser)
        choose_row(page, -1)
        page.until(lambda: pair_shown(browser) not in ("", first))
        nearest, entries = pair_shown(browser), browser.execute_script("return history.length")
        time.sleep(3)
        assert (pair_shown(browser), browser.execute_script("return history.length")) == (nearest, entries)
        browser.back()
        page.until(lambda: pair_shown(browser) == first)
        time.sleep(1)
        assert pair_shown(browser) == first
        choose_row(page, -1)
        page.until(lambda: pair_shown(browser) == nearest)


def click_a_point(page: ExplorePage, plot: int) -> None:
    """Click the point that is nearest to the figure's middle, where plotly says that it stands."""
    from selenium.webdriver.common.action_chains import ActionChains

    area = page.plots()[plot]
    page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", area)
    place = page.browser.execute_script(
        """
        const graph = arguments[0].closest('.js-plotly-plot'), {xaxis, yaxis} = graph._fullLayout;
        const points = graph._fullData.filter(trace => trace.customdata).flatMap(trace => Array.from(trace.x).map(
          (x, at) => [xaxis.d2p(x), yaxis.d2p(trace.y[at])]));
        const far = ([x, y]) => Math.hypot(x - xaxis._length / 2, y - yaxis._length / 2);
        return points.sort((one, other) => far(one) - far(other))[0];
        """,
        area,
    )
    width, height = area.size["width"], area.size["height"]
    ActionChains(page.browser).move_to_element_with_offset(
        area, round(place[0] - width / 2), round(place[1] - height / 2)
    ).pause(0.3).click().perform()


def test_a_point_that_is_clicked_opens_its_pair_beside_the_map(address):
    beside = "return !!document.querySelector('.st-key-pair-beside')"
    with open_browser() as browser:
        page = ExplorePage(browser, f"{address}/explore?split=train")
        click_a_point(page, MAP)
        page.until(lambda: browser.execute_script(beside))
        assert "/explore?" in browser.current_url
        assert "id=" in browser.current_url
        assert page.selected() == 20
        page.until(lambda: "Mark the words that differ" in text_of_component(browser))
        panel = browser.find_element("css selector", ".st-key-pair-beside").rect
        figure = page.plots()[MAP].rect
        assert panel["x"] > figure["x"] + figure["width"] - 2
        assert panel["y"] < figure["y"] + figure["height"]
        close = browser.find_element("css selector", ".st-key-pair-beside-close button")
        browser.execute_script("arguments[0].click()", close)
        page.until(lambda: not browser.execute_script(beside))
        assert "id=" not in browser.current_url
        assert not severe(browser)


@pytest.mark.parametrize("size", [LARGE, SMALL], ids=["large", "small"])
def test_the_pages_fit_the_screen(size, address):
    with open_browser(size) as browser:
        ExplorePage(browser, f"{address}/explore")
        overflow = "return document.documentElement.scrollWidth - window.innerWidth"
        assert browser.execute_script(overflow) <= 0
        axes = " ".join(each.text for each in browser.find_elements("css selector", ".infolayer"))
        assert "reward units" in axes
        assert "1 − cosine" in axes


def text_of_component(browser: Any) -> str:
    script = (
        "return [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]"
        ".map(each => each.shadowRoot?.querySelector('.pair')?.textContent ?? '').join('\\n')"
    )
    return str(browser.execute_script(script))


def test_hostile_texts_show_as_they_are_and_nothing_runs(tmp_path):
    root = tmp_path / "workspace"
    bench = make_bench(url=create_workspace(root).database_url)
    pair = Pair.of([Turn(HOSTILE, HOSTILE)], f"{HOSTILE} yes", f"{HOSTILE} no {'long ' * 20_000}", subset=HOSTILE)
    source = ListSource((pair, *make_pairs(12)), name=HOSTILE)
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    score_model(bench, train_warm_up(bench))
    bench.store.close()
    add_map(root)
    with serve(MARS, root, environment=os.environ, folder=tmp_path) as served, open_browser() as browser:
        page = ExplorePage(browser, f"{served}/explore?words=hacked")
        assert page.selected() == 1
        page.until(lambda: any(f"{HOSTILE} yes" in row for row in page.rows()))
        browser.find_element("css selector", "[data-testid=stExpander] summary").click()
        (names,) = browser.find_elements("css selector", "[data-testid=stMultiSelect] input[aria-label^='Subset']")
        page.until(lambda: names.rect["y"] == (time.sleep(0.2), names.rect["y"])[1])  # the filters have unfolded
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", names)
        # A rerun may close the list again.
        page.until(lambda: names.get_attribute("aria-expanded") == "true" or names.click())
        page.until(lambda: HOSTILE in browser.find_element("tag name", "body").text)
        browser.get(f"{served}/pair?id={pair.id}")
        page.until(lambda: f"{HOSTILE} yes" in text_of_component(browser))
        assert f"{HOSTILE} no long long" in text_of_component(browser)
        assert len(text_of_component(browser)) > 100_000
        assert browser.execute_script("return window.hacked") is None
        asked = browser.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert [name for name in asked if not name.startswith((served, "blob:", "data:"))] == []
        assert not severe(browser)


def test_the_first_request_of_a_server_has_the_frame_whatever_page_it_names(tmp_path):
    root = make_workspace(tmp_path / "workspace", "without a model")
    environment = os.environ | {"MARS_APP_TOKEN": "correct horse battery staple"}
    with serve(MARS, Path(root), environment=environment, folder=tmp_path) as served, open_browser() as browser:
        browser.get(f"{served}/explore")
        deadline = time.monotonic() + 60
        while not browser.find_elements("css selector", "input[type=password]"):
            assert time.monotonic() < deadline, browser.find_element("tag name", "body").text
            time.sleep(0.1)
        assert "pairs selected" not in browser.find_element("tag name", "body").text
