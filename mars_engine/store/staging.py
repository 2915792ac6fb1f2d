"""Pairs on their way into the store: kept on the disk until the last row of their source has been read."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from mars_engine.core.errors import StoreError
from mars_engine.core.records import Pair, Turn

CACHE_KIBIBYTES = 64 * 1024
ROWS_AT_A_TIME = 1_000

_TABLE = """
CREATE TABLE staged (
    id TEXT NOT NULL UNIQUE, row INTEGER NOT NULL, prompt_id TEXT NOT NULL, prompt TEXT NOT NULL,
    chosen BLOB NOT NULL, rejected BLOB NOT NULL, subset BLOB NOT NULL, attributes TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class StagedPairs:
    """Stores pairs of a source before they are imported: in an SQLite file of its own that nobody else sees."""

    connection: sqlite3.Connection

    def add(self, row: int, pair: Pair) -> int | None:
        """Take a pair in; where it is here already, return the row that brought it and change nothing."""
        with _refusals_explained():
            prompt = json.dumps([[turn.role, turn.content] for turn in pair.prompt])
            values = (pair.id, row, pair.prompt_id, prompt, *map(_as_blob, (pair.chosen, pair.rejected, pair.subset)))
            attributes = json.dumps(dict(pair.attributes))
            added = self.connection.execute(
                "INSERT OR IGNORE INTO staged VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, attributes)
            )
            if added.rowcount:
                return None
            found = self.connection.execute("SELECT row FROM staged WHERE id = ?", (pair.id,)).fetchone()
            return int(found[0])

    def __len__(self) -> int:
        with _refusals_explained():
            return int(self.connection.execute("SELECT count(*) FROM staged").fetchone()[0])

    def ids(self) -> Iterator[tuple[str, str, int]]:
        """Yield the id of each pair, that of its prompt, and its row, in the order they were added."""
        yield from self._rows("SELECT id, prompt_id, row FROM staged ORDER BY rowid")

    def pairs(self) -> Iterator[tuple[int, Pair]]:
        """Yield the pairs with their rows, in the order they were added."""
        selected = self._rows("SELECT id, row, prompt, chosen, rejected, subset, attributes FROM staged ORDER BY rowid")
        for pair_id, row, prompt, *texts, attributes in selected:
            turns = tuple(Turn(role, content) for role, content in json.loads(prompt))
            chosen, rejected, subset = map(_from_blob, texts)
            yield row, Pair(pair_id, turns, chosen, rejected, subset, json.loads(attributes))

    def discard(self, ids: Iterable[str]) -> None:
        """Take pairs out; not while they are being gone through."""
        with _refusals_explained():
            self.connection.executemany("DELETE FROM staged WHERE id = ?", ((each,) for each in ids))

    def _rows(self, statement: str) -> Iterator[tuple]:  # type: ignore[type-arg]
        with _refusals_explained():
            cursor = self.connection.execute(statement)
            while some := cursor.fetchmany(ROWS_AT_A_TIME):
                yield from some


@contextmanager
def staged_pairs(folder: Path | None) -> Iterator[StagedPairs]:
    """Open an empty staging of pairs in a folder, where more fits than into memory; None for one in memory.

    Its file loses its name at once, so that nothing of it is left, however the process ends.

    Raises:
        StoreError: the disk is full.
    """
    with _refusals_explained():
        connection = _nameless(folder)
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        connection.execute(_TABLE)
        connection.execute("BEGIN")  # never committed, so that pages are written where the cache is full alone
    try:
        yield StagedPairs(connection)
    finally:
        connection.close()


def _nameless(folder: Path | None) -> sqlite3.Connection:
    if folder is None or not os.access(folder, os.W_OK):
        return sqlite3.connect(":memory:" if folder is None else "", isolation_level=None)
    number, name = mkstemp(prefix=".staged-", dir=folder)
    os.close(number)
    try:
        connection = sqlite3.connect(name, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("CREATE TABLE opened (at INTEGER)")  # the file is opened, and locked, by the first write
    finally:
        Path(name).unlink()
    return connection


def _as_blob(text: str) -> bytes:
    # A text with half a surrogate pair is refused by the store in its own words, so it has to come so far.
    return text.encode("utf-8", "surrogatepass")


def _from_blob(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogatepass")


@contextmanager
def _refusals_explained() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"the pairs that were read cannot be kept beside the database: {error}",
            remedy="make room on the disk that the workspace is on and import again; nothing was stored",
        ) from error
