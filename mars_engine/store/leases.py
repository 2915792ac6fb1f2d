"""Leases: who is reading what until when."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, delete, select

from mars_engine.core.review_records import ItemKind, Lease
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import id_groups, insert_or_replace, record_columns, record_values, records

_LEASES = select(*record_columns(Lease, schema.leases))


@dataclass(frozen=True, slots=True)
class LeaseStore:
    """Who is reading what until when."""

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
        """Lease up to `count` of the candidates to an annotator, in their order, in one transaction.

        Leases that have ended are forgotten first. The annotator's own leases are renewed and count. A candidate is
        passed over while as many others lease it as may read it at once.

        Args:
            item_kind: what the candidates are.
            candidates: item ids, the most wanted first.
            annotator: who is to read them.
            count: how many leases the annotator is to have at most.
            readers: how many may read an item at once, by its id; 1 where it is not listed.
            last_row: row of the last review event that the candidates were chosen by. What has a later one may have
                been decided and given back meanwhile, and is passed over. None where nobody decides.
            gives_back: whether the annotator's leases end of what is not among the first `count` free candidates, so
                that they count no more.
            now: leases that end at or before this moment have ended.
            until: when the new leases end.

        Returns:
            The ids leased to the annotator now, in the candidates' order.
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
        """End an annotator's leases of these items; where there is none, nothing happens."""
        with self.database.write() as connection:
            end_leases(connection, item_kind, item_ids, annotator=annotator)

    def standing(self, item_kind: ItemKind, *, now: datetime) -> list[Lease]:
        """The leases that have not ended, by annotator and item."""
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
