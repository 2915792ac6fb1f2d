"""The statements that the sub-stores are built from, the same on SQLite and on PostgreSQL."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Column, Connection, Select, Table, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from mars_engine.store import schema
from mars_engine.store.database import Database

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)

_Of = TypeVar("_Of", bound=str)
_Read = TypeVar("_Read")

IDS_PER_STATEMENT = 10_000
"""SQLite takes 32,766 variables in a statement, PostgreSQL 65,535."""
ROWS_PER_STATEMENT = 1_000
"""Rows that go to the database at once. Ctrl+C is heard between two such statements, and no more of them are in memory
than these."""


def record_columns(record_type: "type[DataclassInstance]", table: Table) -> list[Column[Any]]:
    """Return the columns that hold a record's fields, in the order of the fields."""
    return [table.c[field.name] for field in fields(record_type)]


def record_values(record: "DataclassInstance") -> dict[str, Any]:
    """Return a record's fields by name, as a row for the table whose columns have those names."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def records(connection: Connection, record_type: "type[Record]", statement: Select[Any]) -> "list[Record]":
    """Return the records that a selection of `record_columns` gives."""
    return [record_type(*row) for row in connection.execute(statement)]


def first_record(connection: Connection, record_type: "type[Record]", statement: Select[Any]) -> "Record | None":
    """Return the first record that a selection of `record_columns` gives, None where it gives none."""
    row = connection.execute(statement.limit(1)).first()
    return None if row is None else record_type(*row)


def id_groups(ids: Collection[str]) -> Iterator[list[str]]:
    """Yield the ids, each once, in groups that fit into one statement."""
    different = list(dict.fromkeys(ids))
    for start in range(0, len(different), IDS_PER_STATEMENT):
        yield different[start : start + IDS_PER_STATEMENT]


def next_ordinal(connection: Connection, table: Table) -> int:
    """Return the number of the next row. Write transactions take turns, so nobody else gets the same."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.ordinal) + 1, 0))).scalar_one())


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that must not be present."""
    if rows:
        connection.execute(insert(table), rows)


def insert_absent(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert the rows whose primary key is not present; the others change nothing."""
    statement = _insert(connection, table).on_conflict_do_nothing(index_elements=list(table.primary_key))
    remaining = iter(rows)
    while some := list(islice(remaining, ROWS_PER_STATEMENT)):
        connection.execute(statement, some)


def insert_if_absent(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert one row unless its primary key is present; return whether it was inserted."""
    keys = list(table.primary_key)
    statement = _insert(connection, table).on_conflict_do_nothing(index_elements=keys).returning(*keys)
    return connection.execute(statement, row).first() is not None


def insert_as_latest(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert one row as the latest of a table with an ordinal; return whether it was inserted.

    One that is present keeps its content and becomes the latest, if it is not that already.
    """
    ordinal = next_ordinal(connection, table)
    if insert_if_absent(connection, table, {"ordinal": ordinal, **row}):
        return True
    is_older = (table.c.id == row["id"]) & (table.c.ordinal < ordinal - 1)
    connection.execute(update(table).where(is_older).values(ordinal=ordinal))
    return False


def insert_or_replace(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; where a primary key is present, the new values take the place of the old."""
    if rows:
        statement = _insert(connection, table)
        others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
        keys = list(table.primary_key)
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), rows)


def note_change(connection: Connection, *subjects: str) -> None:
    """Count a change of these subjects, in the transaction that makes it."""
    revisions = schema.revisions
    for subject in subjects:
        statement = _insert(connection, revisions).values(subject=subject, number=1)
        raised = {"number": revisions.c.number + 1}
        connection.execute(statement.on_conflict_do_update(index_elements=["subject"], set_=raised))


def revision(connection: Connection, subject: str) -> int:
    """Return how often a subject has changed."""
    stored = schema.revisions.c
    return connection.execute(select(stored.number).where(stored.subject == subject)).scalar() or 0


def read_once(database: Database, subject: str, of: _Of, read: Callable[[_Of], _Read]) -> _Read:
    """Return what `read` returns, kept from before where somebody wants that and the subject has not changed since."""

    def revision_now() -> int:
        with database.read() as connection:
            return revision(connection, subject)

    return database.kept.read((subject, of), revision_now, lambda: read(of))


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
