"""The card of Check and Review in a real headless Chromium: keys, edits, notes, undo, and no decision ever lost."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from browsing import LARGE, SMALL, open_browser
from card_driving import CardDriver, open_card
from reading_workspaces import HOSTILE, events_of, make_reading
from serving_app import MARS, AppServer, serve

from mars_engine.core.clock import utc_now
from mars_engine.core.review_state import effective_events
from mars_engine.store import Store, open_store
from mars_engine.workspace.workspace import find_workspace
from pages.parts.card import FOLDER

pytestmark = pytest.mark.browser

CONTROL = 2


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return make_reading(tmp_path_factory.mktemp("reading") / "workspace", pairs=330)


@pytest.fixture
def card(browser, server, request) -> CardDriver:
    """Review, opened under a name that only this test has."""
    return open_card(browser, server, "review", request.node.name)


def standing(store: Store, name: str) -> dict[str, str]:
    """What stands of an annotator's decisions: action by item."""
    events = store.reviews.events("proposal")
    stacks = {item: effective_events(each).get(name, []) for item, each in events.items()}
    return {item: stack[-1].action for item, stack in stacks.items() if stack}


# ------------------------------------------------------------------------------------------------------------ keys


def test_each_key_decides_the_painted_card(card, store, request):
    wanted = []
    for key, action in zip(
        "ax12fs", ("accept", "reject", "accept_chosen", "accept_rejected", "flag", "skip"), strict=True
    ):
        wanted.append((card.painted, action))
        card.press_next(key)
    card.wait_until_saved()
    events = events_of(store, request.node.name)
    assert [(event.item_id, event.action) for event in events] == wanted
    assert all(event.presented == "open" for event in events)
    assert all(0 < event.seconds < 60 for event in events)
    assert "5 decided" in card.text(".progress")
    assert card.text(".saving") == "saved"


def test_a_held_key_decides_once(card, store, request):
    card.browser.execute_script(
        "for (const repeat of [false, true, true, true]) document.body.dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'a', repeat, bubbles: true, composed: true, cancelable: true}))"
    )
    card.wait_until_saved()
    assert len(events_of(store, request.node.name)) == 1


def test_keys_are_dead_with_control_and_in_text_fields(card, store, request):
    first = card.painted
    card.press("a", modifiers=CONTROL)
    name_field = card.browser.find_element("css selector", "[data-testid=stTextInput] input")
    name_field.click()
    card.write("axf")
    time.sleep(0.3)
    assert card.painted == first
    card.press("n")
    assert not card.deck("!!found.querySelector('#note')")
    assert events_of(store, request.node.name) == []


def test_a_card_that_left_the_page_takes_no_key(card, store, request):
    card.press_while_gone("a")
    card.press("x")
    card.wait_until_saved()
    assert [event.action for event in events_of(store, request.node.name)] == ["reject"]


def test_buttons_show_their_keys_and_do_the_same(card, store, request):
    shown = card.deck(
        "[...found.querySelectorAll('.bar button')].map(b => [b.dataset.name, b.querySelector('kbd').textContent])"
    )
    assert dict(shown) == {
        "accept": "a",
        "accept_chosen": "1",
        "accept_rejected": "2",
        "reject": "x",
        "edit": "e",
        "flag": "f",
        "skip": "s",
        "note": "n",
        "undo": "u",
    }
    card.deck("found.querySelector('[data-name=reject]').click()")
    card.wait_until_saved()
    assert [event.action for event in events_of(store, request.node.name)] == ["reject"]
    card.press("?")
    assert "take your newest decision back" in card.text(".help")
    card.press("?")
    assert card.deck("found.querySelector('.help').hidden")


# ------------------------------------------------------------------------------------------------- edits and notes


LOOK_AND_DECIDE = """
const done = arguments[arguments.length - 1];
let resent = 0;
window.addEventListener('mars:whole-run', () => { resent += 1; });
window.testLook();
document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', bubbles: true, composed: true, cancelable: true}));
setTimeout(() => done(resent), 4000);
"""
"""Looks for live figures and decides in the same moment, and counts the decisions that had to be sent again."""


def test_a_look_for_live_figures_takes_no_decision_with_it(server, store, request):
    keep_look = "const make = window.setInterval; window.setInterval = (act, pace) => "
    keep_look += "{ if (pace === 2000) window.testLook = act; return make(act, pace); };"
    with open_browser(LARGE) as browser:
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": keep_look})
        driver = open_card(browser, server, "review", request.node.name)
        driver.press_next("a")
        driver.wait(lambda: browser.execute_script("return Boolean(window.testLook)"), "a refit under way")
        driver.wait_until_saved()
        assert browser.execute_async_script(LOOK_AND_DECIDE) == 0
    assert len(events_of(store, request.node.name)) == 2


def test_an_edit_is_saved_by_control_and_enter(card, store, request):
    before = card.painted
    card.press("e")
    card.wait(lambda: card.deck("!!found.querySelector('textarea')"), "a text field")
    card.write("axu edited ")
    card.press("Escape")
    card.wait(lambda: not card.deck("!!found.querySelector('textarea')"), "no text field")
    assert card.painted == before
    card.press("e")
    card.write("axu edited ")
    assert card.deck("found.querySelectorAll('textarea').length") >= 2
    card.press("Enter", modifiers=CONTROL)
    card.wait(lambda: card.painted != before, "the next card")
    card.wait_until_saved()
    (event,) = events_of(store, request.node.name)
    assert (event.item_id, event.action) == (before, "edit")
    assert "axu edited " in event.edited_chosen
    assert event.edited_rejected is None
    card.press("ArrowLeft")
    card.wait_for_card(before)
    assert "axu edited" in card.text(".sheet")


def test_an_edit_and_a_note_outlive_a_reload(card, store, request):
    before = card.painted
    card.press("n")
    card.write("half a thought")
    card.press("Enter")
    card.press("e")
    card.write("begun and ")
    card.browser.refresh()
    card.wait(lambda: card.deck("!!found.querySelector('textarea')"), "the edit again")
    assert "half a thought" in card.text(".noted")
    card.write("finished ")
    card.press("Enter", modifiers=CONTROL)
    card.wait_until_saved()
    (event,) = events_of(store, request.node.name)
    assert (event.item_id, event.action, event.note) == (before, "edit", "half a thought")
    assert "begun and " in event.edited_chosen
    assert "finished " in event.edited_chosen


def test_an_empty_edit_is_not_taken(card, store, request):
    card.press("e")
    card.deck("found.querySelectorAll('textarea').forEach(area => { area.value = ' '; })")
    card.press("Enter", modifiers=CONTROL)
    assert "empty" in card.text(".problem")
    card.press("Escape")
    assert events_of(store, request.node.name) == []


def test_a_refused_edit_comes_back_into_its_fields(card, store, request):
    edited = card.painted
    card.press("e")
    card.wait(lambda: card.deck("!!found.querySelector('textarea')"), "text fields")
    # The same to the server, which folds the sharp s, and not to the browser.
    sides = "[...found.querySelectorAll('textarea')].slice(-2)"
    card.deck(f"{sides}.forEach((area, at) => {{ area.value = ['Maße', 'masse'][at]; }})")
    card.press("Enter", modifiers=CONTROL)
    card.wait(lambda: card.painted == edited and card.deck("!!found.querySelector('textarea')"), "the edit again")
    assert card.deck(f"{sides}.map(area => area.value)") == ["Maße", "masse"]
    assert "Not stored" in card.text(".problem")
    assert events_of(store, request.node.name) == []
    card.press("Escape")


def test_a_note_goes_with_the_next_decision_alone(card, store, request):
    card.press("n")
    card.write("xau: unsure about the date")
    card.press("Enter")
    card.wait(lambda: "unsure about the date" in card.text(".noted p"), "the note")
    card.press_next("f")
    card.press_next("a")
    card.wait_until_saved()
    assert [(each.action, each.note) for each in events_of(store, request.node.name)] == [
        ("flag", "xau: unsure about the date"),
        ("accept", ""),
    ]


# -------------------------------------------------------------------------------------------- undo and looking back


def test_undo_reaches_back_over_a_reload(card, store, request):
    name = request.node.name
    read = [card.painted]
    for key in "axfax" * 6:
        read.append(card.press_next(key))
    card.wait_until_saved()
    card.browser.refresh()
    card.wait_for_card(read[-1])
    for wanted in reversed(read[:-1]):
        card.press("u")
        card.wait_for_card(wanted)
    card.wait_until_saved()
    assert standing(store, name) == {}
    assert len(events_of(store, name)) == 60
    card.press("u")
    time.sleep(1)
    assert card.painted == read[0]
    assert card.unsaved == 0


def test_looking_back_shows_decisions_and_decides_anew(card, store, request):
    first = card.painted
    second = card.press_next("a")
    third = card.press_next("x")
    card.press("ArrowLeft")
    card.press("ArrowLeft")
    card.wait_for_card(first)
    assert "accepted" in card.text(".banner")
    card.press("ArrowRight")
    card.wait_for_card(second)
    assert "rejected" in card.text(".banner")
    card.press("ArrowLeft")
    card.wait_for_card(first)
    card.press("f")
    card.wait_for_card(third)
    card.wait_until_saved()
    assert standing(store, request.node.name) == {first: "flag", second: "reject"}
    card.press("u")
    card.wait_until_saved()
    assert standing(store, request.node.name) == {first: "accept", second: "reject"}
    assert card.painted == third


def test_blind_mode_hides_labels_and_says_which_side_was_meant(browser, server, store):
    card = open_card(browser, server, "check", "blind-reader")
    opened = card.painted
    card.press("b")
    card.wait(lambda: "does not count as blind" in card.text(".banner"), "that its labels were seen")
    assert "Chosen" in card.text(".sides")
    card.press_next("r")
    card.wait(lambda: "Answer A" in card.text(".sides"), "hidden labels")
    wanted = [(opened, "label_right", "open")]
    for key in "1212":
        assert not card.deck("!!found.querySelector('.known')")
        assert "Chosen" not in card.text(".sides")
        pair = store.pairs.by_id([card.painted])[card.painted]
        left = card.deck("found.querySelector('.side .text').textContent")
        left_is_chosen = left == pair.chosen
        meant_chosen = left_is_chosen == (key == "1")
        presented = "blind" if left_is_chosen else "blind_swapped"
        wanted.append((card.painted, "label_right" if meant_chosen else "flip", presented))
        card.press_next(key)
        assert f"{'A' if left_is_chosen else 'B'} was labelled chosen" in card.text(".banner")
    card.press("r")
    card.wait_until_saved()
    events = events_of(store, "blind-reader", "pair")
    assert [(event.item_id, event.action, event.presented) for event in events] == wanted
    assert "blind=1" in browser.current_url
    card.press("ArrowLeft")
    card.wait(lambda: card.deck("!!found.querySelector('.known')"), "the figures of a decided card")


def test_a_card_whose_labels_were_seen_is_never_blind_again(browser, server, store):
    card = open_card(browser, server, "check", "taught", "&blind=1")
    card.wait(lambda: "Answer A" in card.text(".sides"), "hidden labels")
    first = card.painted
    card.press_next("1")
    assert "was labelled chosen" in card.text(".banner")
    card.press_next("u")
    assert card.painted == first
    assert "Chosen" in card.text(".sides")
    assert "does not count as blind" in card.text(".banner")
    second = card.press_next("f")
    card.press_next("u")
    card.wait_until_saved()
    browser.refresh()
    card.wait_for_card(first)
    assert "Chosen" in card.text(".sides"), "the server knows it too"
    card.press_next("f")
    assert card.painted == second
    assert "Answer A" in card.text(".sides"), "the next card is hidden as before"
    third = card.press_next("s")
    assert "was labelled" not in card.text(".banner"), "a skip tells nothing"
    card.press_next("u")
    assert "Answer A" in card.text(".sides")
    card.press("b")
    card.press("b")
    assert "Chosen" in card.text(".sides"), "its labels were looked at"
    card.press_next("r")
    assert card.painted == third
    card.wait_until_saved()
    decided = [each for each in events_of(store, "taught", "pair") if each.action not in ("undo", "skip")]
    assert [each.item_id for each in decided] == [first, first, first, second]
    assert [each.presented == "open" for each in decided] == [False, True, True, True]


def test_an_edit_says_which_side_is_which_and_is_not_blind(browser, server, store):
    card = open_card(browser, server, "review", "blind-editor", "&blind=1")
    card.wait(lambda: "Answer A" in card.text(".sides"), "hidden labels")
    first = card.painted
    card.press("e")
    card.wait(lambda: card.deck("!!found.querySelector('form.edit')"), "the fields")
    card.press("Escape")
    card.wait(lambda: "Chosen" in card.text(".sides"), "the card with its labels")
    card.press_next("a")
    card.wait_until_saved()
    (event,) = events_of(store, "blind-editor")
    assert (event.item_id, event.presented) == (first, "open")


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("one two three", "one 2 three", ""),
        (
            "one two three four five six",
            "a b c d e f",
            "too different to mark single words: under 20% of them are in both",
        ),
        (
            " ".join(f"a{number}" for number in range(700)),
            " ".join(f"b{number}" for number in range(700)),
            "too different to mark single words: over 1,200 of them differ",
        ),
        ("word " * 5001, "word", "too long to mark single words: over 5,000 words"),
    ],
)
def test_where_no_words_are_marked_the_reason_is_said(browser, before, after, why):
    comparing = (FOLDER / "difference.js").read_text(encoding="utf-8")
    assert browser.execute_script(f"{comparing}; return compareTexts(...arguments).why", before, after) == why


def test_many_are_decided_in_one_act(browser, server, store):
    card = CardDriver(browser)
    card.browser.get(f"{server.address}/review?who=grid-reader&view=Grid")
    card.wait(lambda: card.deck("found.querySelectorAll('.tile').length") == 24, "small cards")
    shown = card.deck("[...found.querySelectorAll('.tile')].map(tile => tile.dataset.card)")
    card.deck("found.querySelector('.filters input').click()")
    card.deck("found.querySelectorAll('.tile input')[3].click()")
    card.press("a")
    card.wait_until_saved()
    decided = [card_id for card_id in shown if card_id != shown[3]]
    events = events_of(store, "grid-reader")
    assert {event.item_id: event.action for event in events} == dict.fromkeys(decided, "accept")
    assert len({event.sequence for event in events}) == 1
    card.press("u")
    card.wait_until_saved()
    assert standing(store, "grid-reader") == {}
    again = card.deck("[...found.querySelectorAll('.tile')].map(tile => tile.dataset.card)")
    assert set(again) >= set(decided)


def test_an_edit_that_the_grid_breaks_off_opens_again_with_its_card(browser, server):
    card = open_card(browser, server, "review", "grid-editor")
    painted = card.painted
    card.press("e")
    card.wait(lambda: card.deck("!!found.querySelector('form.edit')"), "the fields")
    area = "found.querySelector('form.edit .chosen textarea')"
    card.deck(f"{area}.value = 'Begun.', {area}.dispatchEvent(new Event('input'))")

    def choose(view: str) -> None:
        (button,) = [each for each in browser.find_elements("css selector", "button") if each.text == view]
        button.click()

    choose("Grid")
    card.wait(lambda: card.deck("found.querySelectorAll('.tile').length") > 0, "small cards")
    assert "opens again" in card.text(".banner")
    choose("Card")
    card.wait(lambda: card.deck("!!found.querySelector('form.edit')"), "the fields again")
    assert card.deck(f"{area}.value") == "Begun."
    card.press("Escape")
    card.wait_for_card(painted)
    choose("Grid")
    card.wait(lambda: card.deck("found.querySelectorAll('.tile').length") > 0, "small cards")
    assert "opens again" not in card.text(".banner")


def test_what_is_decided_in_one_tab_leaves_the_other(browser, server, store):
    first = open_card(browser, server, "review", "two-tabs")
    one = browser.current_window_handle
    shown = first.painted
    browser.switch_to.new_window("tab")
    try:
        second = open_card(browser, server, "review", "two-tabs")
        assert second.painted == shown
        following = second.press_next("a")
        second.wait_until_saved()
        other = browser.current_window_handle
        browser.switch_to.window(one)
        first.wait_for_card(following)
        first.wait(lambda: "1 decided" in first.text(".progress"), "what the other tab decided")
        first.press_next("x")
        first.wait_until_saved()
        assert standing(store, "two-tabs") == {shown: "accept", following: "reject"}
        first.press_next("u")
        first.press_next("u")
        first.wait_until_saved()
        assert standing(store, "two-tabs") == {}, "what the other tab did is taken back too"
        browser.switch_to.window(other)
        second.wait(lambda: "0 decided" in second.text(".progress"), "that nothing is decided any more")
    finally:
        browser.close()
        browser.switch_to.window(one)


def test_the_card_fits_a_small_screen(server):
    with open_browser(SMALL) as browser:
        for page in ("check", "review"):
            card = open_card(browser, server, page, "small")
            assert browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
            assert card.deck("found.scrollWidth <= window.innerWidth")


# ------------------------------------------------------------------------------------------------- nothing is lost


@pytest.mark.parametrize("page", ["check", "review"])
def test_a_small_screen_shows_the_prompt_and_an_answer_without_scrolling(page, server):
    with open_browser(SMALL) as browser:
        card = open_card(browser, server, page, "small-reader")
        bar = card.deck("found.querySelector('.foot').getBoundingClientRect().top")
        assert card.deck("found.querySelector('.prompt').getBoundingClientRect().top") < SMALL[1] / 3
        answer = card.deck("found.querySelector('.side .text').getBoundingClientRect().top")
        assert answer + 60 < bar  # three lines of it at least
        rows = "new Set([...found.querySelectorAll('{} button')].map((each) => each.offsetTop)).size"
        assert card.deck(rows.format(".tools")) == 1
        assert card.deck(rows.format(".bar")) <= 2


def test_nothing_moves_at_the_first_decision(card):
    place = "found.querySelector('.stage').getBoundingClientRect().top"
    before = card.deck(place)
    card.press_next("a")
    card.wait_until_saved()
    card.wait(lambda: "accepted" in card.text(".progress"), "the progress with what was accepted")
    assert card.deck(place) == before


def test_an_audience_sees_the_card_alone_and_no_key_does_anything(browser, server, store):
    card = CardDriver(browser)
    card.open(f"{server.address}/review?present=1")
    shown = "[...found.querySelectorAll('button, .progress, .saving')].filter((each) => each.offsetParent).length"
    assert card.deck(shown) == 0
    assert card.deck("parseFloat(getComputedStyle(found).fontSize)") > 20
    before, painted = sum(map(len, store.reviews.events("proposal").values())), card.painted
    for key in "axsd?":
        card.press(key)
    assert card.painted == painted
    assert sum(map(len, store.reviews.events("proposal").values())) == before


def test_decisions_wait_in_the_browser_while_the_server_is_gone(tmp_path):
    root = make_reading(tmp_path / "workspace", pairs=30)
    server = AppServer(MARS, root, environment=os.environ, folder=tmp_path)
    server.start()
    try:
        with open_browser() as browser:
            card = open_card(browser, server, "review", "ada")
            server.kill()
            read = [card.painted, card.press_next("a"), card.press_next("x")]
            assert card.unsaved == 2
            assert card.text(".saving") == "2 unsaved"
            asks = (
                "const leaving = new Event('beforeunload', {cancelable: true}); window.dispatchEvent(leaving);"
                "return leaving.defaultPrevented"
            )
            assert browser.execute_script(asks)
            server.start()
            card.wait_until_saved(seconds=60)
            assert not browser.execute_script(asks)
            assert card.painted == read[-1]
        store = open_store(find_workspace(root).database_url)
        assert [(each.item_id, each.action) for each in events_of(store, "ada")] == [
            (read[0], "accept"),
            (read[1], "reject"),
        ]
        store.close()
    finally:
        server.stop()


def test_decisions_in_haste_survive_killed_servers_a_cut_socket_and_a_reload(tmp_path):
    """400 decisions where .ci/run asks for them, else 100 at the same paces."""
    share = 1 if "MARS_SAME_EXAMPLES" in os.environ else 1 / 4
    root = make_reading(tmp_path / "workspace", pairs=round(150 * share) + 10)
    server = AppServer(MARS, root, environment=os.environ, folder=tmp_path)
    server.start()
    actions = {"a": "accept", "x": "reject", "f": "flag", "s": "skip", "1": "accept_chosen", "2": "accept_rejected"}
    resumed = []
    try:
        with open_browser() as browser:
            card = open_card(browser, server, "review", "ada")

            def kill() -> None:
                server.kill()
                server.start()

            def cut() -> None:
                card.cut_sockets()

            def reload_page() -> None:
                card.browser.execute_script("clearInterval(window.testPressing)")
                card.wait(lambda: card.painted not in {"", *(each.painted for each in card.presses())}, "the next card")
                before = card.painted
                left = round(200 * share) - len({each.painted for each in card.presses() if each.decides})
                card.browser.refresh()
                resumed.append((before, card.wait_for_card()))
                card.keep_pressing("axf12", milliseconds=60, cards=left)

            for milliseconds, cards, disturb in (
                (120, 100, (cut, kill)),
                (60, 100, (reload_page,)),
                (250, 40, (kill,)),
                (30, 160, (kill,)),
            ):
                card.keep_pressing("axf12", milliseconds=milliseconds, cards=round(cards * share))
                for disturbance in disturb:
                    time.sleep(milliseconds * 0.03 * share)
                    disturbance()
                card.wait(lambda: not card.is_pressing, f"the decisions at {milliseconds} ms", seconds=120)
                card.wait_until_saved(seconds=60)
            presses = [press for press in card.presses() if press.decides]
            last = card.painted
    finally:
        server.stop()
    store = open_store(find_workspace(root).database_url)
    events = events_of(store, "ada")
    stored = [(event.item_id, event.action) for event in events]
    store.close()
    assert stored == [(press.painted, actions[press.key]) for press in presses]
    assert len(stored) == len({item for item, _ in stored}) >= 400 * share
    assert last not in {item for item, _ in stored}
    for before, after in resumed:
        assert before == after


# ----------------------------------------------------------------------------------------------------- safe to read


@pytest.fixture(scope="module")
def hostile_address(tmp_path_factory) -> Iterator[str]:
    root = make_reading(tmp_path_factory.mktemp("hostile") / "workspace", pairs=12, hostile=True)
    with serve(MARS, root, environment=os.environ, folder=root.parent) as address:
        yield address


@pytest.mark.parametrize("page", ["check", "review"])
def test_hostile_texts_show_verbatim_and_nothing_runs(page, hostile_address):
    with open_browser() as browser:
        card = CardDriver(browser)
        card.open(f"{hostile_address}/{page}?who={quote(HOSTILE[:8])}")
        before = card.painted
        for key in ("d", "d", "b", "b", "ArrowLeft"):
            card.press(key)
        for _ in range(11):
            shown = card.text(".main")
            assert shown.count(HOSTILE) >= 3
            card.press_next("s")
            if card.painted == before:
                break
        severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert [message for message in severe if "_stcore" not in message] == []
        assert browser.execute_script("return window.hacked") is None
        asked = browser.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert all(address.startswith((hostile_address, "blob:")) for address in asked), asked
        assert not card.deck("!!found.querySelector('script, img, a, iframe, object')")


# ------------------------------------------------------------------------------------------------ several at once


def test_three_people_read_one_queue_without_meeting(tmp_path):
    people = ("ada", "bob", "cyn")
    root = make_reading(tmp_path / "workspace", pairs=40)
    url = find_workspace(root).database_url
    server = AppServer(MARS, root, environment=os.environ, folder=tmp_path)
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        store = open_store(url)
        stack.callback(store.close)
        cards = {}
        for name in people:
            cards[name] = open_card(stack.enter_context(open_browser()), server, "review", name)
        held: dict[str, set[str]] = {}
        for number in range(8):
            for card in cards.values():
                card.press_next("ax"[number % 2])
            leases = store.leases.standing("proposal", now=utc_now())
            assert len({lease.item_id for lease in leases}) == len(leases), "an item is leased twice"
            for lease in leases:
                held.setdefault(lease.annotator, set()).add(lease.item_id)
        for card in cards.values():
            card.wait_until_saved(seconds=60)
        events = [event for name in people for event in events_of(store, name)]
        assert len(events) == 8 * len(people)
        assert len({event.item_id for event in events}) == len(events), "an item was decided twice"
        assert set(held) == set(people)
        # Nobody comes back: when their leases end, all that is undecided is dealt to the next who asks.
        later = utc_now() + timedelta(hours=1)
        assert store.leases.standing("proposal", now=later) == []
