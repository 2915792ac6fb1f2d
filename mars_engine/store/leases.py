"""Leases: who is reading what until when."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, delete, select

from mars_engine.core.records import ItemKind, Lease
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import id_groups, insert_or_replace, record_columns, record_values, records

_LEASES = select(*record_columns(Lease, schema.leases))


@dataclass(frozen=True, slots=True)
class SqlLeaseStore:
    """A LeaseStore on a database."""

    database: Database

    def take(
        self,
        item_kind: ItemKind,
        candidates: Sequence[str],
        *,
        annotator: str,
        count: int,
        readers: Mapping[str, int],
        last_row: int | None = None,
        gives_back: bool = False,
        now: datetime,
        until: datetime,
    ) -> list[str]:
        """Lease up to `count` of the candidates to an annotator; see LeaseStore.

        Write transactions take turns, so what is free when this one looks is free until it ends.
        """
        with self.database.write() as connection:
            connection.execute(delete(schema.leases).where(schema.leases.c.expires_at <= now))
            held, others = _own_and_others(connection, item_kind, annotator)
            wanted = dict.fromkeys(candidates)
            if gives_back:
                soon = set(islice((i for i in wanted if others[i] < readers.get(i, 1)), count))
                end_leases(connection, item_kind, held - soon, annotator=annotator)
                held &= soon
            moved = set() if last_row is None else _moved(connection, item_kind, last_row)
            free = [i for i in wanted if i not in held and i not in moved and others[i] < readers.get(i, 1)]
            taken = (held & wanted.keys()) | set(free[: max(0, count - len(held))])
            leased = [item for item in wanted if item in taken]
            rows = [record_values(Lease(item_kind, item, annotator, until)) for item in leased]
            insert_or_replace(connection, schema.leases, rows)
        return leased

    def release(self, item_kind: ItemKind, item_ids: Collection[str], *, annotator: str) -> None:
        with self.database.write() as connection:
            end_leases(connection, item_kind, item_ids, annotator=annotator)

    def standing(self, item_kind: ItemKind, *, now: datetime) -> list[Lease]:
        leases = schema.leases.c
        statement = _LEASES.where(leases.item_kind == item_kind, leases.expires_at > now)
        with self.database.read() as connection:
            return records(connection, Lease, statement.order_by(leases.annotator, leases.item_id))


def end_leases(connection: Connection, item_kind: ItemKind, item_ids: Collection[str], *, annotator: str) -> None:
    """End an annotator's leases of these items, in the transaction that makes them needless."""
    leases = schema.leases.c
    own = delete(schema.leases).where(leases.item_kind == item_kind, leases.annotator == annotator)
    for group in id_groups(item_ids):
        connection.execute(own.where(leases.item_id.in_(group)))


def _moved(connection: Connection, item_kind: ItemKind, last_row: int) -> set[str]:
    """The items that have events behind a row."""
    reviews = schema.reviews.c
    statement = select(reviews.item_id).where(reviews.id > last_row, reviews.item_kind == item_kind)
    return set(connection.scalars(statement))


def _own_and_others(connection: Connection, item_kind: ItemKind, annotator: str) -> tuple[set[str], Counter[str]]:
    """The items leased to the annotator, and how many others lease each item."""
    standing = records(connection, Lease, _LEASES.where(schema.leases.c.item_kind == item_kind))
    own = {lease.item_id for lease in standing if lease.annotator == annotator}
    return own, Counter(lease.item_id for lease in standing if lease.annotator != annotator)
