"""Sets of source pairs that people put together."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, func, select

from mars_engine.core.records import PairSet
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import (
    id_groups,
    insert_if_absent,
    insert_rows,
    next_ordinal,
    note_change,
    records,
)


@dataclass(frozen=True, slots=True)
class PairSetStore:
    """Sets of source pairs that people put together."""

    database: Database

    def add(self, pair_set: PairSet, pair_ids: Collection[str]) -> None:
        """Store a set, in one transaction; one whose id is present changes nothing.

        Raises:
            StoreError: one of the pairs is not stored.
        """
        row = {
            "id": pair_set.id,
            "name": pair_set.name,
            "annotator": pair_set.annotator,
            "created_at": pair_set.created_at,
        }
        members = [{"set_id": pair_set.id, "pair_id": pair_id} for pair_id in dict.fromkeys(pair_ids)]
        with self.database.write() as connection:
            ordinal = next_ordinal(connection, schema.pair_sets)
            if insert_if_absent(connection, schema.pair_sets, {"ordinal": ordinal, **row}):
                insert_rows(connection, schema.pair_set_members, members)
                note_change(connection, "sets")

    def remove(self, set_id: str) -> None:
        """Forget a set; the pairs stay. Where there is none, nothing happens."""
        with self.database.write() as connection:
            connection.execute(delete(schema.pair_set_members).where(schema.pair_set_members.c.set_id == set_id))
            connection.execute(delete(schema.pair_sets).where(schema.pair_sets.c.id == set_id))
            note_change(connection, "sets")

    def all(self) -> list[PairSet]:
        """All sets, the newest first."""
        sets, members = schema.pair_sets.c, schema.pair_set_members.c
        count = select(func.count()).where(members.set_id == sets.id).scalar_subquery()
        statement = select(sets.id, sets.name, sets.annotator, sets.created_at, count)
        with self.database.read() as connection:
            return records(connection, PairSet, statement.order_by(sets.ordinal.desc()))

    def members(self, set_id: str) -> list[str]:
        """Ids of a set's pairs, in the order of their import."""
        statement = (
            select(schema.pairs.c.id)
            .join(schema.pair_set_members, schema.pair_set_members.c.pair_id == schema.pairs.c.id)
            .where(schema.pair_set_members.c.set_id == set_id)
            .order_by(schema.pairs.c.ordinal)
        )
        with self.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def members_among(self, set_id: str, pair_ids: Collection[str]) -> set[str]:
        """Which of some pairs are in a set."""
        members, found = schema.pair_set_members.c, set[str]()
        with self.database.read() as connection:
            for group in id_groups(pair_ids):
                statement = select(members.pair_id).where(members.set_id == set_id, members.pair_id.in_(group))
                found.update(connection.execute(statement).scalars())
        return found
