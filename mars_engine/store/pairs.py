"""Source pairs and the datasets they came in."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from mars_engine.core.records import DatasetRecord, Pair, Split
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.staging import StagedPairs, staged_pairs
from mars_engine.store.statements import (
    id_groups,
    insert_absent,
    insert_if_absent,
    insert_or_replace,
    next_ordinal,
    note_change,
    read_once,
    record_columns,
    record_values,
    records,
    revision,
)

PAIRS_AT_A_TIME = 1_000

_PAIR = record_columns(Pair, schema.pairs)


@dataclass(frozen=True, slots=True)
class PairStore:
    """Source pairs and the datasets they came in."""

    database: Database

    def staging(self) -> AbstractContextManager[StagedPairs]:
        """Open an empty staging of pairs, beside the database where that is a file.

        Raises:
            StoreError: it cannot be made.
        """
        return staged_pairs(self.database.folder)

    def add_dataset(
        self, dataset: DatasetRecord, pairs: Iterable[tuple[int, Pair]], *, since: int | None = None
    ) -> bool:
        """Store a dataset and its pairs, given with their row, in one transaction: all or nothing.

        A pair whose id is present already is not stored again; a dataset whose id is present changes nothing.

        Args:
            dataset: the dataset.
            pairs: gone through once.
            since: the revision of "pairs" that the caller has seen. Where others have changed them since, nothing is
                stored and False is returned, so that the caller looks again.
        """
        with self.database.write() as connection:
            if since is not None and revision(connection, "pairs") != since:
                return False
            ordinal = next_ordinal(connection, schema.datasets)
            if not insert_if_absent(connection, schema.datasets, {"ordinal": ordinal, **record_values(dataset)}):
                return True
            first = next_ordinal(connection, schema.pairs)
            rows = (_pair_row(dataset, row, pair, ordinal) for ordinal, (row, pair) in enumerate(pairs, start=first))
            insert_absent(connection, schema.pairs, rows)
            note_change(connection, "pairs")
        self.database.empty_journal()
        return True

    def datasets(self) -> list[DatasetRecord]:
        """All datasets, oldest first."""
        statement = select(*record_columns(DatasetRecord, schema.datasets)).order_by(schema.datasets.c.ordinal)
        with self.database.read() as connection:
            return records(connection, DatasetRecord, statement)

    def present(self, ids: Collection[str]) -> dict[str, Split]:
        """Which of `ids` are stored, and in which split."""
        statement = select(schema.pairs.c.id, schema.pairs.c.split)
        found: dict[str, Split] = {}
        with self.database.read() as connection:
            for group in id_groups(ids):
                rows = connection.execute(statement.where(schema.pairs.c.id.in_(group)))
                found.update((row.id, row.split) for row in rows)
        return found

    def prompts_present(self, split: Split, prompt_ids: Collection[str]) -> set[str]:
        """Which of these prompts have pairs in a split."""
        stored = schema.pairs.c
        statement = select(stored.prompt_id).where(stored.split == split).distinct()
        found: set[str] = set()
        with self.database.read() as connection:
            for group in id_groups(prompt_ids):
                found.update(connection.execute(statement.where(stored.prompt_id.in_(group))).scalars())
        return found

    def pairs(self, split: Split) -> list[Pair]:
        """All pairs of a split, in the order of their import."""
        return list(read_once(self.database, "pairs", split, self._read_pairs))

    def _read_pairs(self, split: Split) -> list[Pair]:
        statement = select(*_PAIR).where(schema.pairs.c.split == split).order_by(schema.pairs.c.ordinal)
        with self.database.read() as connection:
            return records(connection, Pair, statement)

    def stream(self, split: Split) -> Iterator[Pair]:
        """Yield the pairs of a split, in the order of their import; few are in memory at a time."""
        stored, last = schema.pairs.c, -1
        statement = select(stored.ordinal, *_PAIR).order_by(stored.ordinal).limit(PAIRS_AT_A_TIME)
        while True:
            with self.database.read() as connection:
                rows = connection.execute(statement.where(stored.split == split, stored.ordinal > last)).all()
            for ordinal, *values in rows:
                last = ordinal
                yield Pair(*values)
            if len(rows) < PAIRS_AT_A_TIME:
                return

    def by_id(self, ids: Collection[str]) -> dict[str, Pair]:
        """The pairs of `ids`, in their order; an id that is not stored is left out."""
        found: dict[str, Pair] = {}
        with self.database.read() as connection:
            for group in id_groups(ids):
                statement = select(*_PAIR).where(schema.pairs.c.id.in_(group))
                found.update((pair.id, pair) for pair in records(connection, Pair, statement))
        return {pair_id: found[pair_id] for pair_id in ids if pair_id in found}

    def ids_by_row(self, dataset_id: str) -> dict[int, str]:
        """Ids of the pairs that a dataset brought first, by their row in its source, counted from 1.

        Of a row that gave several pairs, it is the first.
        """
        stored = schema.pairs.c
        statement = select(stored.dataset_row, stored.id).where(stored.dataset_id == dataset_id)
        found: dict[int, str] = {}
        with self.database.read() as connection:
            for row, pair_id in connection.execute(statement.order_by(stored.ordinal)):
                found.setdefault(row, pair_id)
        return found

    def save_distances(self, encoder: str, distances: Mapping[str, float]) -> None:
        """Store the semantic distance of pairs, by pair id, under an encoder (its fingerprint), in one transaction."""
        rows = [{"encoder": encoder, "pair_id": pair_id, "distance": value} for pair_id, value in distances.items()]
        with self.database.write() as connection:
            insert_or_replace(connection, schema.distances, rows)
            note_change(connection, "distances")

    def distances(self, encoder: str) -> dict[str, float]:
        """Semantic distances by pair id."""
        stored = schema.distances.c
        statement = select(stored.pair_id, stored.distance).where(stored.encoder == encoder)
        with self.database.read() as connection:
            return {row.pair_id: row.distance for row in connection.execute(statement)}

    def count(self, split: Split) -> int:
        statement = select(func.count()).select_from(schema.pairs).where(schema.pairs.c.split == split)
        with self.database.read() as connection:
            return connection.execute(statement).scalar_one()


def _pair_row(dataset: DatasetRecord, row: int, pair: Pair, ordinal: int) -> dict[str, Any]:
    return {
        "ordinal": ordinal,
        "dataset_id": dataset.id,
        "dataset_row": row,
        "split": dataset.split,
        "prompt_id": pair.prompt_id,
        **record_values(pair),
    }
