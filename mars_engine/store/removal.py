"""Removing what was imported, and all that was made of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, delete, func, or_, select, text

from mars_engine.core.errors import StoreError
from mars_engine.core.records import ID_LENGTH, Pair, RemovedContent
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import note_change, record_columns

SUBJECTS = (
    "pairs",
    "distances",
    "models",
    "scores",
    "trajectories",
    "triage",
    "plans",
    "proposals",
    "chat",
    "reviews",
    "opinions",
    "sets",
    "compositions",
    "evaluations",
    "comparisons",
    "removals",
)
KEPT = (schema.revisions,)
PAIRS_AT_ONCE = 1_000

_ABOUT_PAIRS: tuple[Column[Any], ...] = (
    schema.composed_pairs.c.source_id,
    schema.proposal_failures.c.source_id,
    schema.plan_rows.c.pair_id,
    schema.triage.c.pair_id,
    schema.distances.c.pair_id,
    schema.scores.c.pair_id,
    schema.trajectories.c.pair_id,
    schema.pair_set_members.c.pair_id,
    schema.chat_answers.c.source_id,
)
"""What refers to a pair, beside proposals and what is about them. None of these columns leads an index."""


@dataclass(frozen=True, slots=True)
class RemovalStore:
    """Removing what was imported, and all that was made of it."""

    database: Database

    def outlook(self, dataset_id: str) -> RemovedContent:
        """What `remove_dataset` would remove.

        Raises:
            StoreError: there is no such dataset.
        """
        with self.database.read() as connection:
            return _outlook(connection, dataset_id)

    def remove_dataset(self, dataset_id: str) -> RemovedContent:
        """Remove a dataset, its pairs, and every row about them or their proposals, in one transaction.

        Models, plans and compositions stay as records of what was done, without those pairs.

        Raises:
            StoreError: there is no such dataset.
        """
        with self.database.write() as connection:
            removed = _outlook(connection, dataset_id)
            _remove_done_marks(connection, dataset_id)
            pairs = _pairs_of(dataset_id)
            for table in (schema.reviews, schema.leases):
                connection.execute(delete(table).where(_is_about(table, dataset_id)))
            connection.execute(delete(schema.refine_tries).where(schema.refine_tries.c.source_id.in_(pairs)))
            connection.execute(delete(schema.label_opinions).where(schema.label_opinions.c.pair_id.in_(pairs)))
            with _indexed(connection, _ABOUT_PAIRS):
                for column in _ABOUT_PAIRS:
                    connection.execute(delete(column.table).where(column.in_(pairs)))
                connection.execute(delete(schema.proposals).where(schema.proposals.c.source_id.in_(pairs)))
                connection.execute(delete(schema.pairs).where(schema.pairs.c.dataset_id == dataset_id))
            has_members = select(schema.pair_set_members.c.set_id)
            connection.execute(delete(schema.pair_sets).where(schema.pair_sets.c.id.not_in(has_members)))
            connection.execute(delete(schema.datasets).where(schema.datasets.c.id == dataset_id))
            note_change(connection, *SUBJECTS)
        return removed

    def remove_everything(self) -> RemovedContent:
        """Remove all content, in one transaction; the tables and the revisions stay."""
        with self.database.write() as connection:
            removed = RemovedContent(
                datasets=_count(connection, schema.datasets),
                pairs=_count(connection, schema.pairs),
                proposals=_count(connection, schema.proposals),
                decisions=_count(connection, schema.reviews),
                composed_pairs=_count(connection, schema.composed_pairs),
                models=_count(connection, schema.reward_models),
                evaluations=_count(connection, schema.evaluations),
                runs=_count(connection, schema.runs),
            )
            for table in reversed(schema.metadata.sorted_tables):
                if table not in KEPT:
                    connection.execute(delete(table))
            note_change(connection, *SUBJECTS)
        return removed


def _pairs_of(dataset_id: str) -> Select[Any]:
    return select(schema.pairs.c.id).where(schema.pairs.c.dataset_id == dataset_id)


def _is_about(table: Table, dataset_id: str) -> ColumnElement[bool]:
    """Whether a row of reviews or leases is about a pair of the dataset or about a proposal for one."""
    pairs = _pairs_of(dataset_id)
    proposals = select(schema.proposals.c.id).where(schema.proposals.c.source_id.in_(pairs))
    kind, item = table.c.item_kind, table.c.item_id
    return or_(and_(kind == "pair", item.in_(pairs)), and_(kind == "proposal", item.in_(proposals)))


def _outlook(connection: Connection, dataset_id: str) -> RemovedContent:
    if not _count(connection, schema.datasets, schema.datasets.c.id == dataset_id):
        raise StoreError(f"there is no dataset {dataset_id!r}", remedy="look at the list of datasets again")
    pairs = _pairs_of(dataset_id)
    return RemovedContent(
        datasets=1,
        pairs=_count(connection, schema.pairs, schema.pairs.c.dataset_id == dataset_id),
        proposals=_count(connection, schema.proposals, schema.proposals.c.source_id.in_(pairs)),
        decisions=_count(connection, schema.reviews, _is_about(schema.reviews, dataset_id)),
        composed_pairs=_count(connection, schema.composed_pairs, schema.composed_pairs.c.source_id.in_(pairs)),
        models=0,
        evaluations=0,
        runs=0,
    )


def _count(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())


def _remove_done_marks(connection: Connection, dataset_id: str) -> None:
    """Forget for which of the pairs, as labelled or flipped, proposals were made: imported again, they are new."""
    marks = schema.proposal_sources
    stored = {mark[:ID_LENGTH] for (mark,) in connection.execute(select(marks.c.oriented_id))}
    gone = stored.intersection(connection.execute(_pairs_of(dataset_id)).scalars())
    others = select(schema.pairs.c.id).where(schema.pairs.c.dataset_id != dataset_id)
    of_flipped_pairs = stored.difference(gone, connection.execute(others).scalars())
    if of_flipped_pairs:
        gone |= {flipped for pair in _read_pairs(connection, dataset_id) if (flipped := pair.exchanged.id) in stored}
    for settings_id, mark in connection.execute(select(marks.c.settings_id, marks.c.oriented_id)).all():
        if mark[:ID_LENGTH] in gone:
            connection.execute(delete(marks).where(marks.c.settings_id == settings_id, marks.c.oriented_id == mark))


def _read_pairs(connection: Connection, dataset_id: str) -> Iterator[Pair]:
    statement = select(*record_columns(Pair, schema.pairs)).where(schema.pairs.c.dataset_id == dataset_id)
    for row in connection.execute(statement, execution_options={"yield_per": PAIRS_AT_ONCE}):
        yield Pair(*row)


@contextmanager
def _indexed(connection: Connection, columns: tuple[Column[Any], ...]) -> Iterator[None]:
    """Have an index on each column for a while, within the transaction.

    For each pair that goes, the database looks whether anything refers to it; without an index it reads the whole
    table each time.
    """
    for column in columns:
        table = column.table.name
        connection.execute(text(f"CREATE INDEX ix_removal_{table} ON {table} ({column.name})"))
    yield
    for column in columns:
        connection.execute(text(f"DROP INDEX ix_removal_{column.table.name}"))
