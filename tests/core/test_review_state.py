"""States derived from review events: undo takes back exactly one decision, people overrule policies."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.records import Pair, Proposal, Turn
from mars_engine.core.review_records import PAIR_ACTIONS, PROPOSAL_ACTIONS, ItemKind, ReviewAction, ReviewEvent
from mars_engine.core.review_state import (
    ProposalState,
    effective_events,
    label_decision,
    label_decisions,
    label_is_disputed,
    plain_status,
    proposal_state,
    proposal_states,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROMPT = (Turn("user", "Why is the sky blue?"),)
OTHER_PROMPT = (Turn("user", "What makes the sky blue?"),)
PROPOSAL = Proposal(
    id="proposal",
    source_id="source",
    oriented_id="source",
    plan_id="plan",
    model_id="model",
    settings_id="settings",
    method="paraphrase",
    variant=1,
    prompt=PROMPT,
    chosen="Short waves scatter most.",
    rejected="Because of the sea.",
    unchanged_sides=(),
    generators={},
    seed=0,
    distance_before=0.4,
    distance_after=0.4,
    margin_before=1.0,
    margin_after=1.0,
    information_gain=0.1,
    flags=(),
)
ACCEPTED = ProposalState("accepted", PROMPT, PROPOSAL.chosen, PROPOSAL.rejected, ("ann",))
POLICY = "policy:gates"
ANNOTATORS = ("ann", "bob", POLICY)


class Log:
    """Writes events as the annotators' clients would: each counts its own events on the item."""

    def __init__(self, kind: ItemKind = "proposal") -> None:
        self.kind = kind
        self.events: list[ReviewEvent] = []

    def add(self, annotator: str, action: ReviewAction, **edits) -> "Log":
        sequence = sum(event.annotator == annotator for event in self.events) + 1
        self.events.append(ReviewEvent(self.kind, "item", action, annotator, sequence, NOON, **edits))
        return self

    @property
    def state(self) -> ProposalState:
        return proposal_state(PROPOSAL, self.events)

    @property
    def decision(self):
        return label_decision(self.events)


def replay(kind: ItemKind, steps) -> Log:
    log = Log(kind)
    for annotator, action, text in steps:
        edits = {"edited_chosen": text, "edited_prompt": OTHER_PROMPT if text else None} if action == "edit" else {}
        log.add(annotator, action, **edits)
    return log


def steps(actions: frozenset[str], annotators: tuple[str, ...] = ANNOTATORS, *, most: int = 12):
    texts = st.sampled_from([None, "one edit", "another edit"])
    step = st.tuples(st.sampled_from(annotators), st.sampled_from(sorted(actions)), texts)
    return st.lists(step, max_size=most)


# -------------------------------------------------------------------------------------------------------------- undo


@given(steps(PROPOSAL_ACTIONS), st.sampled_from(ANNOTATORS), steps(PROPOSAL_ACTIONS - {"undo"}, ("?",), most=6))
def test_as_many_undos_as_events_restore_a_proposals_state_step_by_step(before, annotator, added):
    log = replay("proposal", before)
    states = [log.state]
    for _, action, text in added:
        log.add(annotator, action, edited_chosen=text)
        states.append(log.state)
    for state in reversed(states[:-1]):
        log.add(annotator, "undo")
        assert log.state == state


@given(steps(PAIR_ACTIONS), st.sampled_from(ANNOTATORS), steps(PAIR_ACTIONS - {"undo"}, ("?",), most=6))
def test_as_many_undos_as_events_restore_a_label_decision_step_by_step(before, annotator, added):
    log = replay("pair", before)
    decisions = [log.decision]
    for _, action, _ in added:
        log.add(annotator, action)
        decisions.append(log.decision)
    for decision in reversed(decisions[:-1]):
        log.add(annotator, "undo")
        assert log.decision == decision


@given(steps(PROPOSAL_ACTIONS), st.randoms())
def test_the_order_in_which_events_arrive_does_not_matter(before, random):
    events = replay("proposal", before).events
    shuffled = random.sample(events, len(events))
    assert proposal_state(PROPOSAL, shuffled) == proposal_state(PROPOSAL, events)
    assert effective_events(shuffled) == effective_events(events)


def test_an_undo_takes_back_the_annotators_own_newest_event_alone():
    log = Log().add("ann", "accept").add("bob", "accept").add("ann", "undo")
    assert log.state == replace(ACCEPTED, decided_by=("bob",))
    assert Log().add("ann", "reject").add("ann", "accept").add("ann", "undo").state.status == "rejected"


def test_undoing_when_nothing_is_left_does_nothing():
    log = Log().add("ann", "undo").add("ann", "undo").add("ann", "accept")
    assert log.state == ACCEPTED
    assert log.add("ann", "undo").add("ann", "undo").state == ProposalState("pending")
    assert log.add("ann", "accept").state == ACCEPTED


def test_effective_events_are_those_in_force_oldest_first():
    log = Log().add("ann", "accept").add("ann", "flag").add("ann", "undo").add("ann", "edit", edited_chosen="x")
    log.add("bob", "skip").add(POLICY, "accept").add(POLICY, "undo")
    assert {name: [event.sequence for event in left] for name, left in effective_events(log.events).items()} == {
        "ann": [1, 4]
    }


# -------------------------------------------------------------------------------------------------------- proposals


def test_without_events_a_proposal_is_pending():
    assert proposal_state(PROPOSAL, ()) == ProposalState("pending")


def test_accepting_approves_both_sides_or_one():
    assert Log().add("ann", "accept").state == ACCEPTED
    assert Log().add("ann", "accept_chosen").state == replace(ACCEPTED, rejected=None)
    assert Log().add("ann", "accept_rejected").state == replace(ACCEPTED, chosen=None)


@pytest.mark.parametrize(("action", "status"), [("reject", "rejected"), ("flag", "flagged")])
def test_rejecting_and_flagging_approve_nothing(action, status):
    assert Log().add("ann", action).state == ProposalState(status, decided_by=("ann",))


def test_an_edit_changes_the_texts_it_names_and_keeps_the_others():
    assert Log().add("ann", "edit", edited_chosen="Better.").state == replace(ACCEPTED, chosen="Better.")
    assert Log().add("ann", "edit", edited_rejected="Worse.").state == replace(ACCEPTED, rejected="Worse.")
    assert Log().add("ann", "edit", edited_prompt=OTHER_PROMPT).state == replace(ACCEPTED, prompt=OTHER_PROMPT)
    whole = Log().add("ann", "edit", edited_prompt=OTHER_PROMPT, edited_chosen="Better.", edited_rejected="")
    assert whole.state == ProposalState("accepted", OTHER_PROMPT, "Better.", "", ("ann",))


def test_a_later_decision_replaces_the_annotators_earlier_one():
    log = Log().add("ann", "edit", edited_chosen="Better.").add("ann", "accept")
    assert log.state == ACCEPTED
    assert log.add("ann", "reject").state.status == "rejected"


@given(steps(PROPOSAL_ACTIONS), st.sampled_from(["ann", "zoe"]))
def test_a_skip_changes_nothing(before, annotator):
    log = replay("proposal", before)
    state = log.state
    assert log.add(annotator, "skip").state == state


def test_annotators_who_agree_decide_together_and_who_differ_dispute():
    both = Log().add("bob", "accept").add("ann", "accept")
    assert both.state == replace(ACCEPTED, decided_by=("ann", "bob"))
    disputed = ProposalState("disputed", decided_by=("ann", "bob"))
    assert Log().add("ann", "accept").add("bob", "reject").state == disputed
    assert Log().add("ann", "accept").add("bob", "accept_chosen").state == disputed
    assert Log().add("ann", "accept").add("bob", "edit", edited_prompt=OTHER_PROMPT).state == disputed
    assert Log().add("ann", "edit", edited_chosen="a").add("bob", "edit", edited_chosen="b").state == disputed
    assert Log().add("ann", "edit", edited_chosen="a").add("bob", "edit", edited_chosen="a").state.chosen == "a"


def test_a_dispute_ends_when_one_gives_way():
    log = Log().add("ann", "accept").add("bob", "reject")
    assert log.add("bob", "undo").state == ACCEPTED


@given(steps(PROPOSAL_ACTIONS, (POLICY, "policy:other")), st.sampled_from(sorted(PROPOSAL_ACTIONS - {"skip", "undo"})))
def test_a_persons_decision_overrules_every_policy(policies, action):
    alone = Log().add("ann", action).state
    log = replay("proposal", policies)
    before = log.state
    assert log.add("ann", action).state == alone
    assert log.add("ann", "undo").state == before


def test_a_policy_decides_where_no_person_did():
    assert Log().add(POLICY, "accept").state == replace(ACCEPTED, decided_by=(POLICY,))
    assert Log().add("ann", "skip").add(POLICY, "accept").state == replace(ACCEPTED, decided_by=(POLICY,))


@given(steps(PROPOSAL_ACTIONS))
def test_texts_are_approved_exactly_where_the_proposal_is_accepted(before):
    state = replay("proposal", before).state
    assert (state.prompt is not None) == (state.status == "accepted")
    assert (state.chosen is not None or state.rejected is not None) == (state.status == "accepted")
    assert (state.decided_by == ()) == (state.status == "pending")


def test_states_come_by_proposal():
    other = replace(PROPOSAL, id="other")
    states = proposal_states([PROPOSAL, other], {"proposal": Log().add("ann", "accept").events})
    assert states == {"proposal": ACCEPTED, "other": ProposalState("pending")}


# ------------------------------------------------------------------------------------------------------------ labels


@pytest.mark.parametrize("action", sorted(PAIR_ACTIONS - {"skip", "undo"}))
def test_a_label_decision_is_the_newest_that_people_agree_on(action):
    assert Log("pair").add("ann", "skip").decision is None
    assert Log("pair").add("ann", action).decision == action
    assert Log("pair").add("ann", action).add("bob", action).add("ann", "skip").decision == action
    assert Log("pair").add("ann", action).add("ann", "undo").decision is None
    other: ReviewAction = "drop" if action != "drop" else "flip"
    assert Log("pair").add("ann", other).add("ann", action).decision == action
    assert Log("pair").add("ann", action).add("bob", other).decision is None
    assert Log("pair").add(POLICY, other).add("ann", action).decision == action


def test_without_events_no_label_is_decided():
    assert label_decision(()) is None


def test_label_decisions_list_the_decided_pairs_alone():
    first, second, third = (Pair.of(PROMPT, f"good {number}", "bad") for number in range(3))
    events = {
        first.id: Log("pair").add("ann", "flip").events,
        second.id: Log("pair").add("ann", "flip").add("bob", "drop").events,
    }
    assert label_decisions([first, second, third], events) == {first.id: "flip"}


def test_every_action_belongs_to_proposals_or_pairs():
    assert set(get_args(ReviewAction)) == PROPOSAL_ACTIONS | PAIR_ACTIONS


# ------------------------------------------------------------------------------------------------------ adjudicators

JUDGE = "adjudicator:zoe"


@given(steps(PROPOSAL_ACTIONS), st.sampled_from(sorted(PROPOSAL_ACTIONS - {"skip", "undo"})))
def test_an_adjudicators_decision_overrules_everybody_and_can_be_taken_back(others, action):
    alone = Log().add(JUDGE, action).state
    log = replay("proposal", others)
    before = log.state
    assert log.add(JUDGE, action).state == alone
    assert log.add(JUDGE, "undo").state == before


def test_an_adjudicator_settles_a_label():
    log = Log("pair").add("ann", "flip").add("bob", "drop").add(POLICY, "label_right")
    assert label_is_disputed(log.events)
    log.add(JUDGE, "flip")
    assert (log.decision, label_is_disputed(log.events)) == ("flip", False)
    assert log.add(JUDGE, "undo").decision is None


@given(steps(PROPOSAL_ACTIONS, (*ANNOTATORS, JUDGE)))
def test_events_alone_tell_a_status_unless_texts_must_be_compared(before):
    log = replay("proposal", before)
    status = plain_status(log.events)
    assert status is None or status == log.state.status
    assert status is not None or log.state.status in ("accepted", "disputed")
