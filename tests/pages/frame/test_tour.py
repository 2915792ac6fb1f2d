"""The tour: it leads through its pages, can be left at any step, and is not there for an audience."""

import pytest
from app_workspaces import make_workspace
from streamlit.testing.v1 import AppTest

from mars_engine.core.shipped import shipped
from pages.parts.frame.tour import STEPS

pytestmark = pytest.mark.slow


def open_app(root, monkeypatch, **query: str) -> AppTest:
    monkeypatch.setenv("MARS_WORKSPACE", str(root))
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label.startswith(label)).click().run()
    assert not app.exception


def told(app: AppTest) -> str:
    return "\n".join(text.value for text in app.text if text.value.startswith("Tour, "))


def test_it_leads_from_page_to_page_and_ends_where_it_began(tmp_path, monkeypatch):
    app = open_app(make_workspace(tmp_path / "w", "complete"), monkeypatch)
    press(app, "Take the tour")
    for place, step in enumerate(STEPS):
        assert told(app).startswith(f"Tour, {place + 1} of {len(STEPS)} · {step.title}")
        press(app, "Finish" if step is STEPS[-1] else "Next: ")
    assert not told(app)
    assert any(button.label.startswith("Take the tour") for button in app.button)


def test_it_can_be_left_at_once_and_an_audience_never_sees_it(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "complete")
    app = open_app(root, monkeypatch)
    press(app, "Take the tour")
    press(app, "Leave the tour")
    assert not told(app)
    assert not open_app(root, monkeypatch, present="1").button
