"""What a database says, for comparing two of them."""

from typing import Any

from sqlalchemy import Column, Integer, select

from mars_engine.store import open_store
from mars_engine.store.column_types import UtcDateTime
from mars_engine.store.schema import metadata

LEFT_OUT = {"runs", "run_points", "leases", "revisions"}


def database_content(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table that keeps results, sorted, without moments and counted ids.

    Two databases in which the same was done, at other times or after an interruption, have equal content.
    """
    store = open_store(url)
    try:
        with store.database.read() as connection:
            return {
                table.name: sorted(
                    map(tuple, connection.execute(select(*(c for c in table.columns if _is_content(c))))), key=repr
                )
                for table in metadata.sorted_tables
                if table.name not in LEFT_OUT
            }
    finally:
        store.close()


def _is_content(column: Column[Any]) -> bool:
    counted = column.primary_key and isinstance(column.type, Integer) and column.autoincrement is True
    return not counted and not isinstance(column.type, UtcDateTime)
