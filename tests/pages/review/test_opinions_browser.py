"""What judges say of a label, in a real headless Chromium: on the card once one has decided, and not before."""

import re
from pathlib import Path

import pytest
from card_driving import CardDriver, open_card
from reading_workspaces import make_reading

from mars_engine.core.clock import utc_now
from mars_engine.core.config import JudgeConfig
from mars_engine.core.judge_records import LabelOpinion
from mars_engine.store import open_store
from mars_engine.workspace.workspace import find_workspace, save_config

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    root = make_reading(tmp_path_factory.mktemp("opinions") / "workspace", pairs=200)
    store = open_store(find_workspace(root).database_url)
    said = ("rejected", "rejected", "rejected", "")
    pairs = store.pairs.pairs("train")
    store.opinions.keep([LabelOpinion("recorded", each.id, *said, retryable=False, at=utc_now()) for each in pairs])
    store.close()
    return root


def opinions(card: CardDriver) -> str:
    return card.text(".sheet:not(.ahead) .opinions")


def test_an_opinion_shows_after_ones_own_decision_beside_it_and_on_the_card(browser, server, request):
    card = open_card(browser, server, "check", request.node.name)
    assert opinions(card) == ""
    card.press_next("r")
    moved = re.compile(r" Its margin, refitted: \S+ → \S+\.")  # stands in between once the live figures know it
    said = moved.sub("", card.text(".banner"))
    assert "Last: label right. judge:recorded does not agree: the rejected answer is better." in said
    assert opinions(card) == "", "the next card is still to be decided"
    card.press("ArrowLeft")
    card.wait(lambda: "the rejected answer is better" in opinions(card), "the opinion on the decided card")
    assert opinions(card).startswith("judge:recorded")


def test_an_opinion_shows_before_where_the_setting_says_so(browser, server, request, workspace):
    found = find_workspace(workspace)
    save_config(found, found.config.model_copy(update={"judge": JudgeConfig(shown="before")}))
    card = open_card(browser, server, "check", request.node.name)
    assert "the rejected answer is better" in opinions(card)
