"""Acts that stand: derived act by act, they say the same of every item as its own events do."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.review_acts import Trace, standing_acts
from mars_engine.core.review_records import ReviewEvent, StandingAct
from mars_engine.core.review_state import standing_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def newest_first(*events: Trace) -> list[Trace]:
    return list(reversed(events))


def test_an_act_stands_until_an_undo_names_its_items():
    accept, bulk = Trace(1, "a", "accept"), [Trace(2, "b", "reject"), Trace(2, "a", "reject")]
    assert list(standing_acts(newest_first(accept, *bulk))) == [StandingAct(2, ("b", "a")), StandingAct(1, ("a",))]
    undone = [Trace(3, "b", "undo"), Trace(3, "a", "undo")]
    assert list(standing_acts(newest_first(accept, *bulk, *undone))) == [StandingAct(1, ("a",))]
    twice = [*undone, Trace(4, "a", "undo")]
    assert list(standing_acts(newest_first(accept, *bulk, *twice))) == []


def test_an_act_taken_back_on_one_item_stands_on_the_others():
    events = [Trace(1, "a", "flag"), Trace(1, "b", "flag"), Trace(2, "a", "undo")]
    assert list(standing_acts(newest_first(*events))) == [StandingAct(1, ("b",))]


def test_an_undo_without_anything_to_take_back_takes_back_nothing_that_comes_later():
    events = [Trace(1, "a", "undo"), Trace(2, "a", "accept"), Trace(3, "b", "skip")]
    assert list(standing_acts(newest_first(*events))) == [StandingAct(3, ("b",)), StandingAct(2, ("a",))]


def test_no_more_is_read_than_is_asked_for():
    def events():
        yield Trace(9, "a", "accept")
        yield Trace(8, "b", "accept")
        raise AssertionError("read on")

    assert next(standing_acts(events())) == StandingAct(9, ("a",))


def acts():
    items = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)
    act = st.tuples(st.sampled_from(["accept", "reject", "skip", "undo"]), items)
    return st.lists(act, max_size=15)


@given(acts())
def test_acts_and_items_agree_on_what_stands_even_where_undos_name_single_items(acts):
    """The undos here are of any items at all, as `record_decisions` allows."""
    events = [Trace(sequence, item, action) for sequence, (action, items) in enumerate(acts, start=1) for item in items]
    by_act = {(act.sequence, item) for act in standing_acts(newest_first(*events)) for item in act.items}
    by_item: set[tuple[int, str]] = set()
    for item in "abcd":
        own = [
            ReviewEvent("pair", item, event.action, "ann", event.sequence, NOON)
            for event in events
            if event.item_id == item
        ]
        by_item |= {(event.sequence, item) for event in standing_events(own).get("ann", [])}
    assert by_act == by_item


@given(acts())
def test_an_undo_of_the_newest_standing_act_restores_what_stood_before_it(acts):
    """As the store writes undos: one event for each item of the newest act that stands."""
    events: list[Trace] = []
    history: list[list[StandingAct]] = [[]]
    for sequence, (action, items) in enumerate(acts, start=1):
        standing = list(standing_acts(newest_first(*events)))
        if action != "undo":
            events += [Trace(sequence, item, action) for item in items]
            history.append(list(standing_acts(newest_first(*events))))
        elif standing:
            events += [Trace(sequence, item, "undo") for item in standing[0].items]
            history.pop()
        assert list(standing_acts(newest_first(*events))) == history[-1]
