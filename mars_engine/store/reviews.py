"""Review events. There is no way to change or delete one."""

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast, get_args

from sqlalchemy import Connection, Select, func, select, tuple_

from mars_engine.core.errors import StoreError
from mars_engine.core.review_acts import Trace, standing_acts
from mars_engine.core.review_records import (
    ItemKind,
    Presentation,
    RecordedAct,
    ReviewAction,
    ReviewEvent,
    ReviewMark,
    StandingAct,
)
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.leases import end_leases
from mars_engine.store.statements import (
    IDS_PER_STATEMENT,
    id_groups,
    insert_rows,
    note_change,
    read_once,
    record_columns,
    record_values,
    records,
)

EVENTS_AT_ONCE = 1_000
"""Events that are read at a time when looking for what an undo takes back."""

EVENTS_PER_DECISION = 10
"""So many skips, undos and undone decisions are looked through for one that stands, when asking for the pace."""

_Key = tuple[str, str, str, int]
_EVENTS = select(*record_columns(ReviewEvent, schema.reviews))
_OLDEST_FIRST = (schema.reviews.c.at, schema.reviews.c.id)


@dataclass(frozen=True, slots=True)
class ReviewStore:
    """Review events. There is no way to change or delete one."""

    database: Database

    def append(self, events: Sequence[ReviewEvent]) -> int:
        """Store events in one transaction; return how many were new.

        An event with the same item, annotator and sequence as a stored one is that event sent again, and is not stored
        twice. It may tell another time (`at`, `seconds`); the first is kept.

        Raises:
            StoreError: an event has the item, annotator and sequence of a stored one but decides otherwise. The stored
                one is kept, and nothing of `events` is stored.
        """
        new: list[ReviewEvent] = []
        with self.database.write() as connection:
            known = _stored(connection, {event.item_id for event in events})
            for event in events:
                earlier = known.setdefault(_key(event), event)
                if earlier is event:
                    new.append(event)
                elif _decision(earlier) != _decision(event):
                    raise _conflict(earlier, event)
            if new:
                insert_rows(connection, schema.reviews, [record_values(event) for event in new])
                note_change(connection, "reviews")
        return len(new)

    def append_acts(
        self, item_kind: ItemKind, annotator: str, acts: Sequence[Sequence[ReviewEvent]]
    ) -> list[RecordedAct]:
        """Store an annotator's acts in one transaction, and return what became of each.

        The annotator's leases of the items that were decided end in the same transaction.

        Args:
            item_kind: what the items are.
            annotator: whose acts they are.
            acts: the events of each act, which share its sequence; acts in order of sequence. An undo is given as one
                event without an item: it takes back the newest act with a smaller sequence that still stands, and is
                stored as one event for each of that act's items.
        """
        with self.database.write() as connection:
            stored = _stored_acts(connection, item_kind, annotator, [events[0].sequence for events in acts])
            recorded = [_append_act(connection, item_kind, annotator, events, stored) for events in acts]
            if any(act.outcome == "stored" for act in recorded):
                note_change(connection, "reviews")
            undos = {events[0].sequence for events in acts if events[0].action == "undo"}
            decided = [act for act in recorded if act.outcome == "stored" and act.sequence not in undos]
            end_leases(connection, item_kind, [item for act in decided for item in act.items], annotator=annotator)
        return recorded

    def events(self, item_kind: ItemKind, item_ids: Collection[str] | None = None) -> dict[str, list[ReviewEvent]]:
        """Events by item id, oldest first; of one moment, in the order they were stored."""
        if item_ids is None:
            return dict(read_once(self.database, "reviews", item_kind, self._read_events))
        return self._read_events(item_kind, item_ids)

    def _read_events(
        self, item_kind: ItemKind, item_ids: Collection[str] | None = None
    ) -> dict[str, list[ReviewEvent]]:
        reviews = schema.reviews.c
        statement = _EVENTS.where(reviews.item_kind == item_kind).order_by(*_OLDEST_FIRST)
        statements: list[Select[Any]] = [statement]
        if item_ids is not None:
            statements = [statement.where(reviews.item_id.in_(group)) for group in id_groups(item_ids)]
        by_item: dict[str, list[ReviewEvent]] = {}
        with self.database.read() as connection:
            for statement in statements:
                for event in records(connection, ReviewEvent, statement):
                    by_item.setdefault(event.item_id, []).append(event)
        return by_item

    def marks(self, item_kind: ItemKind, *, after: int = 0) -> list[ReviewMark]:
        """The events of items of a kind without their texts, from the row behind `after` on, in order of row.

        Write transactions take turns, so no event comes later under a smaller row.
        """
        reviews = schema.reviews.c
        columns = (reviews.id, reviews.item_id, reviews.action, reviews.annotator, reviews.sequence, reviews.presented)
        statement = select(*columns)
        statement = statement.where(reviews.id > after, reviews.item_kind == item_kind).order_by(reviews.id)
        with self.database.read() as connection:
            # The same few words many times: kept once, a hundred thousand marks take a third of the memory.
            return [
                ReviewMark(
                    row,
                    item_id,
                    cast(ReviewAction, sys.intern(action)),
                    sys.intern(annotator),
                    sequence,
                    cast(Presentation, sys.intern(presented)),
                )
                for row, item_id, action, annotator, sequence, presented in connection.execute(statement)
            ]

    def standing_acts(self, item_kind: ItemKind, annotator: str, *, newest: int) -> list[StandingAct]:
        """The newest acts of an annotator that were not taken back, the newest first."""
        with self.database.read() as connection:
            return list(islice(standing_acts(_newest_first(connection, item_kind, annotator)), newest))

    def last_sequence(self, annotator: str) -> int:
        """The greatest sequence stored for an annotator, of any kind of item; 0 where there is none."""
        reviews = schema.reviews.c
        statement = select(func.coalesce(func.max(reviews.sequence), 0)).where(reviews.annotator == annotator)
        with self.database.read() as connection:
            kinds = (connection.execute(statement.where(reviews.item_kind == kind)) for kind in get_args(ItemKind))
            return max(int(found.scalar_one()) for found in kinds)

    def recent_seconds(self, item_kind: ItemKind, annotator: str, *, newest: int) -> list[float]:
        """The seconds spent on an annotator's newest decisions that stand, the newest first; at most `newest`.

        Skips are no decisions, and what was taken back is none any more. Acts on many items at once are left out: they
        do not tell how long one takes.
        """
        reviews = schema.reviews.c
        # An act on many items and its undo take the same items, so both can be left out. Each group is one event.
        item_id, action, seconds = (func.min(each) for each in (reviews.item_id, reviews.action, reviews.seconds))
        single = select(reviews.sequence, item_id, action, seconds)
        single = single.where(reviews.annotator == annotator, reviews.item_kind == item_kind)
        single = single.group_by(reviews.sequence).having(func.count() == 1)
        single = single.order_by(reviews.sequence.desc()).limit(newest * EVENTS_PER_DECISION)
        with self.database.read() as connection:
            rows = connection.execute(single).all()
        decided = {sequence: spent for sequence, _, done, spent in rows if done not in ("skip", "undo")}
        acts = standing_acts(Trace(sequence, item, done) for sequence, item, done, _ in rows)
        return list(islice((decided[act.sequence] for act in acts if act.sequence in decided), newest))


def _append_act(
    connection: Connection,
    item_kind: ItemKind,
    annotator: str,
    events: Sequence[ReviewEvent],
    stored: dict[int, list[ReviewEvent]],
) -> RecordedAct:
    sequence, action = events[0].sequence, events[0].action
    if sequence in stored:
        earlier = stored[sequence]
        items = tuple(event.item_id for event in earlier)
        # Which items an undo is about was settled when it was stored.
        is_same = earlier[0].action == action and (action == "undo" or set(items) == {each.item_id for each in events})
        return RecordedAct(sequence, "present" if is_same else "number_taken", items)
    if action == "undo":
        standing = standing_acts(_newest_first(connection, item_kind, annotator))
        taken_back = next((act for act in standing if act.sequence < sequence), None)
        if taken_back is None:
            return RecordedAct(sequence, "nothing_to_undo")
        events = [replace(events[0], item_id=item_id) for item_id in taken_back.items]
    insert_rows(connection, schema.reviews, [record_values(event) for event in events])
    stored[sequence] = list(events)
    return RecordedAct(sequence, "stored", tuple(event.item_id for event in events))


def _stored_acts(
    connection: Connection, item_kind: ItemKind, annotator: str, sequences: Sequence[int]
) -> dict[int, list[ReviewEvent]]:
    """The events of those acts of an annotator that are stored, by sequence."""
    reviews = schema.reviews.c
    own = _EVENTS.where(reviews.annotator == annotator, reviews.item_kind == item_kind)
    by_sequence: dict[int, list[ReviewEvent]] = {}
    for start in range(0, len(sequences), IDS_PER_STATEMENT):
        group = sequences[start : start + IDS_PER_STATEMENT]
        for event in records(connection, ReviewEvent, own.where(reviews.sequence.in_(group)).order_by(reviews.id)):
            by_sequence.setdefault(event.sequence, []).append(event)
    return by_sequence


def _newest_first(connection: Connection, item_kind: ItemKind, annotator: str) -> Iterator[Trace]:
    """Yield an annotator's events on items of a kind, read a page at a time, as far as they are asked for."""
    reviews = schema.reviews.c
    place = tuple_(reviews.sequence, reviews.id)
    own = select(reviews.sequence, reviews.item_id, reviews.action, reviews.id)
    own = own.where(reviews.annotator == annotator, reviews.item_kind == item_kind)
    page = own.order_by(reviews.sequence.desc(), reviews.id.desc()).limit(EVENTS_AT_ONCE)
    rows = connection.execute(page).all()
    while rows:
        yield from map(Trace._make, rows)
        if len(rows) < EVENTS_AT_ONCE:
            return
        rows = connection.execute(page.where(place < tuple_(rows[-1].sequence, rows[-1].id))).all()


def _stored(connection: Connection, item_ids: Collection[str]) -> dict[_Key, ReviewEvent]:
    known: dict[_Key, ReviewEvent] = {}
    for group in id_groups(item_ids):
        found = records(connection, ReviewEvent, _EVENTS.where(schema.reviews.c.item_id.in_(group)))
        known.update((_key(event), event) for event in found)
    return known


def _key(event: ReviewEvent) -> _Key:
    return event.item_kind, event.item_id, event.annotator, event.sequence


def _decision(event: ReviewEvent) -> tuple[Any, ...]:
    return event.action, event.edited_prompt, event.edited_chosen, event.edited_rejected, event.note


def _conflict(earlier: ReviewEvent, event: ReviewEvent) -> StoreError:
    return StoreError(
        f"{event.annotator}'s event {event.sequence} on {event.item_kind} {event.item_id} is stored as "
        f"{earlier.action!r}, and another one with that number says {event.action!r} or has other texts",
        expected="a new sequence number for every decision of an annotator on an item",
        remedy="the stored decision is kept; read the item again and decide anew",
    )
