"""Compositions and their new pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select

from mars_engine.core.records import ComposedPair, Composition, Pair
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import (
    first_record,
    insert_as_latest,
    insert_rows,
    note_change,
    record_columns,
    record_values,
    records,
)

_COMPOSITIONS = select(*record_columns(Composition, schema.compositions))


@dataclass(frozen=True, slots=True)
class CompositionStore:
    """Compositions and their composed pairs."""

    database: Database

    def add(self, composition: Composition, pairs: Sequence[ComposedPair]) -> None:
        """Store a composition as the latest, in one transaction; one that is present keeps its pairs and becomes it."""
        with self.database.write() as connection:
            if insert_as_latest(connection, schema.compositions, record_values(composition)):
                rows = [_pair_row(composition, position, composed) for position, composed in enumerate(pairs)]
                insert_rows(connection, schema.composed_pairs, rows)
            note_change(connection, "compositions")

    def get(self, composition_id: str) -> Composition | None:
        with self.database.read() as connection:
            return first_record(
                connection, Composition, _COMPOSITIONS.where(schema.compositions.c.id == composition_id)
            )

    def latest(self) -> Composition | None:
        with self.database.read() as connection:
            return first_record(connection, Composition, _COMPOSITIONS.order_by(schema.compositions.c.ordinal.desc()))

    def all(self) -> list[Composition]:
        """All compositions, oldest first."""
        with self.database.read() as connection:
            return records(connection, Composition, _COMPOSITIONS.order_by(schema.compositions.c.ordinal))

    def count(self, composition_id: str) -> int:
        """How many new pairs a composition has; 0 where it is not stored."""
        composed = schema.composed_pairs
        statement = select(func.count()).select_from(composed).where(composed.c.composition_id == composition_id)
        with self.database.read() as connection:
            return connection.execute(statement).scalar_one()

    def pairs(self, composition_id: str) -> list[ComposedPair]:
        """The composed pairs, in the order they were stored."""
        composed = schema.composed_pairs
        statement = select(composed).where(composed.c.composition_id == composition_id).order_by(composed.c.position)
        with self.database.read() as connection:
            return [_composed_pair(row) for row in connection.execute(statement)]


def _pair_row(composition: Composition, position: int, composed: ComposedPair) -> dict[str, Any]:
    values = record_values(composed)
    texts = record_values(values.pop("pair"))
    pair_id = texts.pop("id")
    return {"composition_id": composition.id, "position": position, "pair_id": pair_id, **texts, **values}


def _composed_pair(row: Row[Any]) -> ComposedPair:
    return ComposedPair(
        pair=Pair(row.pair_id, row.prompt, row.chosen, row.rejected, row.subset, row.attributes),
        source_id=row.source_id,
        method=row.method,
        round=row.round,
        distance=row.distance,
        margin=row.margin,
        chosen_from=row.chosen_from,
        rejected_from=row.rejected_from,
    )
