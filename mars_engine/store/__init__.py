"""The store: the workspace's memory in a database, SQLite or PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mars_engine.store.browse import BrowseStore
from mars_engine.store.chat import ChatStore
from mars_engine.store.compositions import CompositionStore
from mars_engine.store.database import Database, copy_database, open_database, sqlite_url
from mars_engine.store.evaluations import ComparisonStore, EvaluationStore
from mars_engine.store.leases import LeaseStore
from mars_engine.store.models import ModelStore
from mars_engine.store.opinions import OpinionStore
from mars_engine.store.pair_sets import PairSetStore
from mars_engine.store.pairs import PairStore
from mars_engine.store.proposals import ProposalStore
from mars_engine.store.removal import RemovalStore
from mars_engine.store.reviews import ReviewStore
from mars_engine.store.runs import RunStore

__all__ = ["Store", "open_store", "sqlite_url"]


@dataclass(frozen=True, slots=True)
class Store:
    """The workspace's memory in a database.

    Threads and processes may use it at once; what a method stored is on the disk.
    """

    database: Database
    pairs: PairStore
    models: ModelStore
    proposals: ProposalStore
    chat: ChatStore
    reviews: ReviewStore
    opinions: OpinionStore
    leases: LeaseStore
    pair_sets: PairSetStore
    browse: BrowseStore
    compositions: CompositionStore
    evaluations: EvaluationStore
    comparisons: ComparisonStore
    runs: RunStore
    removal: RemovalStore

    @contextmanager
    def reading_once(self) -> Iterator[None]:
        """Keep in memory, within this context, all pairs and what was decided of them, once they were read.

        They are read again where somebody has changed them. It is for work of many steps, each of which needs them all.
        """
        with self.database.kept.wanted():
            yield

    @property
    def can_be_copied(self) -> bool:
        """Whether `copy_to` copies this database: a PostgreSQL server's is copied by its own tools."""
        return self.database.engine.dialect.name == "sqlite"

    def copy_to(self, path: Path) -> None:
        """Copy the database, as it is at one moment, into a new SQLite file; others may write meanwhile.

        Raises:
            StoreError: it is no SQLite database, or cannot be copied.
        """
        copy_database(self.database, path)

    def close(self) -> None:
        """Close all connections."""
        self.database.close()


def open_store(url: str) -> Store:
    """Open the store at an SQLAlchemy url, made new where there is none.

    Args:
        url: `sqlite:///path`, `sqlite://` (in memory, for tests), or `postgresql+psycopg://…`.

    Raises:
        StoreError: the url names no usable database, it cannot be opened, or another version of MARS has written it.
    """
    database = open_database(url)
    return Store(
        database=database,
        pairs=PairStore(database),
        models=ModelStore(database),
        proposals=ProposalStore(database),
        chat=ChatStore(database),
        reviews=ReviewStore(database),
        opinions=OpinionStore(database),
        leases=LeaseStore(database),
        pair_sets=PairSetStore(database),
        browse=BrowseStore(database),
        compositions=CompositionStore(database),
        evaluations=EvaluationStore(database),
        comparisons=ComparisonStore(database),
        runs=RunStore(database),
        removal=RemovalStore(database),
    )
