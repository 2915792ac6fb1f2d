"""What all tests of pages share."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from browsing import LARGE, open_browser, quit_browsers
from click.testing import CliRunner
from serving_app import MARS, AppServer
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager

from mars_engine.cli.main import mars
from mars_engine.jobs import own_process
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


@pytest.fixture(scope="session", autouse=True)
def components_scanned_once() -> Iterator[None]:
    """Look through the installed packages for components once, as a server does; AppTest does so at each run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def mars_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages ask `mars` in this process, which has imported all; a browser's server and its jobs start their own."""

    def run(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        arguments = command[command.index("mars_engine.cli.main") + 1 :]
        result = CliRunner().invoke(mars, arguments, prog_name="mars")
        return subprocess.CompletedProcess(command, result.exit_code, result.stdout_bytes, result.stderr_bytes)

    here = SimpleNamespace(run=run, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(own_process, "subprocess", here)


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


@pytest.fixture(scope="session", autouse=True)
def no_browser_left() -> Iterator[None]:
    yield
    quit_browsers()
