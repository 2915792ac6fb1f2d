"""A real headless Chromium for tests, on a large and a small screen: started once, and forgetful between tests."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

LARGE, SMALL = (1440, 900), (390, 844)
IDLE: dict[tuple[int, int], list[Any]] = defaultdict(list)
"""Browsers that nobody uses at the moment, by the size of their screen."""


@contextmanager
def open_browser(size: tuple[int, int] = LARGE) -> Iterator[Any]:
    """A Selenium driver of a browser with nothing remembered; the test is skipped where there is no Chromium."""
    driver = IDLE[size].pop() if IDLE[size] else start_browser(size)
    try:
        yield driver
        _forget(driver)
    except BaseException:
        driver.quit()
        raise
    if IDLE[size]:
        driver.quit()
    else:
        IDLE[size].append(driver)


def quit_browsers() -> None:
    """End all browsers that nobody uses."""
    for driver in [each for drivers in IDLE.values() for each in drivers]:
        driver.quit()
    IDLE.clear()


def start_browser(size: tuple[int, int] = LARGE) -> Any:
    """A Selenium driver of a Chromium of its own, which `quit` ends, or its `with` block."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver_path):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--force-prefers-reduced-motion"):
        options.add_argument(argument)
    metrics = {"width": size[0], "height": size[1], "pixelRatio": 1}
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))


def _forget(driver: Any) -> None:
    """Leave a new, empty tab in the place of the one that was used, and nothing of what its site has stored.

    The page opens it, so that both share a process: the site's next page finds its scripts compiled there, which
    takes as long as all the rest of opening it.
    """
    shown = urlsplit(driver.current_url)
    if shown.netloc:
        # The new tab would begin with a copy; a page of the browser's own, when the server is gone, has none.
        driver.execute_script("try { sessionStorage.clear() } catch {}")
        origin = {"origin": f"{shown.scheme}://{shown.netloc}", "storageTypes": "all"}
        driver.execute_cdp_cmd("Storage.clearDataForOrigin", origin)
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    used = set(driver.window_handles)
    driver.execute_script("window.open('about:blank')")
    (fresh,) = set(driver.window_handles) - used
    for handle in used:
        driver.switch_to.window(handle)
        driver.close()
    driver.switch_to.window(fresh)
    driver.get_log("browser")
