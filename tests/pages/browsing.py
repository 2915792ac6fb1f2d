"""A real headless Chromium for tests, on a large and a small screen."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

LARGE, SMALL = (1440, 900), (390, 844)


@contextmanager
def open_browser(size: tuple[int, int] = LARGE) -> Iterator[Any]:
    """A Selenium driver of a new browser with nothing remembered; the test is skipped where there is no Chromium."""
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
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    try:
        yield driver
    finally:
        driver.quit()
