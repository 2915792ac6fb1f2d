"""An encoder that remembers: each distinct passage is encoded once ever, across runs and processes."""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from mars_engine.words.errors import StoreError
from mars_engine.words.protocols import Progress
from mars_engine.words.records import Embeddings, Passage
from mars_engine.world.encoders.sentence_encoder import TokenizedPassage

KEYS_A_QUERY = 500
SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (
    key BLOB PRIMARY KEY, vector BLOB NOT NULL, context_tokens_cut INTEGER NOT NULL, text_tokens_cut INTEGER NOT NULL
) WITHOUT ROWID
"""


class BatchEncoder(Protocol):
    """What the cache needs of an encoder: `SentenceEncoder`, or a fake in tests."""

    @property
    def fingerprint(self) -> str: ...

    def tokenize(self, passages: Sequence[Passage]) -> list[TokenizedPassage]: ...

    def plan_batches(self, rows: Sequence[TokenizedPassage]) -> list[list[int]]: ...

    def encode_batch(self, rows: Sequence[TokenizedPassage]) -> Embeddings: ...


Entry = tuple[bytes, int, int]
"""A stored vector (float32 bytes) and how many tokens of context and text were cut."""


class CachedEncoder:
    """An `Encoder` over a batch encoder and a cache file named by its fingerprint.

    Batches are planned over the whole request, whatever is cached already, and each is stored in one transaction. So
    a run that was killed and started again encodes the very same batches as an undisturbed run, to the last bit.
    """

    def __init__(self, encoder: BatchEncoder, folder: Path) -> None:
        self._encoder = encoder
        self._path = folder / f"{encoder.fingerprint}.sqlite"

    @property
    def fingerprint(self) -> str:
        return self._encoder.fingerprint

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:
        """Return one row for each passage, in order.

        Raises:
            StoreError: the cache file cannot be opened or written.
        """
        key_of = {passage: passage_key(passage) for passage in passages}
        keys = list(key_of.values())
        with self._open() as connection:
            entries = _read(connection, keys)
            if len(entries) < len(keys):
                self._encode_missing(connection, list(key_of), keys, entries, progress)
        rows = [entries[key_of[passage]] for passage in passages]
        vectors = np.frombuffer(b"".join(row[0] for row in rows), dtype=np.float32)
        return Embeddings(
            vectors.reshape(len(rows), -1 if rows else 0),  # numpy cannot work out the width of no rows
            context_tokens_cut=np.array([row[1] for row in rows], dtype=np.int64),
            text_tokens_cut=np.array([row[2] for row in rows], dtype=np.int64),
        )

    def _encode_missing(
        self,
        connection: sqlite3.Connection,
        passages: list[Passage],
        keys: list[bytes],
        entries: dict[bytes, Entry],
        progress: Progress,
    ) -> None:
        with progress.task("load the encoder", 0):
            tokenized = self._encoder.tokenize(passages)
        with progress.task("encode texts", len(keys) - len(entries)) as task:
            for batch in self._encoder.plan_batches(tokenized):
                missing = [index for index in batch if keys[index] not in entries]
                if not missing:
                    continue
                encoded = self._encoder.encode_batch([tokenized[index] for index in missing])
                fresh = {
                    keys[index]: (
                        encoded.vectors[row].tobytes(),
                        int(encoded.context_tokens_cut[row]),
                        int(encoded.text_tokens_cut[row]),
                    )
                    for row, index in enumerate(missing)
                }
                _write(connection, fresh)
                entries.update(fresh)
                task.advance(len(missing))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=30)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(SCHEMA)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the embedding cache {self._path} cannot be used: {error}",
                remedy="check disk space and permissions; the file may be deleted, embeddings are computed again",
            ) from error


def passage_key(passage: Passage) -> bytes:
    """Return the cache key of a passage: 16 bytes of BLAKE2b over context and text, lengths included."""
    context, text = passage.context.encode(), passage.text.encode()
    return hashlib.blake2b(b"%d:%b%b" % (len(context), context, text), digest_size=16).digest()


def _read(connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, Entry]:
    entries: dict[bytes, Entry] = {}
    for start in range(0, len(keys), KEYS_A_QUERY):
        some = keys[start : start + KEYS_A_QUERY]
        marks = ",".join("?" * len(some))
        rows = connection.execute(f"SELECT * FROM embeddings WHERE key IN ({marks})", some)  # noqa: S608 (marks only)
        entries.update({key: (vector, context_cut, text_cut) for key, vector, context_cut, text_cut in rows})
    return entries


def _write(connection: sqlite3.Connection, entries: dict[bytes, Entry]) -> None:
    with connection:
        connection.executemany(
            "INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?, ?)", [(key, *entry) for key, entry in entries.items()]
        )
