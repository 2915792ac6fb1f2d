"""Review events. There is no way to change or delete one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from mars_engine.words.errors import StoreError
from mars_engine.words.records import ItemKind, ReviewEvent
from mars_engine.world.store import schema
from mars_engine.world.store.database import Database
from mars_engine.world.store.statements import (
    id_groups,
    insert_rows,
    note_change,
    record_columns,
    record_values,
    records,
)

_Key = tuple[str, str, str, int]
_EVENTS = select(*record_columns(ReviewEvent, schema.reviews))
_OLDEST_FIRST = (schema.reviews.c.at, schema.reviews.c.id)


@dataclass(frozen=True, slots=True)
class SqlReviewStore:
    """A ReviewStore on a database."""

    database: Database

    def append(self, events: Sequence[ReviewEvent]) -> int:
        """Store events in one transaction; return how many were new.

        An event that is sent again may tell another time (`at`, `seconds`); the first is kept.

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

    def events(self, item_kind: ItemKind, item_ids: Collection[str] | None = None) -> dict[str, list[ReviewEvent]]:
        """Events by item id, oldest first; of one moment, in the order they were stored."""
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
