"""Opening a database: connections, migration, and the two kinds of transaction.

SQLite and PostgreSQL behave alike here. Write transactions take turns: the second waits for the first, and fails only
where that takes longer than `BUSY_SECONDS`. A read transaction waits for nobody, and sees the database as it was at one
moment.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, func, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from mars_engine.words.errors import StoreError
from mars_engine.world.store.schema import REVISION

BUSY_SECONDS = 30
MIGRATIONS = Path(__file__).parent / "migrations"
WRITER_LOCK = 0x4D415253
"""The number of PostgreSQL's advisory lock that a write transaction holds: "MARS" in ASCII."""

_DRIVERS = {"sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg"}
_migrating = threading.Lock()  # Alembic keeps the migration under way in module globals


@dataclass(frozen=True, slots=True)
class Database:
    """An open database at the newest migration.

    Attributes:
        engine: its connections.
        place: where it is, for messages; never with a password.
        turn: held during a transaction where all threads share one connection.
    """

    engine: Engine
    place: str
    turn: "threading.Lock | nullcontext[None]"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction.

        Raises:
            StoreError: the database cannot be reached or refuses.
        """
        options: dict[str, Any] = {}
        if self.engine.dialect.name == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._refusals_explained(), self.turn, self.engine.execution_options(**options).connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction; it is committed at the end, and rolled back whole where anything is raised.

        Raises:
            StoreError: the database cannot be reached or refuses, or others were writing for all of `BUSY_SECONDS`.
        """
        engine = self.engine.execution_options(mars_begin="BEGIN IMMEDIATE")
        with self._refusals_explained(), self.turn, engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'"))
                connection.execute(select(func.pg_advisory_xact_lock(WRITER_LOCK)))
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        # UnicodeEncodeError: a text with half a surrogate pair. OverflowError: an integer beyond 64 bits.
        try:
            yield
        except (SQLAlchemyError, UnicodeEncodeError, OverflowError) as error:
            raise StoreError(f"the database {self.place} refused: {_reason(error)}", remedy=_remedy(error)) from error


def open_database(url: str) -> Database:
    """Open a database, made new where there is none, and migrate it to the newest tables.

    Args:
        url: an SQLAlchemy url: `sqlite:///path`, `sqlite://` (in memory), or `postgresql+psycopg://…`.

    Raises:
        StoreError: the url names no usable database, it cannot be opened, or a newer version of MARS has written it.
    """
    address = _parse(url)
    in_memory = _is_sqlite(address) and address.database in {None, "", ":memory:"}
    engine = _sqlite_engine(address, in_memory=in_memory) if _is_sqlite(address) else _postgresql_engine(address)
    database = Database(engine, _place(address), threading.Lock() if in_memory else nullcontext())
    try:
        _migrate_if_needed(database)
    except BaseException:
        database.close()
        raise
    return database


# ------------------------------------------------------------------------------------------------------- connections


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise _unreadable() from error
    if _is_sqlite(address) and address.host:
        raise _unreadable()
    if address.drivername not in _DRIVERS:
        raise StoreError(
            f"the database url asks for {address.drivername!r}",
            expected="'sqlite' or 'postgresql+psycopg'",
            remedy="correct database_url",
        )
    return address


def _unreadable() -> StoreError:
    # What SQLAlchemy says of such a url may quote a password out of it, so it is not passed on.
    return StoreError(
        "the database url cannot be read",
        expected="'sqlite:///path' or 'postgresql+psycopg://user:password@host/name'",
        remedy="correct database_url",
    )


def _is_sqlite(address: URL) -> bool:
    return address.get_backend_name() == "sqlite"


def _place(address: URL) -> str:
    if _is_sqlite(address):
        return address.database or "in memory"
    host = address.host or "the local server"
    port = f":{address.port}" if address.port else ""
    return f"{address.database or address.username} on {host}{port}"


def _sqlite_engine(address: URL, *, in_memory: bool) -> Engine:
    # Python's own transaction control begins none before a SELECT, CREATE or PRAGMA, and none IMMEDIATE. It is
    # switched off, and BEGIN is said here: the way that SQLAlchemy documents for Python 3.11.
    options: dict[str, Any] = {"hide_parameters": True}
    connect_args: dict[str, Any] = {} if "timeout" in address.query else {"timeout": BUSY_SECONDS}
    if in_memory:
        options["poolclass"] = StaticPool
        connect_args["check_same_thread"] = False
    engine = create_engine(address, connect_args=connect_args, **options)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("mars_begin", "BEGIN"))

    return engine


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # Of two connections that switch a new file at once, one is told "locked" at once, without the busy timeout.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _postgresql_engine(address: URL) -> Engine:
    connect_args: dict[str, Any] = {} if "connect_timeout" in address.query else {"connect_timeout": 10}
    try:
        return create_engine(address, connect_args=connect_args, pool_pre_ping=True, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise StoreError(
            "the PostgreSQL driver psycopg is not installed", remedy="pip install 'mars-engine[postgres]'"
        ) from error


# ---------------------------------------------------------------------------------------------------------- migration


def _migrate_if_needed(database: Database) -> None:
    """Bring a database to the newest migration. Where it is there already, Alembic is not even imported."""
    with database.read() as connection:
        if _revision(connection) == REVISION:
            return
    with _migrating, database.write() as connection:
        _migrate(connection, database.place)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _migrate(connection: Connection, place: str) -> None:
    """Run the missing migrations, in the transaction that `connection` is in; nothing where another process has."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"the database {place} is at version {found!r}, which this version of MARS does not know",
            expected=f"version {REVISION!r} or older",
            remedy="update MARS, or open another workspace",
        )
    command.upgrade(config, "head")


# ----------------------------------------------------------------------------------------------------------- refusals


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())


def _remedy(error: Exception) -> str:
    reason = _reason(error).lower()
    if "locked" in reason or "lock timeout" in reason:
        return "another process has been writing for long; wait until it is done and try again"
    if "not a database" in reason or "malformed" in reason:
        return "the file is damaged or no database; open another workspace, or restore the file"
    if "unable to open" in reason or "readonly" in reason or "read-only" in reason:
        return "check that the folder exists and that you may write in it"
    if isinstance(error, DBAPIError) and (error.connection_invalidated or error.statement is None):
        return "check database_url, and that the server is running and lets you in"
    return "nothing of this step was stored; correct what it names and run it again"
