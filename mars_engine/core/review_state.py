"""From review events to states. Events never change; a state is what is left of them when undos are carried out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from mars_engine.core.records import Pair, Prompt, Proposal
from mars_engine.core.review_records import Presentation, ReviewAction, ReviewEvent
from mars_engine.core.treatment import LabelDecision

ProposalStatus = Literal["pending", "accepted", "rejected", "flagged", "disputed"]

POLICY_PREFIX = "policy:"
"""Annotator names that begin so are automatic policies; what a person decided overrules them."""

ADJUDICATOR_PREFIX = "adjudicator:"
"""Annotator names that begin so are people who settle disputes; what they decided overrules other people."""


class Mark(Protocol):
    """What of an event tells whether it is in force: a ReviewEvent, or a part of one."""

    @property
    def action(self) -> ReviewAction: ...

    @property
    def annotator(self) -> str: ...

    @property
    def sequence(self) -> int: ...


AnyMark = TypeVar("AnyMark", bound=Mark)


@dataclass(frozen=True, slots=True)
class ProposalState:
    """A proposal's state: its status, and the texts that are approved for composition."""

    status: ProposalStatus
    prompt: Prompt | None = None
    chosen: str | None = None
    """The approved chosen text; None where that side is not approved."""
    rejected: str | None = None
    decided_by: tuple[str, ...] = ()


def standing_events(events: Sequence[AnyMark]) -> dict[str, list[AnyMark]]:
    """Return each annotator's events that were not taken back, skips included, oldest first.

    An undo takes back the annotator's newest event; undoing when nothing is left does nothing.
    """
    stacks: dict[str, list[AnyMark]] = {}
    for event in sorted(events, key=lambda event: (event.annotator, event.sequence)):
        stack = stacks.setdefault(event.annotator, [])
        if event.action != "undo":
            stack.append(event)
        elif stack:
            stack.pop()
    return {annotator: stack for annotator, stack in stacks.items() if stack}


def undone_actions(actions: Iterable[ReviewAction]) -> Iterator[ReviewAction]:
    """Yield what was taken back of the actions of one annotator on one item, oldest first; see standing_events."""
    stack: list[ReviewAction] = []
    for action in actions:
        if action != "undo":
            stack.append(action)
        elif stack:
            yield stack.pop()


def reveals_labels(action: ReviewAction, presented: Presentation) -> bool:
    """Whether who did this knows the item's labels since, for good: an undo takes back no knowledge.

    A decision made blind is followed by what it meant; a skip is not.
    """
    return action != "undo" and (action != "skip" or presented == "open")


def effective_events(events: Sequence[AnyMark]) -> dict[str, list[AnyMark]]:
    """Return each annotator's decisions that are still in force, oldest first.

    Skips are no decisions and leave no trace here, but can be undone.
    """
    return {
        annotator: decisions
        for annotator, stack in standing_events(events).items()
        if (decisions := [event for event in stack if event.action != "skip"])
    }


def binding_decisions(decisions: Mapping[str, AnyMark]) -> dict[str, AnyMark]:
    """Return the decisions that bind, by annotator: those of adjudicators, else of people, else of policies."""
    adjudicators = {name: event for name, event in decisions.items() if name.startswith(ADJUDICATOR_PREFIX)}
    people = {name: event for name, event in decisions.items() if not name.startswith(POLICY_PREFIX)}
    return adjudicators or people or dict(decisions)


def decisions_that_count(events: Sequence[AnyMark]) -> dict[str, AnyMark]:
    """Return the newest decision in force of each annotator whose decisions bind."""
    return binding_decisions({annotator: stack[-1] for annotator, stack in effective_events(events).items()})


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
    decisions = decisions_that_count(events)
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


def decided_by_people(state: ProposalState) -> bool:
    """Whether somebody has decided about the proposal who is no policy."""
    return any(not name.startswith(POLICY_PREFIX) for name in state.decided_by)


def proposal_states(
    proposals: Sequence[Proposal], events: Mapping[str, Sequence[ReviewEvent]]
) -> dict[str, ProposalState]:
    """Return the state of each proposal by its id."""
    return {proposal.id: proposal_state(proposal, events.get(proposal.id, ())) for proposal in proposals}


def label_decision(events: Sequence[AnyMark]) -> LabelDecision | None:
    """Return what was decided of a source pair's label, by people first; None where nobody did or they disagree."""
    actions = {event.action for event in decisions_that_count(events).values()}
    if len(actions) != 1:
        return None
    action = actions.pop()
    return action if action in ("label_right", "flip", "drop", "ambiguous") else None


def is_by_policy_alone(events: Sequence[AnyMark]) -> bool:
    """Whether policies decided about an item and no person did."""
    names = decisions_that_count(events)
    return bool(names) and all(name.startswith(POLICY_PREFIX) for name in names)


def label_decisions(pairs: Sequence[Pair], events: Mapping[str, Sequence[ReviewEvent]]) -> dict[str, LabelDecision]:
    """Return the decided pairs' decisions by pair id."""
    decided = {pair.id: label_decision(events.get(pair.id, ())) for pair in pairs}
    return {pair: decision for pair, decision in decided.items() if decision is not None}


def plain_status(events: Sequence[AnyMark]) -> ProposalStatus | None:
    """Return a proposal's status where its events alone tell it, as `proposal_state` would.

    None where several annotators decided and one of them edited: then the texts must be compared.
    """
    return status_by_actions([event.action for event in decisions_that_count(events).values()])


def status_by_actions(actions: Sequence[ReviewAction]) -> ProposalStatus | None:
    """Return a proposal's status from what those who have a say decided; None where the texts must be compared."""
    different = set(actions)
    if not different:
        return "pending"
    if "edit" in different and len(actions) > 1:
        return None
    if len(different) > 1:
        return "disputed"
    decided: dict[str, ProposalStatus] = {"reject": "rejected", "flag": "flagged"}
    return decided.get(different.pop(), "accepted")


def label_is_disputed(events: Sequence[ReviewEvent]) -> bool:
    """Whether people's decisions about a source pair's label that are in force differ."""
    return len({event.action for event in decisions_that_count(events).values()}) > 1
