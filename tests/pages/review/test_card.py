"""What the card is told, without a browser."""

import json
from pathlib import Path
from typing import Any

import pytest
from app_workspaces import make_workspace
from streamlit.testing.v1 import AppTest

from mars_engine.core.errors import StoreError
from mars_engine.core.shipped import shipped
from pages.parts import card
from pages.parts.card import Dealing, _read_request


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("card") / "workspace", "without proposals")


def open_check(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MARS_WORKSPACE", str(workspace))
    app = AppTest.from_file(str(shipped("app.py")), default_timeout=60).run()
    app.switch_page("pages/check.py").run()
    assert not app.exception
    return app


def told(app: AppTest) -> dict[str, Any]:
    (data,) = [
        json.loads(each.proto.json)
        for each in app.get("bidi_component")
        if each.proto.component_name == "mars_card" and each.proto.json
    ]
    return data


@pytest.mark.slow
def test_the_next_cards_are_dealt_in_order_with_keys_and_progress(workspace, monkeypatch):
    data = told(open_check(workspace, monkeypatch))
    assert [each["id"] for each in data["cards"]] == data["queue"]
    assert len(data["queue"]) == card.CARDS["card"][0]
    assert data["progress"]["waiting"] == 20
    assert data["keys"]["label_right"] == "r"
    assert data["recent"] == data["acknowledged"] == data["refused"] == []
    assert data["read_only"] is False


def test_a_database_that_cannot_be_read_is_said_and_takes_no_card_away(workspace, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(card, "deal", fail)
    data = told(open_check(workspace, monkeypatch))
    assert data["queue"] is None
    assert "the disk is full" in data["problem"]


def test_another_order_or_set_is_another_deck_and_another_view_is_not():
    first = Dealing("proposal", "ada", "plan")
    assert first.deck == Dealing("proposal", "ada", "plan", view="grid").deck
    others = [
        Dealing("proposal", "ada", "gain"),
        Dealing("proposal", "ada", "plan", source="s1"),
        Dealing("proposal", "bob", "plan"),
        Dealing("pair", "ada", "plan"),
    ]
    assert len({first.deck, *(each.deck for each in others)}) == 5


@pytest.mark.parametrize(
    "state",
    [None, {}, {"log": None}, {"log": [1]}, {"log": {"attempt": "x", "acts": {}, "held": 3, "blind": "yes"}}, "text"],
)
def test_an_odd_state_of_the_browser_counts_as_nothing_said(state):
    request = _read_request(state)
    assert (request.attempt, request.acts, request.held, request.blind) == (0, (), frozenset(), None)
