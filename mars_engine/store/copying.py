"""Copying an SQLite database while others write to it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

from mars_engine.core.errors import StoreError
from mars_engine.store.database import Database


def copy_database(database: Database, target: Path) -> None:
    """Copy a database into a new file, as it is at one moment. Nobody has to stop writing for it.

    The copy is one file without a journal beside it, and was checked from its first page to its last.

    Raises:
        StoreError: it is no SQLite database, cannot be copied, or the copy is damaged.
    """
    if database.engine.dialect.name != "sqlite":
        raise StoreError(
            f"the database {database.place} is a PostgreSQL server's, which MARS does not copy",
            remedy="make the copy by pg_dump, and keep mars.toml and artifacts/models with it",
        )
    try:
        # In WAL mode a copy in one go reads one snapshot, and holds up no writer.
        with database.turn, database.engine.connect() as source, closing(sqlite3.connect(target)) as copy:
            cast("sqlite3.Connection", source.connection.driver_connection).backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreError(
            f"the database {database.place} cannot be copied to {target}: {error}",
            remedy="check the space on the disk, and that the database is not damaged",
        ) from error
    if verdict != "ok":
        raise StoreError(
            f"the copy of {database.place} is damaged: {verdict}", remedy="check the disk, and restore an older backup"
        )
