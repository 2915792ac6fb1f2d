"""Trails in the store: kept word for word, and replaced where a source is tried again."""

from dataclasses import replace

import pytest
from test_store import AWKWARD, PAIRS, a_proposal, fill, store  # noqa: F401 (a fixture)

from mars_engine.core.errors import StoreError
from mars_engine.core.records import RefineTry
from mars_engine.store import Store


def a_try(number: int, position: int, **changes: object) -> RefineTry:
    record = RefineTry(
        source_id=PAIRS[number].id,
        oriented_id=PAIRS[number].id,
        settings_id="settings",
        position=position,
        side="rejected",
        generator="rules 1",
        text=f"try {position} {AWKWARD}",
        distance=0.1 + 0.2,
        verdict="too close still",
    )
    return replace(record, **changes)


def test_trails_come_back_as_they_were_in_their_order(store: Store):  # noqa: F811
    fill(store)
    first = [
        a_try(0, 0),
        a_try(0, 1, text=None, distance=None, verdict="no rewrite: é 👩🏽‍🚀"),
        a_try(0, 2, verdict="kept"),
    ]
    second = [a_try(1, 0, side="chosen")]
    other_settings = [a_try(0, 0, settings_id="other", text="")]
    store.proposals.add_proposals("settings", {}, [], [], [first[2], *second, first[0], first[1]])
    store.proposals.add_proposals("other", {}, [], [], other_settings)
    found = store.proposals.refine_tries([PAIRS[0].id])
    assert [each for each in found if each.settings_id == "settings"] == first
    assert [each for each in found if each.settings_id == "other"] == other_settings
    assert store.proposals.refine_tries([PAIRS[1].id, "nothing"]) == second
    assert store.proposals.refine_tries([]) == []


def test_a_source_that_is_tried_again_has_its_newest_trail_alone(store: Store):  # noqa: F811
    fill(store)
    store.proposals.add_proposals("settings", {}, [], [], [a_try(0, 0), a_try(0, 1), a_try(1, 0)])
    store.proposals.add_proposals("settings", {}, [], [], [a_try(0, 0, text="again")])
    store.proposals.add_proposals("settings", {f"{PAIRS[1].id}:high": "not_needed"}, [], [])
    assert [each.text for each in store.proposals.refine_tries([PAIRS[0].id])] == ["again"]
    assert len(store.proposals.refine_tries([PAIRS[1].id])) == 1


def test_a_trail_that_is_refused_takes_the_proposals_back_with_it(store: Store):  # noqa: F811
    fill(store)
    twice = [a_try(0, 0), a_try(0, 0)]
    with pytest.raises(StoreError):
        store.proposals.add_proposals("settings", {"mark": "unrefined"}, [a_proposal(PAIRS[0], 1)], [], twice)
    assert store.proposals.proposals() == []
    assert store.proposals.sources_done("settings") == {}
