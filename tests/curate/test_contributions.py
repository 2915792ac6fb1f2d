"""Who did how much, and settling disputes so that it can be taken back."""

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.core.errors import MarsError
from mars_engine.core.review_state import proposal_state
from mars_engine.curate.agreement import adjudicate, agreement
from mars_engine.curate.people import contributions, open_dispute, same_decision, undo_last_adjudication
from mars_engine.curate.review import Decision
from mars_engine.data.import_pairs import import_pairs
from mars_engine.workspace.rounds import run_rounds


@pytest.fixture
def bench():
    """A round by the gates, then two people who disagree about the first proposal."""
    opened = make_bench()
    import_pairs(ListSource(make_pairs(12)), opened.store, split="train", clock=opened.clock, progress=opened.progress)
    run_rounds(opened, 1, policy="accept-all")
    item = opened.store.proposals.proposals()[0].id
    for action, annotator, options in (
        ("reject", "ada", {"seconds": 3.0}),
        ("edit", "bob", {"chosen": "as bob has it", "seconds": 9.0}),
    ):
        record_review(opened.store, "proposal", item, action, annotator=annotator, clock=opened.clock, **options)
    yield opened
    opened.store.close()


def disputed(bench):
    return [each.item_id for each in agreement(bench.store, "proposal").disputed]


def state(bench, item):
    (proposal,) = bench.store.proposals.by_id([item]).values()
    return proposal_state(proposal, bench.store.reviews.events("proposal", [item])[item])


def test_contributions_tell_people_from_policies_and_decisions_from_skips(bench):
    pair = make_pairs(1)[0].id
    for action in ("skip", "undo", "skip", "flip", "undo", "undo", "skip"):
        record_review(bench.store, "pair", pair, action, annotator="ada", clock=bench.clock, seconds=1.0)
    item = disputed(bench)[0]
    adjudicate(bench.store, "proposal", item, Decision("reject"), annotator="eve", clock=bench.clock)
    ada, bob, eve, policy = contributions(bench.store.browse.review_tallies())
    assert (ada.name, ada.role, ada.checked, ada.reviewed, ada.skipped, ada.taken_back) == ("ada", "person", 1, 1, 3, 1)
    assert ada.seconds_per_decision == pytest.approx((3.0 + 1.0 + 3.0) / 2)
    assert (bob.reviewed, bob.seconds_per_decision) == (1, 9.0)
    assert (eve.name, eve.role, eve.seconds_per_decision) == ("eve", "adjudicator", None)
    assert (policy.name, policy.role) == ("accept-all", "policy")
    assert policy.reviewed == len(bench.store.proposals.proposals())


def test_a_dispute_has_the_answers_of_people_alone(bench):
    (item,) = disputed(bench)
    dispute = open_dispute(bench.store, "proposal", item)
    assert [(answer.annotator, answer.action) for answer in dispute.answers] == [("ada", "reject"), ("bob", "edit")]
    assert dispute.item.id == item
    assert dispute.source.id == dispute.item.source_id
    with pytest.raises(MarsError, match="no proposal"):
        open_dispute(bench.store, "proposal", "unknown")


def test_taking_an_edit_takes_its_texts_and_undo_opens_the_dispute_again(bench):
    (item,) = disputed(bench)
    edit = open_dispute(bench.store, "proposal", item).answers[1]
    decision = same_decision(edit, note="bob is right")
    adjudicate(bench.store, "proposal", item, decision, annotator="eve", clock=bench.clock)
    assert disputed(bench) == []
    assert (state(bench, item).status, state(bench, item).chosen) == ("accepted", "as bob has it")
    assert undo_last_adjudication(bench.store, "proposal", annotator="eve", clock=bench.clock) == item
    assert disputed(bench) == [item]
    assert state(bench, item).status == "disputed"
    assert undo_last_adjudication(bench.store, "proposal", annotator="eve", clock=bench.clock) is None
    assert undo_last_adjudication(bench.store, "proposal", annotator="ada", clock=bench.clock) is None
