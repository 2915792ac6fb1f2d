"""The store: the workspace's memory in a database, SQLite or PostgreSQL."""

from dataclasses import dataclass
from pathlib import Path

from mars_engine.store.browse import SqlBrowseStore
from mars_engine.store.chat import SqlChatStore
from mars_engine.store.compositions import SqlCompositionStore
from mars_engine.store.copying import copy_database
from mars_engine.store.database import Database, open_database, sqlite_url
from mars_engine.store.evaluations import SqlEvaluationStore
from mars_engine.store.leases import SqlLeaseStore
from mars_engine.store.models import SqlModelStore
from mars_engine.store.pair_sets import SqlPairSetStore
from mars_engine.store.pairs import SqlPairStore
from mars_engine.store.proposals import SqlProposalStore
from mars_engine.store.removal import SqlRemovalStore
from mars_engine.store.reviews import SqlReviewStore
from mars_engine.store.runs import SqlRunStore

__all__ = ["SqlStore", "open_store", "sqlite_url"]


@dataclass(frozen=True, slots=True)
class SqlStore:
    """A Store on a database. Threads and processes may use it at once; what a method stored is on the disk."""

    database: Database
    pairs: SqlPairStore
    models: SqlModelStore
    proposals: SqlProposalStore
    chat: SqlChatStore
    reviews: SqlReviewStore
    leases: SqlLeaseStore
    pair_sets: SqlPairSetStore
    browse: SqlBrowseStore
    compositions: SqlCompositionStore
    evaluations: SqlEvaluationStore
    runs: SqlRunStore
    removal: SqlRemovalStore

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


def open_store(url: str) -> SqlStore:
    """Open the store at an SQLAlchemy url, made new where there is none.

    Args:
        url: `sqlite:///path`, `sqlite://` (in memory, for tests), or `postgresql+psycopg://…`.

    Raises:
        StoreError: the url names no usable database, it cannot be opened, or another version of MARS has written it.
    """
    database = open_database(url)
    return SqlStore(
        database=database,
        pairs=SqlPairStore(database),
        models=SqlModelStore(database),
        proposals=SqlProposalStore(database),
        chat=SqlChatStore(database),
        reviews=SqlReviewStore(database),
        leases=SqlLeaseStore(database),
        pair_sets=SqlPairSetStore(database),
        browse=SqlBrowseStore(database),
        compositions=SqlCompositionStore(database),
        evaluations=SqlEvaluationStore(database),
        runs=SqlRunStore(database),
        removal=SqlRemovalStore(database),
    )
