"""The story walked in a browser by its keys, and as it is printed."""

import os

import pytest
from app_workspaces import make_workspace
from browsing import LARGE, SMALL, open_browser
from serving_app import MARS, serve

from mars_engine.evaluate.story import TITLES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = make_workspace(tmp_path_factory.mktemp("served") / "workspace", "complete")
    with serve(MARS, root, environment=os.environ, folder=root.parent) as served:
        yield f"{served}/present?present=1"


def until_titled(driver, title: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    title_of = "return document.querySelector('h1')?.innerText"
    WebDriverWait(driver, 60).until(lambda driver: driver.execute_script(title_of) == title)


def press(driver, key: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    heard = (
        "return !!document.querySelector('.st-key-story-next button') && document.body.dataset.storyKeys === 'heard'"
    )
    WebDriverWait(driver, 60).until(lambda driver: driver.execute_script(heard))
    ActionChains(driver).send_keys(key).perform()


@pytest.mark.parametrize("size", [LARGE, SMALL], ids=["large", "small"])
def test_the_arrow_keys_walk_the_story_there_and_back_and_nothing_is_wider_than_the_screen(address, size):
    from selenium.webdriver.common.keys import Keys

    titles = list(TITLES.values())
    with open_browser(size) as driver:
        driver.get(address)
        until_titled(driver, titles[0])
        for title in titles[1:]:
            press(driver, Keys.ARROW_RIGHT)
            until_titled(driver, title)
            assert driver.execute_script("return document.documentElement.scrollWidth") <= size[0]
        assert "step=cost" in driver.current_url
        press(driver, Keys.ARROW_LEFT)
        until_titled(driver, titles[-2])
        press(driver, Keys.PAGE_UP)
        until_titled(driver, titles[-3])


def test_all_steps_are_drawn_and_printed_without_what_is_for_the_screen(address):
    from selenium.webdriver.support.ui import WebDriverWait

    with open_browser(LARGE) as driver:
        driver.get(f"{address}&step=all")
        last = "return !!document.querySelector('.st-key-section-cost [data-testid=stMetric]')"
        WebDriverWait(driver, 60).until(lambda driver: driver.execute_script(last))
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        shown = (
            "return [...document.querySelectorAll('[data-testid=stMain] button, .mars-way, summary')]"
            ".filter(each => each.checkVisibility()).map(each => each.innerText)"
        )
        assert driver.execute_script(shown) == []
        breaks = (
            "return [...document.querySelectorAll('[class*=st-key-section-]')]"
            ".map(each => getComputedStyle(each).breakBefore)"
        )
        assert driver.execute_script(breaks) == ["avoid", *["page"] * (len(TITLES) - 1)]
