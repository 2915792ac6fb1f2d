"""From an empty workspace to a blind comparison of ten prompts by keyboard, whose votes become pairs, in a browser."""

import json
from pathlib import Path

import pytest
from app_workspaces import make_workspace
from browsing import SMALL, open_browser
from card_driving import CardDriver

from mars_engine.align.blind.comparing import AnswerSheet, begin_comparison
from mars_engine.align.blind.votes import standing_votes
from mars_engine.core.clock import utc_now
from mars_engine.core.records import Turn

pytestmark = pytest.mark.browser

PROMPTS = 10


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("align") / "workspace", "empty")


def write_outputs(folder: Path, name: str, word: str) -> str:
    rows = [
        {"instruction": f"question {number}", "output": f"{word} answer {number}", "generator": name}
        for number in range(PROMPTS)
    ]
    path = folder / f"{word}.json"
    path.write_text(json.dumps(rows))
    return str(path)


def click(card: CardDriver, label: str) -> None:
    find = "return [...document.querySelectorAll('button')].find((each) => each.innerText.endsWith(arguments[0]))"
    card.wait(lambda: card.browser.execute_script(find, label), f"the button {label!r}").click()


def shown(card: CardDriver) -> str:
    return card.browser.execute_script("return document.body.innerText")


def wait_for(card: CardDriver, words: str) -> None:
    card.wait(lambda: words in shown(card), words)


def key_of(card: CardDriver, word: str) -> str:
    """The key for the side on which the answer with a word stands."""
    return "1" if card.text(".side:first-child .text").startswith(word) else "2"


def test_from_an_empty_state_to_votes_as_pairs(browser, server, store, tmp_path):
    card = CardDriver(browser)
    browser.get(f"{server.address}/align?who=ann&part=Compare+blind")
    wait_for(card, "There are no two policies' answers to compare yet.")
    files = [write_outputs(tmp_path, "plain policy", "plain"), write_outputs(tmp_path, "tuned policy", "tuned")]
    field = card.wait(lambda: browser.find_elements("css selector", "input[type=file]"), "a field for files")[0]
    field.send_keys("\n".join(files))
    wait_for(card, "Sides are shuffled")
    click(card, "Begin")
    card.wait_for_card()
    assert "plain policy" not in shown(card)
    assert "tuned policy" not in shown(card)
    (comparison,) = store.comparisons.all()
    assert {comparison.first, comparison.second} == {"plain policy", "tuned policy"}

    lefts = set()
    for number in range(PROMPTS):
        key = key_of(card, "tuned")
        lefts.add(key)
        wish = "0" if number == 3 else key
        if number == 1:  # put off: it comes last
            put_off = card.painted
            card.press_next("s")
        if number == 2:  # a slip, taken back
            slip = card.painted
            card.press_next({"1": "2", "2": "1"}[key])
            card.press_next("u")
            assert card.painted == slip
            wish = key_of(card, "tuned")
        if number == 5:  # nothing is lost by a reload
            card.wait_until_saved()
            before = card.painted
            browser.refresh()
            assert card.wait_for_card(before) == before
            wish = key_of(card, "tuned")
        if number == PROMPTS - 1:
            assert card.painted == put_off
            card.press(wish)
        else:
            card.press_next(wish if number != 1 else key_of(card, "tuned"))
    assert lefts == {"1", "2"}, "either side had the tuned policy"
    card.wait_until_saved()
    votes = store.comparisons.votes(comparison.id)
    standing = standing_votes(votes)["ann"]
    better = "second" if comparison.second == "tuned policy" else "first"
    assert sorted(each.vote for each in standing.values()) == sorted(["tie", *[better] * (PROMPTS - 1)])
    assert [vote.vote for vote in votes].count("undo") == 1
    assert len({vote.sequence for vote in votes}) == len(votes) == PROMPTS + 3

    assert "Win rate" not in shown(card)
    assert card.deck("found.querySelector('[data-name=reveal]').textContent") == "See the result"
    card.deck("found.querySelector('[data-name=reveal]').click()")
    wait_for(card, "Win rate")
    wait_for(card, "tuned policy is better by more than chance explains.")
    click(card, "Add the votes as pairs")
    wait_for(card, "9 pairs added, to train on; 1 × a tie")
    pairs = store.pairs.pairs("train")
    assert len(pairs) == PROMPTS - 1
    assert all(pair.chosen.startswith("tuned") and pair.rejected.startswith("plain") for pair in pairs)
    assert {pair.attributes["comparison"] for pair in pairs} == {comparison.id}


def sheets() -> list[AnswerSheet]:
    return [
        AnswerSheet(name, {(Turn("user", f"{number}?"),): f"{name} {number}" for number in range(30)})
        for name in ("one", "two")
    ]


def test_fast_keys_in_two_windows_lose_nothing(server, store):
    comparison = begin_comparison(store, *sheets(), source="a test", seed=1, made_by="ann", clock=utc_now)
    address = f"{server.address}/align?who=fast&comparison={comparison.id}"
    with open_browser() as one, open_browser(SMALL) as other:
        windows = [CardDriver(one), CardDriver(other)]
        for window in windows:
            window.open(address)
        for window in windows:
            window.keep_pressing("12", milliseconds=60, cards=10)
        for window in windows:
            window.wait(lambda window=window: not window.is_pressing, "ten votes")
            window.wait_until_saved()
        decided = sum(press.decides for window in windows for press in window.presses() if press.painted)
    votes = store.comparisons.votes(comparison.id)
    assert len(votes) == decided
    # A window also moves on from a card on which the other has voted, so that both together make ten prompts or more.
    assert len(standing_votes(votes)["fast"]) >= PROMPTS
    assert len({vote.sequence for vote in votes}) == len(votes)


def test_a_person_who_ends_early_is_asked_once_more_and_votes_no_more(browser, server, store):
    comparison = begin_comparison(store, *sheets(), source="a test", seed=2, made_by="ann", clock=utc_now)
    card = CardDriver(browser)
    card.open(f"{server.address}/align?who=early&comparison={comparison.id}")
    assert card.deck("found.querySelector('[data-name=reveal]').disabled"), "nothing is decided"
    card.press_next("1")
    card.deck("found.querySelector('[data-name=reveal]').click()")
    assert card.deck("found.querySelector('[data-name=reveal]').textContent") == "29 left: end and see the result?"
    card.press_next("2")
    assert card.deck("found.querySelector('[data-name=reveal]').textContent") == "End here"
    for _ in range(2):
        card.deck("found.querySelector('[data-name=reveal]').click()")
    wait_for(card, "Win rate")
    card.press("1")
    wait_for(card, "2 of 30 prompts")
    assert [vote.vote for vote in store.comparisons.votes(comparison.id)][-1] == "reveal"


def test_a_card_that_left_the_page_takes_no_vote(browser, server, store):
    comparison = begin_comparison(store, *sheets(), source="a test", seed=3, made_by="ann", clock=utc_now)
    card = CardDriver(browser)
    card.open(f"{server.address}/align?who=gone&comparison={comparison.id}")
    card.press_while_gone("1")
    card.press_next("0")
    card.wait_until_saved()
    assert [vote.vote for vote in store.comparisons.votes(comparison.id)] == ["tie"]
