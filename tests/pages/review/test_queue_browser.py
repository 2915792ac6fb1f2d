"""The queue in a real headless Chromium: its order, what a card adds to its source, and the trail of refining."""

import os
from pathlib import Path

import pytest
from app_workspaces import make_workspace
from browsing import SMALL, open_browser
from card_driving import CardDriver, open_card
from reading_workspaces import HOSTILE, events_of, make_reading
from serving_app import MARS, AppServer

from mars_engine.data.trails import trails_of
from mars_engine.store import open_store
from mars_engine.workspace.workspace import find_workspace

pytestmark = pytest.mark.browser

ORDER_FIELD = ".st-key-review-order input"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    return make_reading(tmp_path_factory.mktemp("queue") / "workspace", pairs=24)


def choose(card: CardDriver, order: str) -> None:
    """Choose an order as a person does: click the field, then the name."""
    card.browser.find_element("css selector", ORDER_FIELD).click()
    options = (
        "return [...document.querySelectorAll('[role=option]')].find(each => each.innerText.trim() === arguments[0])"
    )
    card.wait(lambda: card.browser.execute_script(options, order), f"the option {order!r}")
    card.browser.execute_script(options, order).click()


def shown_order(card: CardDriver) -> str:
    shown = (
        "const box = document.querySelector('.st-key-review-order');"
        "return box ? `${box.innerText} ${box.querySelector('input').value}` : ''"
    )
    return str(card.browser.execute_script(shown))


def test_the_order_is_in_sight_in_the_address_and_keys_decide_after_it_was_chosen(browser, server, store, request):
    card = open_card(browser, server, "review", request.node.name)
    assert "As the plan spends" in shown_order(card)
    assert "order=" not in browser.current_url
    choose(card, "By chance")
    card.wait(lambda: "order=random" in browser.current_url, "the order in the address")
    card.wait(lambda: browser.execute_script("return document.activeElement?.matches('input') === false"), "the focus")
    first = card.painted
    card.press_next("x")
    card.wait_until_saved()
    assert [(each.item_id, each.action) for each in events_of(store, request.node.name)] == [(first, "reject")]
    following = card.painted
    browser.refresh()
    card.wait_for_card()
    assert "By chance" in shown_order(card)
    assert card.painted == following
    choose(card, "As the plan spends")
    card.wait(lambda: "order=" not in browser.current_url, "the configured order needs no word in the address")
    card.press("u")
    card.wait_until_saved()


def test_a_card_says_how_many_pairs_of_its_source_it_adds_as_decisions_come(browser, server, store, request):
    card = open_card(browser, server, "review", request.node.name)
    said: list[str] = []
    sources = {each.id: each.source_id for each in store.proposals.proposals()}
    first_source = sources[card.painted]
    decided = 0
    while sources[card.painted] == first_source and decided < 3:
        card.wait(lambda: "Accepting it adds" in card.text(".sheet:not(.ahead) .adds"), "how many pairs it adds")
        said.append(card.text(".sheet:not(.ahead) .adds"))
        card.press_next("a")
        card.wait_until_saved()
        decided += 1
    assert said[0] == "Accepting it adds up to 3 new pairs from its source."
    assert said[1] == "Accepting it adds up to 5 more pairs: 8 from its source, with the 1 accepted before."
    card.wait(lambda: f"{decided} accepted make" in card.text(".progress"), "the pairs of all that is accepted")
    card.press("ArrowLeft")
    card.wait(lambda: "Looking back" in card.text(".banner"), "a decided card")
    assert card.text(".sheet:not(.ahead) .adds") == ""
    card.press("ArrowRight")
    for _ in range(decided):
        card.press("u")
        card.wait_until_saved()
    card.wait(lambda: card.text(".sheet:not(.ahead) .adds") == said[0], "as before")


def test_by_gain_the_queue_follows_what_is_accepted(browser, server, store, request):
    card = open_card(browser, server, "review", request.node.name, "&order=gain")
    says = "return document.querySelector('[data-testid=stMain]')?.innerText || ''"
    for key in "ax":
        card.press_next(key)
        card.wait_until_saved()
    made = "were chosen one after another"
    card.wait(lambda: made in browser.execute_script(says), "the order made in the background", seconds=120)
    for _ in range(2):  # the next decision brings the new order about, and the one after it the first card of that
        card.press_next("s")
        card.wait_until_saved()
    card.wait(lambda: "nats" in card.text(".sheet:not(.ahead) .adds"), "the gain on the card")
    card.wait(lambda: "Chance of being accepted" in browser.execute_script(says), "the curve under the queue")
    actions = [each.action for each in events_of(store, request.node.name)]
    assert actions[:2] == ["accept", "reject"]
    assert set(actions[2:]) == {"skip"}
    for _ in actions:
        card.press("u")
    card.wait_until_saved()


def test_on_a_small_screen_the_order_can_be_read(server):
    with open_browser(SMALL) as small:
        card = open_card(small, server, "review", "small-order")
        widths = small.execute_script(
            "const box = document.querySelector('.st-key-review-order');"
            "const words = [...box.querySelectorAll('[value], div')].filter(each => !each.children.length"
            "  && (each.innerText || each.value || '').includes('As the plan spends'));"
            "return [words.length, ...words.map(each => each.scrollWidth - each.clientWidth)]"
        )
        assert widths[0] > 0
        assert max(widths[1:]) <= 0, "nothing of it is cut off"
        assert small.find_element("css selector", ".st-key-review-order label").is_displayed()
        assert "As the plan spends" in shown_order(card)


def test_where_nothing_waits_no_button_decides_and_the_way_out_stands_above(browser, tmp_path):
    root = make_workspace(tmp_path / "workspace", "complete")
    server = AppServer(MARS, root, environment=os.environ, folder=tmp_path)
    server.start()
    try:
        browser.get(f"{server.address}/review?who=late")
        card = CardDriver(browser)
        buttons = "[...found.querySelectorAll('.bar button')]"
        shown = f"{buttons}.filter(each => each.offsetParent).map(each => each.dataset.name)"
        card.wait(lambda: card.deck(shown) == ["undo"], "no button that decides")
        button = browser.find_element("css selector", ".st-key-read-unread button")
        assert button.location["y"] < card.deck("found.getBoundingClientRect().top")
        button.click()
        card.wait_for_card()
        assert "accept" in card.deck(shown)
        assert "set=unread" in browser.current_url
        card.press_next("s")
        card.wait_until_saved()
    finally:
        server.stop()


def test_the_trail_is_folded_and_shows_each_try_as_it_is(tmp_path):
    root = make_reading(tmp_path / "workspace", pairs=12, hostile=True)
    opened = open_store(find_workspace(root).database_url)
    proposals = opened.proposals.proposals()
    trails, sources = trails_of(opened, proposals), {each.id: each.source_id for each in proposals}
    opened.close()
    server = AppServer(MARS, root, environment=os.environ, folder=tmp_path)
    server.start()
    try:
        with open_browser() as browser:
            card = open_card(browser, server, "review", "ada")
            for _ in proposals:
                if card.painted in trails:
                    break
                card.press_next("s")
            painted = card.painted
            trail = trails[painted]
            folded = "found.querySelector('.sheet:not(.ahead) details.trail')"
            assert card.deck(f"{folded}.open") is False
            assert "to sharpen the contrast" in card.deck(f"{folded}.querySelector('summary').textContent")
            card.deck(f"{folded}.querySelector('summary').click()")
            texts = f"[...{folded}.querySelectorAll('li .text')].map(each => each.textContent)"
            wanted = [each.text for each in trail if each.text is not None]
            card.wait(lambda: card.deck(texts) == wanted, "each text as it was offered")
            assert HOSTILE in wanted[0]
            labels = card.deck(f"[...{folded}.querySelectorAll('li .label')].map(each => each.textContent)")
            assert all(each.verdict in label for each, label in zip(trail, labels, strict=True))
            assert all("by replacing 1" in label for label in labels)
            card = open_card(browser, server, "review", "ada", "&blind=1")
            card.wait_for_card(painted)
            assert card.deck(f"!{folded}"), "no trail while labels are hidden"
            browser.get(f"{server.address}/pair?id={sources[painted]}")
            page = "return document.querySelector('[data-testid=stMain]')?.innerText || ''"
            card.wait(lambda: "Sharpening the contrast" in browser.execute_script(page), "the trail on the page Pair")
            browser.execute_script(
                "[...document.querySelectorAll('summary')].filter(each => / tr(y|ies): /.test(each.innerText))"
                ".forEach(each => each.click())"
            )
            card.wait(lambda: HOSTILE in browser.execute_script(page), "a try, word for word")
            assert browser.execute_script("return window.hacked") is None
    finally:
        server.stop()
