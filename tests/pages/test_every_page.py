"""Every page opens in every kind of workspace, and says what to do where it has nothing to show."""

import re
from html import unescape
from pathlib import Path

import pytest
from app_workspaces import KINDS, PAGES, make_workspace
from fakes import make_pairs
from streamlit.testing.v1 import AppTest

from mars_engine.core.shipped import shipped

pytestmark = pytest.mark.slow

APP = str(shipped("app.py"))


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("workspaces")
    return {kind: make_workspace(folder / kind.replace(" ", "-"), kind) for kind in KINDS}


def shown(app: AppTest) -> str:
    texts = [element.value for element in [*app.text, *app.title, *app.subheader, *app.metric, *app.code]]
    return "\n".join([*map(str, texts), *(button.label for button in app.button)])


EMPTY, UNTRAINED, UNPROPOSED, FAILED_JOB, COMPLETE = KINDS
SETTINGS = "Kept in the workspace's mars.toml"
SAYS: dict[str, dict[str, str]] = {
    EMPTY: {
        "overview": "Import some, or begin with the demo pairs.",
        "explore": "There are no pairs yet.",
        "check": "There are no pairs to check yet.",
        "review": "There are no pairs yet, so there is nothing to review.",
        "people": "There are no pairs yet, so nobody has decided anything.",
        "train": "There are no training pairs yet, so there is nothing to train on.",
        "align": "No reward model is trained yet, so nothing tells a better answer from a worse one.",
        "results": "Import pairs and open a round: that trains the warm-up.",
        "data": "Import the demo pairs",
        "settings": SETTINGS,
        "present": "There is no story yet",
        "pair": "go back to Explore and open one from the table",
    },
    UNTRAINED: {
        "overview": "Next: train a warm-up reward model on the base pairs",
        "explore": "No pair has a margin yet.",
        "check": "Train a reward model; it scores the pairs, and the doubtful ones come here.",
        "review": "There are no proposals yet.",
        "people": "Check the labels of pairs or review proposals; train a reward model first where none is there.",
        "train": "How the budget would be spread is not",
        "align": "No reward model is trained yet, so nothing tells a better answer from a worse one.",
        "results": "No reward model is trained yet.",
        "data": "Data",
        "settings": SETTINGS,
        "present": "20 pairs to learn from",
        "pair": "No model has scored this pair yet.",
    },
    UNPROPOSED: {
        "overview": "Next: read the margins again, and propose new pairs where they are low.",
        "explore": "Margins under warm-up.",
        "check": "Triage suspects no label: the lowest margins come first.",
        "review": "Train a reward model and spend a budget: Overview says which step is next.",
        "people": "Nobody has decided anything yet.",
        "train": "Suspected mislabels would get 0.0% of",
        "align": "20 prompts are there.",
        "results": "The reward model “warm-up” ranks 100.0% of held-out pairs correctly",
        "data": "Data",
        "settings": SETTINGS,
        "present": "20 pairs to learn from",
        "pair": "Nothing was proposed for this pair yet.",
    },
    FAILED_JOB: {
        "overview": "The last run, train, failed:",
        "explore": "No pair has a margin yet.",
        "check": "No pair has a margin yet, so nothing tells which labels are in doubt.",
        "review": "There are no proposals yet.",
        "people": "Nobody has decided anything yet.",
        "train": "the weights <b>are</b> $missing$.",
        "align": "No reward model is trained yet, so nothing tells a better answer from a worse one.",
        "results": "No reward model is trained yet.",
        "data": "Data",
        "settings": SETTINGS,
        "present": "20 pairs to learn from",
        "pair": "No model has scored this pair yet.",
    },
    COMPLETE: {
        "overview": "Next: see what signed round 1 gained.",
        "explore": "Margins under signed round 1.",
        "check": "Triage suspects no label: the lowest margins come first.",
        "review": "All of these proposals are decided.",
        "people": "Raw agreement is undefined: no item has answers of two people.",
        "train": "Open a round",
        "align": "20 prompts are there.",
        "results": "“signed round 1” ranks as many held-out pairs correctly as “warm-up”",
        "data": "Data",
        "settings": SETTINGS,
        "present": "No difference shown between signed round 1 and warm-up",
        "pair": "number changed: ",
    },
}
"""What a person must be told there."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_how_things_stand_and_what_to_do(page, kind, workspaces, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(workspaces[kind]))
    app = AppTest.from_file(APP, default_timeout=60)
    if page != "overview":
        app.run()
        app.switch_page(f"pages/{page}.py")
    if page in {"check", "review"}:
        app.query_params["who"] = "ann"
    if page == "pair":
        app.query_params["id"] = make_pairs(1)[0].id
    app.run()
    assert not app.exception, app.exception[0].stack_trace
    assert SAYS[kind][page] in shown(app)
    if app.get("plotly_chart"):
        (load,) = (each.proto.body for each in app.get("html") if "PlotlyChart" in each.proto.body)
        assert "setTimeout" not in load, "what draws figures is asked for with the page"


def present(page: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MARS_WORKSPACE", str(workspace))
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params["present"] = "1"
    app.run()
    app.switch_page(f"pages/{page}.py")
    app.query_params["present"] = "1"
    if page == "pair":
        app.query_params["id"] = make_pairs(1)[0].id
    app.run()
    assert not app.exception
    return app


@pytest.mark.parametrize("kind", ["complete", "failed job", "empty"])
@pytest.mark.parametrize("page", PAGES)
def test_present_mode_has_no_controls_and_no_words_to_the_operator(page, kind, workspaces, monkeypatch):
    app = present(page, workspaces[kind], monkeypatch)
    assert not [button for button in app.button if not str(button.key).startswith("story-")]
    assert not app.text_input
    assert not app.selectbox
    for text in ("What to do", "mars map", "by: mars", str(workspaces[kind])):
        assert text not in shown(app)


def links(app: AppTest) -> dict[str, str]:
    found = {each.proto.label: each.proto.query_string for each in app.get("page_link")}
    ways = (re.search(r'class="mars-way" href="[.\w]*\?(.*?)">. (\w+)<', each.proto.body) for each in app.get("html"))
    return found | {way[2]: unescape(way[1]) for way in ways if way}


def test_present_mode_is_entered_from_each_page_leads_to_the_others_and_is_left(workspaces, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(workspaces["complete"]))
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params["models"] = "x"
    assert set(links(app.run())["Present"].split("&")) == {"models=x", "present=1"}
    found = links(present("results", workspaces["complete"], monkeypatch))
    assert found["Explore"] == "present=1"
    assert found["End"] == ""
    assert "Settings" not in found


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
    assert "Step by step" in shown(app) or "Overview" in shown(app)
