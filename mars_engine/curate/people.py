"""People: who decided how much and how fast, and what an adjudicator has before them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mars_engine.core.clock import Clock
from mars_engine.core.columns import ReviewTally
from mars_engine.core.errors import MarsError
from mars_engine.core.records import Pair, Proposal
from mars_engine.core.review_records import ItemKind, ReviewEvent
from mars_engine.core.review_state import ADJUDICATOR_PREFIX, POLICY_PREFIX, decisions_that_count
from mars_engine.curate.agreement import adjudicate
from mars_engine.curate.review import Decision
from mars_engine.store import Store

Role = Literal["person", "adjudicator", "policy"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one annotator did; what was taken back later counts as done."""

    name: str
    role: Role
    checked: int
    """Decisions about source pairs."""
    reviewed: int
    """Decisions about proposals."""
    skipped: int
    taken_back: int
    """Of the decisions; skips that were taken back are none."""
    seconds: float
    """Spent on decisions and skips, as far as it was noted."""

    @property
    def decisions(self) -> int:
        return self.checked + self.reviewed

    @property
    def seconds_per_decision(self) -> float | None:
        """Mean time; None where none was noted."""
        return self.seconds / self.decisions if self.decisions and self.seconds else None


@dataclass(frozen=True, slots=True)
class Dispute:
    """A disputed item with what each person decided. `source` is a proposal's pair."""

    item: Pair | Proposal
    source: Pair
    answers: tuple[ReviewEvent, ...]
    """The decision in force of each person who has a say, by name."""


def contributions(tallies: Iterable[ReviewTally]) -> list[Contribution]:
    """Sum up who did what: people first, then adjudicators and policies, each by name."""
    by_name: dict[str, list[ReviewTally]] = {}
    for tally in tallies:
        by_name.setdefault(tally.annotator, []).append(tally)
    roles: Sequence[Role] = ("person", "adjudicator", "policy")
    found = [_contribution(name, own) for name, own in by_name.items()]
    return sorted(found, key=lambda each: (roles.index(each.role), each.name))


def role_of(name: str) -> tuple[Role, str]:
    """Return whether an annotator is a person, an adjudicator or a policy, and the name without its prefix."""
    if name.startswith(POLICY_PREFIX):
        return "policy", name.removeprefix(POLICY_PREFIX)
    if name.startswith(ADJUDICATOR_PREFIX):
        return "adjudicator", name.removeprefix(ADJUDICATOR_PREFIX)
    return "person", name


def open_dispute(store: Store, kind: ItemKind, item_id: str) -> Dispute:
    """Return a disputed item with its texts and answers.

    Raises:
        MarsError: there is no such item.
    """
    item = (store.pairs.by_id([item_id]) if kind == "pair" else store.proposals.by_id([item_id])).get(item_id)
    source_id = item.source_id if isinstance(item, Proposal) else item_id
    source = store.pairs.by_id([source_id]).get(source_id)
    if item is None or source is None:
        raise MarsError(f"there is no {kind} {item_id!r}", remedy="look at the list of disputes again")
    counting = decisions_that_count(store.reviews.events(kind, [item_id]).get(item_id, []))
    return Dispute(item, source, tuple(event for _, event in sorted(counting.items())))


def same_decision(answer: ReviewEvent, *, note: str = "") -> Decision:
    """Return what a person decided as a decision of one's own, with the edited texts, to settle a dispute by it."""
    return Decision(answer.action, answer.edited_chosen, answer.edited_rejected, note, answer.edited_prompt)


def undo_last_adjudication(store: Store, kind: ItemKind, *, annotator: str, clock: Clock) -> str | None:
    """Take back the adjudicator's newest decision that stands; return its item, None where there is none."""
    standing = store.reviews.standing_acts(kind, f"{ADJUDICATOR_PREFIX}{annotator}", newest=1)
    if not standing:
        return None
    (item_id, *_) = standing[0].items
    adjudicate(store, kind, item_id, Decision("undo"), annotator=annotator, clock=clock)
    return item_id


def _contribution(name: str, tallies: Iterable[ReviewTally]) -> Contribution:
    decided: Mapping[ItemKind, list[int]] = {"pair": [], "proposal": []}
    skipped = taken_back = 0
    seconds = 0.0
    for tally in tallies:
        if tally.action == "undo":
            continue
        seconds += tally.seconds
        if tally.action == "skip":
            skipped += tally.events
        else:
            decided[tally.item_kind].append(tally.events)
            taken_back += tally.undone
    role, plain = role_of(name)
    return Contribution(plain, role, sum(decided["pair"]), sum(decided["proposal"]), skipped, taken_back, seconds)
