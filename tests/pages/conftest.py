"""What all tests of pages share."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import LARGE, open_browser
from serving_app import MARS, AppServer
from streamlit.runtime.pages_manager import PagesManager

from mars_engine.store import Store, open_store
from mars_engine.workspace.workspace import find_workspace


@pytest.fixture(autouse=True)
def pages_by_navigation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AppTest run app.py first, as a server does that has answered a request before.

    AppTest forgets before each run that the app calls `st.navigation`, and would run the page's file by itself; the
    frame runs app.py then, but the button that was pressed is forgotten by that.
    """
    original = PagesManager.__init__

    def init(self: PagesManager, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", init)


@pytest.fixture(scope="module")
def server(workspace) -> Iterator[AppServer]:
    """The app serving the module's `workspace`."""
    served = AppServer(MARS, workspace, environment=os.environ, folder=workspace.parent)
    try:
        served.start()
        yield served
    finally:
        served.stop()


@pytest.fixture
def store(workspace) -> Iterator[Store]:
    """The store of the module's `workspace`."""
    opened = open_store(find_workspace(workspace).database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser(LARGE) as driver:
        yield driver
