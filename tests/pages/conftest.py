"""What all tests of pages share."""

from typing import Any

import pytest
from streamlit.runtime.pages_manager import PagesManager


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
