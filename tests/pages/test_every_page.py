"""Every page opens in every kind of workspace, and says what to do where it has nothing to show."""

from pathlib import Path

import pytest
from app_workspaces import KINDS, PAGES, make_workspace
from streamlit.testing.v1 import AppTest

from mars_engine.assembly.shipped import shipped

APP = str(shipped("app.py"))


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("workspaces")
    return {kind: make_workspace(folder / kind.replace(" ", "-"), kind) for kind in KINDS}


def shown(app: AppTest) -> str:
    texts = [element.value for element in [*app.text, *app.title, *app.subheader, *app.metric, *app.code]]
    return "\n".join([*map(str, texts), *(button.label for button in app.button)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_and_says_something(page, kind, workspaces, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(workspaces[kind]))
    app = AppTest.from_file(APP, default_timeout=60)
    if page != "overview":
        app.run()
        app.switch_page(f"pages/{page}.py")
    app.run()
    assert not app.exception, app.exception[0].stack_trace
    words = shown(app)
    assert len(words) > 60, words
    if kind == "empty" and page not in {"settings"}:
        assert any(hint in words.lower() for hint in ("import", "no pair", "demo", "train")), words


@pytest.mark.parametrize("page", ["overview", "results", "explore"])
def test_present_mode_has_no_controls(page, workspaces, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(workspaces["complete"]))
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params["present"] = "1"
    app.run()
    app.switch_page(f"pages/{page}.py")
    app.query_params["present"] = "1"
    app.run()
    assert not app.exception
    assert not app.button
    assert not app.text_input
    assert not app.selectbox


def test_a_failed_job_is_shown_with_its_error(workspaces, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(workspaces["failed job"]))
    app = AppTest.from_file(APP, default_timeout=60).run()
    app.switch_page("pages/train.py").run()
    assert "the weights <b>are</b> $missing$." in shown(app)


def test_the_token_is_asked_for_before_anything_is_shown(workspaces, monkeypatch):
    token = "correct horse battery staple"
    monkeypatch.setenv("MARS_APP_TOKEN", token)
    monkeypatch.setenv("MARS_WORKSPACE", str(workspaces["complete"]))
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert [field.label for field in app.text_input] == ["Token"]
    app.text_input[0].set_value("wrong").run()
    app.button[0].click().run()
    assert "not the token" in shown(app)
    app.text_input[0].set_value(token)
    app.button[0].click().run()
    assert "Funnel" in shown(app) or "Overview" in shown(app)
