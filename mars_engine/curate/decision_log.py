"""The decision log: an annotator's acts as the browser sends them, checked, stored once, and acknowledged.

The browser sends the whole list of acts that are not acknowledged yet, again and again. What is stored already is
acknowledged again; what can never be stored is refused with a reason, so that it is shown and dropped.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast, get_args

from mars_engine.augment.quality.text_facts import normalized
from mars_engine.core.clock import Clock
from mars_engine.core.records import Prompt, Proposal
from mars_engine.core.review_records import (
    PAIR_ACTIONS,
    PROPOSAL_ACTIONS,
    ItemKind,
    Presentation,
    ReviewAction,
    ReviewEvent,
)
from mars_engine.curate.cards import with_last_user_turn
from mars_engine.curate.review import require_annotator
from mars_engine.store import Store
from mars_engine.store.database import is_storable

LONGEST_TEXT = 1_000_000
MOST_ITEMS = 5_000
"""Items of one act."""
LONGEST_ID = 100
GREATEST_SEQUENCE = 2**52
"""Microseconds from 1970 to the year 2112. JavaScript counts exactly beyond it, so that there always is a next one."""

ACTIONS: Mapping[ItemKind, frozenset[str]] = {"pair": PAIR_ACTIONS, "proposal": PROPOSAL_ACTIONS}


@dataclass(frozen=True, slots=True)
class RefusedAct:
    """An act that can never be stored. `sequence` is None where it has none that can be read."""

    sequence: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class LogOutcome:
    """What became of a log: acts that the database has now, acts that it will never have, and all items concerned."""

    acknowledged: tuple[int, ...]
    refused: tuple[RefusedAct, ...]
    items: tuple[str, ...]


def outcome_as_json(outcome: LogOutcome) -> dict[str, Any]:
    """Return what the browser is told of its log of decisions, as plain JSON."""
    return {
        "acknowledged": list(outcome.acknowledged),
        "refused": [asdict(refused) for refused in outcome.refused],
    }


def take_log(store: Store, *, kind: ItemKind, annotator: str, acts: object, clock: Clock) -> LogOutcome:
    """Check an annotator's acts and store those that can be, in one transaction, in order of their sequences.

    An act that is stored is acknowledged again and not stored twice. An edit that changes nothing is an accept. An
    undo takes back the annotator's newest act of the kind that still stands and has a smaller sequence, on all its
    items; where that act stands in the same log and is refused, so is the undo. Leases of decided items end.

    Args:
        store: the workspace's memory.
        kind: what the items are.
        annotator: who sends the log.
        acts: what the browser sent: a list of acts as plain JSON; whatever else it is, is refused.
        clock: tells when.

    Raises:
        MarsError: the annotator has no name, or the database refuses; then nothing is stored, and the log may be sent
            again.
    """
    require_annotator(annotator)
    drafts, refused = _read(acts, kind, annotator)
    events, more_refused = _as_events(store, kind, annotator, drafts, at=clock())
    refused += more_refused
    void = _undos_of_refused(events, refused)
    refused += [RefusedAct(sequence, "what it takes back was never stored") for sequence in sorted(void)]
    events = [act for act in events if act[0].sequence not in void]
    recorded = store.reviews.append_acts(kind, annotator, events) if events else []
    refused += [RefusedAct(act.sequence, _REASONS[act.outcome]) for act in recorded if act.outcome in _REASONS]
    kept = [act for act in recorded if act.outcome not in _REASONS]
    return LogOutcome(
        acknowledged=tuple(dict.fromkeys(act.sequence for act in kept)),
        refused=tuple(refused),
        items=tuple(dict.fromkeys(item for act in kept for item in act.items)),
    )


_REASONS = {
    "nothing_to_undo": "there is nothing left to take back",
    "number_taken": "another decision of yours has its number, made in another window; decide again",
}


# ------------------------------------------------------------------------------------------------- what was sent


class _RefusedError(Exception):
    """Why an act can never be stored."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """An act of a decision log whose fields have the right types and ranges."""

    sequence: int
    action: ReviewAction
    items: tuple[str, ...]
    prompt: str | None
    chosen: str | None
    rejected: str | None
    note: str
    seconds: float
    presented: Presentation


def _read(acts: object, kind: ItemKind, annotator: str) -> tuple[list[_Draft], list[RefusedAct]]:
    """Return the acts that can be read, in order of sequence, and those that cannot. A sequence sent twice counts once.

    An undo behind an act of the log that is refused would take back that act: it is refused with it.
    """
    if not isinstance(acts, list):
        return [], [RefusedAct(None, "the log is no list")]
    drafts: dict[int, _Draft] = {}
    refused: dict[int, RefusedAct] = {}
    unreadable: list[RefusedAct] = []
    for act in acts:
        sequence = _sequence(act)
        if sequence is None:
            unreadable.append(RefusedAct(None, "it has no sequence number that can be used"))
            continue
        try:
            drafts.setdefault(sequence, _draft(act, sequence, kind, annotator))
        except _RefusedError as error:
            refused.setdefault(sequence, RefusedAct(sequence, str(error)))
    return [drafts[sequence] for sequence in sorted(drafts)], [*unreadable, *refused.values()]


def _sequence(act: object) -> int | None:
    sequence = act.get("sequence") if isinstance(act, dict) else None
    if isinstance(sequence, int) and not isinstance(sequence, bool) and 0 < sequence < GREATEST_SEQUENCE:
        return sequence
    return None


def _draft(act: dict[str, Any], sequence: int, kind: ItemKind, annotator: str) -> _Draft:
    if act.get("annotator") != annotator:
        raise _RefusedError("it was made under another name")
    if act.get("kind") != kind:
        raise _RefusedError(f"it is not about a {kind}")
    action = act.get("action")
    if not isinstance(action, str) or action not in ACTIONS[kind]:
        raise _RefusedError(f"there is no such action for a {kind}")
    texts = {name: _text(act.get(name), name) for name in ("prompt", "chosen", "rejected")}
    if action != "edit" and any(text is not None for text in texts.values()):
        raise _RefusedError("only an edit changes a text")
    presented = act.get("presented")
    if presented not in get_args(Presentation):
        raise _RefusedError("it does not say how the item was shown")
    note = _text(act.get("note", ""), "note")
    return _Draft(
        sequence=sequence,
        action=cast(ReviewAction, action),
        items=_items(act.get("items"), action),
        note=note or "",
        seconds=_seconds(act.get("seconds", 0)),
        presented=cast(Presentation, presented),
        **texts,
    )


def _text(value: object, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _RefusedError(f"its {name} is no text")
    if len(value) > LONGEST_TEXT:
        raise _RefusedError(f"its {name} has more than {LONGEST_TEXT:,} characters")
    if not is_storable(value):
        raise _RefusedError(f"its {name} has a character that cannot be stored")
    return value


def _items(value: object, action: str) -> tuple[str, ...]:
    if action == "undo":
        if value not in ([], None):
            raise _RefusedError("an undo names no items")
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and _may_be_id(item) for item in value):
        raise _RefusedError("its items are no list of ids")
    items = tuple(dict.fromkeys(value))
    if not items:
        raise _RefusedError("it names no item")
    if len(items) > MOST_ITEMS:
        raise _RefusedError(f"it names more than {MOST_ITEMS:,} items")
    if action == "edit" and len(items) > 1:
        raise _RefusedError("an edit is about one item")
    return items


def _may_be_id(item: str) -> bool:
    return 0 < len(item) <= LONGEST_ID and item.isascii() and item.isprintable()


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise _RefusedError("its seconds are no time")
    return float(value)


# ------------------------------------------------------------------------------------------------- what is stored


def _as_events(
    store: Store, kind: ItemKind, annotator: str, drafts: Sequence[_Draft], *, at: datetime
) -> tuple[list[list[ReviewEvent]], list[RefusedAct]]:
    """Return the events of the acts that can be stored, and why the others cannot."""
    present = _present(store, kind, {item for draft in drafts for item in draft.items})
    edited = {item for draft in drafts if draft.action == "edit" for item in draft.items}
    proposals = store.proposals.by_id(edited) if edited else {}
    acts: list[list[ReviewEvent]] = []
    refused: list[RefusedAct] = []
    for draft in drafts:
        try:
            _require_present(draft, present)
            acts.append(_events(draft, kind, annotator, proposals, at))
        except _RefusedError as error:
            refused.append(RefusedAct(draft.sequence, str(error)))
    return acts, refused


def _present(store: Store, kind: ItemKind, items: Collection[str]) -> Collection[str]:
    if not items:
        return set()
    return store.pairs.present(items) if kind == "pair" else store.proposals.present(items)


def _require_present(draft: _Draft, present: Collection[str]) -> None:
    missing = sum(item not in present for item in draft.items)
    if missing:
        raise _RefusedError(f"{missing} of its items do not exist" if len(draft.items) > 1 else "its item is gone")


def _undos_of_refused(events: Sequence[Sequence[ReviewEvent]], refused: Sequence[RefusedAct]) -> set[int]:
    """Return the undos that take back an act of the same log which is refused: nothing of it is there to take back."""
    acts: list[tuple[int, str]] = [(act[0].sequence, act[0].action) for act in events]
    acts += [(each.sequence, "") for each in refused if each.sequence is not None]
    void: set[int] = set()
    standing: list[str] = []
    for sequence, action in sorted(acts):
        if action != "undo":
            standing.append(action)
        elif standing and not standing.pop():
            void.add(sequence)
    return void


def _events(
    draft: _Draft, kind: ItemKind, annotator: str, proposals: Mapping[str, Proposal], at: datetime
) -> list[ReviewEvent]:
    action, prompt, chosen, rejected = draft.action, None, None, None
    if action == "edit":
        proposal = proposals[draft.items[0]]
        prompt, chosen, rejected = _changes(draft, proposal)
        if (prompt, chosen, rejected) == (None, None, None):
            action = "accept"
    return [
        ReviewEvent(
            item_kind=kind,
            item_id=item,
            action=action,
            annotator=annotator,
            sequence=draft.sequence,
            at=at,
            edited_prompt=prompt,
            edited_chosen=chosen,
            edited_rejected=rejected,
            note=draft.note,
            seconds=draft.seconds / max(1, len(draft.items)),
            presented=draft.presented,
        )
        for item in draft.items or ("",)  # the store finds the items of an undo
    ]


def _changes(draft: _Draft, proposal: Proposal) -> tuple[Prompt | None, str | None, str | None]:
    """Return what an edit changes of a proposal; None where a text stays as it is."""
    for name, text in (("prompt", draft.prompt), ("chosen answer", draft.chosen), ("rejected answer", draft.rejected)):
        if text is not None and not text.strip():
            raise _RefusedError(f"the edited {name} is empty")
    prompt = None
    if draft.prompt is not None:
        prompt = with_last_user_turn(proposal.prompt, draft.prompt)
        if prompt is None:
            raise _RefusedError("the prompt has no turn that could be edited")
    chosen = proposal.chosen if draft.chosen is None else draft.chosen
    rejected = proposal.rejected if draft.rejected is None else draft.rejected
    if normalized(chosen) == normalized(rejected):
        raise _RefusedError("the two answers are the same, white space and case aside")
    return (
        None if prompt == proposal.prompt else prompt,
        None if chosen == proposal.chosen else chosen,
        None if rejected == proposal.rejected else rejected,
    )
