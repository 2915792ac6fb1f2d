"""From review events to states. Events never change; a state is what is left of them when undos are carried out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mars_engine.maths.triage import LabelDecision
from mars_engine.words.records import Pair, Prompt, Proposal, ReviewEvent

ProposalStatus = Literal["pending", "accepted", "rejected", "flagged", "disputed"]

POLICY_PREFIX = "policy:"
"""Annotator names that begin so are automatic policies; what a person decided overrules them."""


@dataclass(frozen=True, slots=True)
class ProposalState:
    """A proposal's state: its status, and the texts that are approved for composition."""

    status: ProposalStatus
    prompt: Prompt | None = None
    chosen: str | None = None
    """The approved chosen text; None where that side is not approved."""
    rejected: str | None = None
    decided_by: tuple[str, ...] = ()


def effective_events(events: Sequence[ReviewEvent]) -> dict[str, list[ReviewEvent]]:
    """Return each annotator's events that are still in force, oldest first: an undo takes back the newest one.

    Undoing when nothing is left does nothing. Skips are no decisions and leave no trace here, but can be undone.
    """
    stacks: dict[str, list[ReviewEvent]] = {}
    for event in sorted(events, key=lambda event: (event.annotator, event.sequence)):
        stack = stacks.setdefault(event.annotator, [])
        if event.action != "undo":
            stack.append(event)
        elif stack:
            stack.pop()
    return {
        annotator: decisions
        for annotator, stack in stacks.items()
        if (decisions := [event for event in stack if event.action != "skip"])
    }


def _latest_decisions(events: Sequence[ReviewEvent]) -> dict[str, ReviewEvent]:
    """The decision in force of each annotator; policies only where no person decided."""
    latest = {annotator: stack[-1] for annotator, stack in effective_events(events).items()}
    people = {name: event for name, event in latest.items() if not name.startswith(POLICY_PREFIX)}
    return people or latest


def _approved(proposal: Proposal, event: ReviewEvent, annotator: str) -> ProposalState:
    if event.action in {"reject", "flag"}:
        return ProposalState("rejected" if event.action == "reject" else "flagged", decided_by=(annotator,))
    edited = event.action == "edit"
    return ProposalState(
        "accepted",
        prompt=event.edited_prompt if edited and event.edited_prompt is not None else proposal.prompt,
        chosen=None
        if event.action == "accept_rejected"
        else (event.edited_chosen if edited and event.edited_chosen is not None else proposal.chosen),
        rejected=None
        if event.action == "accept_chosen"
        else (event.edited_rejected if edited and event.edited_rejected is not None else proposal.rejected),
        decided_by=(annotator,),
    )


def proposal_state(proposal: Proposal, events: Sequence[ReviewEvent]) -> ProposalState:
    """Return a proposal's state. Annotators whose decisions in force differ make it disputed: nothing is approved."""
    decisions = _latest_decisions(events)
    states = [_approved(proposal, event, name) for name, event in sorted(decisions.items())]
    if not states:
        return ProposalState("pending")
    first = states[0]
    names = tuple(sorted(decisions))
    if any(
        (s.status, s.prompt, s.chosen, s.rejected) != (first.status, first.prompt, first.chosen, first.rejected)
        for s in states
    ):
        return ProposalState("disputed", decided_by=names)
    return ProposalState(first.status, first.prompt, first.chosen, first.rejected, names)


def proposal_states(
    proposals: Sequence[Proposal], events: Mapping[str, Sequence[ReviewEvent]]
) -> dict[str, ProposalState]:
    """Return the state of each proposal by its id."""
    return {proposal.id: proposal_state(proposal, events.get(proposal.id, ())) for proposal in proposals}


def label_decision(events: Sequence[ReviewEvent]) -> LabelDecision | None:
    """Return what was decided of a source pair's label, by people first; None where nobody did or they disagree."""
    actions = {event.action for event in _latest_decisions(events).values()}
    if len(actions) != 1:
        return None
    action = actions.pop()
    return action if action in ("label_right", "flip", "drop", "ambiguous") else None


def label_decisions(pairs: Sequence[Pair], events: Mapping[str, Sequence[ReviewEvent]]) -> dict[str, LabelDecision]:
    """Return the decided pairs' decisions by pair id."""
    decided = {pair.id: label_decision(events.get(pair.id, ())) for pair in pairs}
    return {pair: decision for pair, decision in decided.items() if decision is not None}
