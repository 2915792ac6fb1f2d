"""Review: decisions about proposals and source pairs, as events; and policies that decide where no person does."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mars_engine.core.clock import Clock
from mars_engine.core.errors import MarsError, NotReadyError
from mars_engine.core.judge_records import JUDGE_PREFIX
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.progress import Progress
from mars_engine.core.records import Prompt, Proposal
from mars_engine.core.review_records import PAIR_ACTIONS, PROPOSAL_ACTIONS, ItemKind, ReviewAction, ReviewEvent
from mars_engine.core.review_state import ADJUDICATOR_PREFIX, POLICY_PREFIX, proposal_states
from mars_engine.store import Store

ReviewPolicy = Literal["accept-all", "gates"]
Reviewer = Literal["accept-all", "gates", "people"]
"""Who decides in whole rounds: a policy at once, or people, who are waited for."""

SECONDS_BETWEEN_LOOKS = 2.0

LONGEST_NAME = 100
"""Characters of an annotator's name."""


@dataclass(frozen=True, slots=True)
class ReviewReport(ShownAsTable):
    """What a policy or people did, and how all proposals stand afterwards."""

    policy: Reviewer
    accepted_now: int
    rejected_now: int
    standing: dict[str, int]
    """Number of proposals by status."""
    reasons: dict[str, int]
    """Why the quality gates rejected proposals now; the part of a reason before the colon."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decides about one item. An edit says the texts that it changes, the others stay."""

    action: ReviewAction
    chosen: str | None = None
    rejected: str | None = None
    note: str = ""
    prompt: Prompt | None = None
    seconds: float = 0.0
    """How long it took."""


def record_decisions(
    store: Store, item_kind: ItemKind, decisions: Mapping[str, Decision], *, annotator: str, clock: Clock
) -> list[ReviewEvent]:
    """Store a person's decisions about some items at once, all or none, and return them.

    Args:
        store: the workspace's memory.
        item_kind: what the items are.
        decisions: by the items' ids; at least one.
        annotator: who decides.
        clock: tells when.

    Raises:
        MarsError: the annotator has no name, an item does not exist, an action is none for its kind, or an edit has an
            empty text or twice the same.
    """
    require_annotator(annotator)
    return append_decisions(store, item_kind, decisions, annotator=annotator, clock=clock)


def append_decisions(
    store: Store, item_kind: ItemKind, decisions: Mapping[str, Decision], *, annotator: str, clock: Clock
) -> list[ReviewEvent]:
    """Store decisions under a name that may be reserved; see `record_decisions`."""
    if not decisions:
        raise MarsError("there is no decision to record", expected="at least one, by the id of what it is about")
    for item_id, decision in decisions.items():
        _validate(store, item_kind, item_id, decision.action, [decision.chosen, decision.rejected])
    at = clock()
    first = next_sequence(store, annotator, at)
    events = [
        ReviewEvent(
            item_kind=item_kind,
            item_id=item_id,
            action=decision.action,
            annotator=annotator,
            sequence=first + place,
            at=at,
            edited_prompt=decision.prompt,
            edited_chosen=decision.chosen,
            edited_rejected=decision.rejected,
            note=decision.note,
            seconds=decision.seconds,
        )
        for place, (item_id, decision) in enumerate(decisions.items())
    ]
    store.reviews.append(events)
    return events


def count_standing(store: Store) -> dict[str, int]:
    """Return the number of proposals by status, the commonest first."""
    return dict(_standing(store).most_common())


def _validate(
    store: Store, item_kind: ItemKind, item_id: str, action: ReviewAction, edited: Sequence[str | None]
) -> None:
    actions = PROPOSAL_ACTIONS if item_kind == "proposal" else PAIR_ACTIONS
    if action not in actions:
        raise MarsError(f"{action!r} cannot be done to a {item_kind}", expected=f"one of {', '.join(sorted(actions))}")
    known = store.proposals.by_id([item_id]) if item_kind == "proposal" else store.pairs.by_id([item_id])
    if item_id not in known:
        raise MarsError(f"there is no {item_kind} {item_id}", remedy="take an id from 'mars status' or an export")
    if action == "edit" and any(text is not None and not text.strip() for text in edited):
        raise MarsError("an edited text is empty", expected="some text", remedy="reject the proposal instead")
    if action == "edit" and edited[0] is not None and edited[0] == edited[1]:
        raise MarsError("the two edited answers are the same", expected="two different answers")


def require_annotator(name: str) -> None:
    """Check that a person may decide under this name.

    Raises:
        MarsError: it is empty, too long, has characters that cannot be shown, or is kept for policies, judges or
            adjudicators.
    """
    reserved = (POLICY_PREFIX, ADJUDICATOR_PREFIX, JUDGE_PREFIX)
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable() or name.startswith(reserved):
        raise MarsError(
            f"{name[:LONGEST_NAME]!r} is no annotator's name",
            expected=f"a name of at most {LONGEST_NAME} characters that begins with none of "
            f"{', '.join(map(repr, reserved))}",
        )


def next_sequence(store: Store, annotator: str, at: datetime) -> int:
    """Return the sequence of an annotator's next act: above all earlier ones, and above those made before `at`."""
    return max(store.reviews.last_sequence(annotator) + 1, round(at.timestamp() * 1_000_000))


def review_by_policy(store: Store, policy: ReviewPolicy, *, clock: Clock) -> ReviewReport:
    """Decide about every pending proposal by a policy, in one act.

    What a person decided is left alone, and overrules later. accept-all accepts each proposal; gates accepts those
    that passed every quality gate and rejects the others, with the gates' reasons as the note.

    Raises:
        NotReadyError: there are no proposals.
    """
    proposals = store.proposals.proposals()
    if not proposals:
        raise NotReadyError("there are no proposals to review", remedy="run 'mars propose' first")
    events = store.reviews.events("proposal")
    states = proposal_states(proposals, events)
    annotator = f"{POLICY_PREFIX}{policy}"
    now = clock()
    sequence = next_sequence(store, annotator, now)
    decisions = [
        ReviewEvent(
            item_kind="proposal",
            item_id=proposal.id,
            action="accept" if _accepts(policy, proposal) else "reject",
            annotator=annotator,
            sequence=sequence,
            at=now,
            note="" if policy == "accept-all" else "; ".join(proposal.flags),
        )
        for proposal in proposals
        if states[proposal.id].status == "pending"
    ]
    store.reviews.append(decisions)
    rejected = [decision for decision in decisions if decision.action == "reject"]
    return ReviewReport(
        policy=policy,
        accepted_now=len(decisions) - len(rejected),
        rejected_now=len(rejected),
        standing=count_standing(store),
        reasons=dict(
            Counter(part.split(":")[0] for decision in rejected for part in decision.note.split("; ")).most_common()
        ),
    )


def wait_for_people(store: Store, *, progress: Progress, sleep: Callable[[float], None] = time.sleep) -> ReviewReport:
    """Return once people have decided about every proposal that waits; looks whenever something was decided.

    Raises:
        NotReadyError: there are no proposals.
    """
    before = standing = _standing(store)
    if not before:
        raise NotReadyError("there are no proposals to review", remedy="run 'mars propose' first")
    with progress.task("wait for people to review", before["pending"]) as task:
        seen = store.browse.revisions().get("reviews", 0)
        while standing["pending"]:
            sleep(SECONDS_BETWEEN_LOOKS)
            now = store.browse.revisions().get("reviews", 0)
            if now == seen:
                continue
            seen, waited = now, standing["pending"]
            standing = _standing(store)
            task.advance(waited - standing["pending"])
    return ReviewReport(
        policy="people",
        accepted_now=standing["accepted"] - before["accepted"],
        rejected_now=standing["rejected"] - before["rejected"],
        standing=dict(standing.most_common()),
        reasons={},
    )


def _standing(store: Store) -> Counter[str]:
    """Number of proposals by status."""
    states = proposal_states(store.proposals.proposals(), store.reviews.events("proposal"))
    return Counter(state.status for state in states.values())


def _accepts(policy: ReviewPolicy, proposal: Proposal) -> bool:
    return policy == "accept-all" or not proposal.flags
