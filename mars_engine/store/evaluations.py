"""What benchmarks and experiments found, and what people say in blind comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from mars_engine.core.records import EvaluationRecord
from mars_engine.core.review_records import ComparedAnswers, Comparison, ComparisonVote
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import (
    first_record,
    insert_absent,
    insert_as_latest,
    insert_or_replace,
    insert_rows,
    next_ordinal,
    note_change,
    record_columns,
    record_values,
    records,
)

_EVALUATIONS = select(*record_columns(EvaluationRecord, schema.evaluations))
_COMPARISONS = select(*record_columns(Comparison, schema.comparisons))
_ANSWERS = select(*record_columns(ComparedAnswers, schema.compared_answers))
_VOTES = select(*record_columns(ComparisonVote, schema.comparison_votes))


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


@dataclass(frozen=True, slots=True)
class ComparisonStore:
    """Blind comparisons and people's votes in them. There is no way to change or delete a vote."""

    database: Database

    def add(self, comparison: Comparison, answers: Sequence[ComparedAnswers]) -> None:
        """Store a comparison as the newest; one that is there keeps its answers and its votes."""
        with self.database.write() as connection:
            if insert_as_latest(connection, schema.comparisons, record_values(comparison)):
                rows = [{"comparison_id": comparison.id, **record_values(each)} for each in answers]
                insert_rows(connection, schema.compared_answers, rows)
            note_change(connection, "comparisons")

    def all(self) -> list[Comparison]:
        """All comparisons, the newest first."""
        with self.database.read() as connection:
            return records(connection, Comparison, _COMPARISONS.order_by(schema.comparisons.c.ordinal.desc()))

    def get(self, comparison_id: str) -> Comparison | None:
        with self.database.read() as connection:
            return first_record(connection, Comparison, _COMPARISONS.where(schema.comparisons.c.id == comparison_id))

    def answers(self, comparison_id: str) -> list[ComparedAnswers]:
        """A comparison's answers, by number."""
        stored = schema.compared_answers.c
        statement = _ANSWERS.where(stored.comparison_id == comparison_id).order_by(stored.number)
        with self.database.read() as connection:
            return records(connection, ComparedAnswers, statement)

    def votes(self, comparison_id: str) -> list[ComparisonVote]:
        """Everybody's votes in a comparison, each person's in the order of sequence."""
        stored = schema.comparison_votes.c
        statement = _VOTES.where(stored.comparison_id == comparison_id).order_by(stored.annotator, stored.sequence)
        with self.database.read() as connection:
            return records(connection, ComparisonVote, statement)

    def append_votes(self, votes: Sequence[ComparisonVote]) -> None:
        """Store votes in one transaction; one whose person and sequence are stored already changes nothing."""
        with self.database.write() as connection:
            insert_absent(connection, schema.comparison_votes, [record_values(vote) for vote in votes])
            note_change(connection, "comparisons")
