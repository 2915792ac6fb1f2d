"""What benchmarks and experiments found."""

from dataclasses import dataclass

from sqlalchemy import select

from mars_engine.core.records import EvaluationRecord
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import (
    first_record,
    insert_or_replace,
    next_ordinal,
    note_change,
    record_columns,
    record_values,
    records,
)

_EVALUATIONS = select(*record_columns(EvaluationRecord, schema.evaluations))


@dataclass(frozen=True, slots=True)
class EvaluationStore:
    """What benchmarks and experiments found."""

    database: Database

    def add(self, record: EvaluationRecord) -> None:
        """Store an evaluation as the newest; it takes the place of one with its id."""
        with self.database.write() as connection:
            row = {"ordinal": next_ordinal(connection, schema.evaluations), **record_values(record)}
            insert_or_replace(connection, schema.evaluations, [row])
            note_change(connection, "evaluations")

    def get(self, evaluation_id: str) -> EvaluationRecord | None:
        with self.database.read() as connection:
            return first_record(
                connection, EvaluationRecord, _EVALUATIONS.where(schema.evaluations.c.id == evaluation_id)
            )

    def all(self, kind: str | None = None) -> list[EvaluationRecord]:
        """All evaluations, or those of a kind, newest first."""
        statement = _EVALUATIONS if kind is None else _EVALUATIONS.where(schema.evaluations.c.kind == kind)
        with self.database.read() as connection:
            return records(connection, EvaluationRecord, statement.order_by(schema.evaluations.c.ordinal.desc()))
