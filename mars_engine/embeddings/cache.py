"""An encoder that remembers: each distinct passage is read once ever, across runs and processes.

One pass over a passage gives its sentence embedding and the hidden states that the probe looks at; both are kept, the
embedding as float32 (1,536 bytes with 384 dimensions), a hidden state as float16 (768 bytes). The tables have row ids:
without them SQLite gives each embedding a page of its own.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from mars_engine.core.errors import StoreError
from mars_engine.core.progress import Progress
from mars_engine.core.records import Embeddings, Float32Array, HiddenState, Passage, Prompt
from mars_engine.embeddings.passage_tokens import TokenizedPassage
from mars_engine.embeddings.sentence_encoder import BatchReading

KEYS_A_QUERY = 500
SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (
    key BLOB PRIMARY KEY, vector BLOB NOT NULL, context_tokens_cut INTEGER NOT NULL, text_tokens_cut INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS hidden_states (
    key BLOB NOT NULL, state TEXT NOT NULL, vector BLOB NOT NULL, context_tokens_cut INTEGER NOT NULL,
    text_tokens_cut INTEGER NOT NULL, PRIMARY KEY (key, state)
);
"""


class BatchEncoder(Protocol):
    """What the cache needs of an encoder: `SentenceEncoder`, or a fake in tests."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def depth(self) -> int: ...

    def context_of(self, prompt: Prompt) -> str: ...

    def tokenize(self, passages: Sequence[Passage]) -> list[TokenizedPassage]: ...

    def plan_batches(self, rows: Sequence[TokenizedPassage]) -> list[list[int]]: ...

    def read_batch(
        self, rows: Sequence[TokenizedPassage], *, sentence: bool, states: Sequence[HiddenState] = ()
    ) -> BatchReading: ...


Entry = tuple[bytes, int, int]
"""A stored vector and how many tokens of context and text were cut."""
SENTENCE = None
"""Stands for the sentence embedding, where hidden states stand for themselves."""
Kind = HiddenState | None
Entries = dict[Kind, dict[bytes, Entry]]


def no_companions() -> Sequence[HiddenState]:
    """For an encoder whose hidden states nobody is known to ask for."""
    return ()


class CachedEncoder:
    """An `Encoder` over a batch encoder and a cache file named by its fingerprint.

    Batches are planned over the whole request, whatever is cached already, and each is stored in one transaction. So
    a run that was killed and started again encodes the very same batches as an undisturbed run, to the last bit.

    Args:
        encoder: reads passages.
        folder: where the cache file is.
        companions: tells which hidden states are worth keeping of a text whose sentence embedding is asked for, since
            the probe will ask for them: they come with the same pass.
    """

    def __init__(
        self, encoder: BatchEncoder, folder: Path, *, companions: Callable[[], Sequence[HiddenState]] = no_companions
    ) -> None:
        self._encoder = encoder
        self._path = folder / f"{encoder.fingerprint}.sqlite"
        self._companions = companions

    @property
    def fingerprint(self) -> str:
        return self._encoder.fingerprint

    @property
    def depth(self) -> int:
        return self._encoder.depth

    def context_of(self, prompt: Prompt) -> str:
        return self._encoder.context_of(prompt)

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:
        """Return one row for each passage, in order.

        Raises:
            StoreError: the cache file cannot be opened or written.
        """
        return self._read(passages, [SENTENCE], progress)

    def hidden_states(
        self, passages: Sequence[Passage], states: Sequence[HiddenState], *, progress: Progress
    ) -> Embeddings:
        """Return hidden states side by side, one row for each passage; see the protocol.

        Raises:
            StoreError: the cache file cannot be opened or written.
            ModelError: the encoder has no such layer.
        """
        return self._read(passages, list(states), progress)

    def _read(self, passages: Sequence[Passage], kinds: Sequence[Kind], progress: Progress) -> Embeddings:
        key_of = {passage: passage_key(passage) for passage in passages}
        keys = list(key_of.values())
        with self._open() as connection:
            entries: Entries = {kind: _read_rows(connection, kind, keys) for kind in kinds}
            if any(len(entries[kind]) < len(keys) for kind in kinds):
                self._read_missing(connection, list(key_of), keys, entries, progress)
        cuts = [entries[kinds[0]][key_of[passage]][1:] for passage in passages]
        return Embeddings(
            np.hstack([_vectors(kind, [entries[kind][key_of[passage]][0] for passage in passages]) for kind in kinds]),
            context_tokens_cut=np.array([cut[0] for cut in cuts], dtype=np.int64),
            text_tokens_cut=np.array([cut[1] for cut in cuts], dtype=np.int64),
        )

    def _read_missing(
        self,
        connection: sqlite3.Connection,
        passages: list[Passage],
        keys: list[bytes],
        entries: Entries,
        progress: Progress,
    ) -> None:
        with progress.task("load the encoder", 0):
            tokenized = self._encoder.tokenize(passages)
        known = [sum(key in found for found in entries.values()) == len(entries) for key in keys]
        wanted = {kind: entries[kind] for kind in entries} | {
            state: {} for state in self._companions() if SENTENCE in entries and state not in entries
        }
        with progress.task("encode texts", len(keys) - sum(known)) as task:
            for batch in self._encoder.plan_batches(tokenized):
                missing = [index for index in batch if not known[index]]
                if not missing:
                    continue
                fresh = self._read_batch([tokenized[index] for index in missing], list(wanted))
                for kind, rows in fresh.items():
                    for index, row in zip(missing, rows, strict=True):
                        wanted.setdefault(kind, {}).setdefault(keys[index], row)
                _write(connection, {kind: {keys[i]: wanted[kind][keys[i]] for i in missing} for kind in fresh})
                task.advance(len(missing))

    def _read_batch(self, rows: Sequence[TokenizedPassage], kinds: Sequence[Kind]) -> dict[Kind, list[Entry]]:
        states = [kind for kind in kinds if kind is not None]
        # A response alone is embedded for its semantic distance sooner or later, and now its layers are half way up.
        sentence = SENTENCE in kinds or all(row.text_start == row.context_start for row in rows)
        reading = self._encoder.read_batch(rows, sentence=sentence, states=states)
        found: dict[Kind, Float32Array] = {kind: vectors for kind, vectors in reading.states.items()}  # noqa: C416
        if reading.sentence is not None:
            found[SENTENCE] = reading.sentence
        return {
            kind: [
                (vector.astype(_precision(kind)).tobytes(), row.context_tokens_cut, row.text_tokens_cut)
                for vector, row in zip(vectors, rows, strict=True)
            ]
            for kind, vectors in found.items()
        }

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=30)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(SCHEMA)
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


def _precision(kind: Kind) -> type[np.floating]:
    return np.float32 if kind is SENTENCE else np.float16


def _vectors(kind: Kind, stored: list[bytes]) -> Float32Array:
    flat = np.frombuffer(b"".join(stored), dtype=_precision(kind)).astype(np.float32)
    return flat.reshape(len(stored), -1 if stored else 0)  # numpy cannot work out the width of no rows


def _read_rows(connection: sqlite3.Connection, kind: Kind, keys: list[bytes]) -> dict[bytes, Entry]:
    entries: dict[bytes, Entry] = {}
    columns = "key, vector, context_tokens_cut, text_tokens_cut"
    source, given = ("embeddings WHERE", []) if kind is None else ("hidden_states WHERE state = ? AND", [kind.name])
    for start in range(0, len(keys), KEYS_A_QUERY):
        some = keys[start : start + KEYS_A_QUERY]
        marks = ",".join("?" * len(some))
        rows = connection.execute(f"SELECT {columns} FROM {source} key IN ({marks})", [*given, *some])  # noqa: S608
        entries.update({key: (vector, context_cut, text_cut) for key, vector, context_cut, text_cut in rows})
    return entries


def _write(connection: sqlite3.Connection, fresh: Mapping[Kind, Mapping[bytes, Entry]]) -> None:
    with connection:
        for kind, entries in fresh.items():
            if kind is None:
                connection.executemany(
                    "INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?, ?)",
                    [(key, *entry) for key, entry in entries.items()],
                )
            else:
                connection.executemany(
                    "INSERT OR IGNORE INTO hidden_states VALUES (?, ?, ?, ?, ?)",
                    [(key, kind.name, *entry) for key, entry in entries.items()],
                )
