"""Opening a database: connections, migration, and the two kinds of transaction.

SQLite and PostgreSQL behave alike here. Write transactions take turns: the second waits for the first, and fails only
where that takes longer than `BUSY_SECONDS`. A read transaction waits for nobody, and sees the database as it was at one
moment.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    StaticPool,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from mars_engine.core.errors import ReadOnlyError, StoreError
from mars_engine.store.schema import FIRST_REVISION, REVISION

BUSY_SECONDS = 30
LARGE_JOURNAL_BYTES = 64 * 2**20
MIGRATIONS = Path(__file__).parent / "migrations"
WRITER_LOCK = 0x4D415253
"""The first number of PostgreSQL's advisory lock that a write transaction holds: "MARS" in ASCII. The second is its
schema's, for a workspace in another schema of the database is another's."""

_Read = TypeVar("_Read")
_DRIVERS = {"sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg"}
_migrating = threading.Lock()  # Alembic keeps the migration under way in module globals


class KeptReadings:
    """What was read of large tables, kept in memory for as long as somebody wants it there. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._kept: dict[Hashable, tuple[object, Any]] = {}

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Keep what is read from the database in this context, and forget it at the end of the last such context."""
        with self._lock:
            self._wanted += 1
        try:
            yield
        finally:
            with self._lock:
                self._wanted -= 1
                if not self._wanted:
                    self._kept.clear()

    def read(self, what: Hashable, revision: Callable[[], object], read: Callable[[], _Read]) -> _Read:
        """Return what was read from the database before at this revision, or read it."""
        if not self._wanted:
            return read()
        now = revision()
        with self._lock:
            kept_at, kept = self._kept.get(what, (None, None))
        if kept_at != now:
            kept = read()  # it may be newer than the revision; then it is read once more
            with self._lock:
                if self._wanted:
                    self._kept[what] = (now, kept)
        return cast("_Read", kept)


@dataclass(frozen=True, slots=True)
class Database:
    """An open database at the newest migration.

    Attributes:
        engine: its connections.
        place: where it is, for messages; never with a password.
        folder: where its file is; None where it has none of its own.
        turn: held during a transaction where all threads share one connection.
        kept: what was read and is wanted again.
    """

    engine: Engine
    place: str
    folder: Path | None
    turn: "threading.Lock | nullcontext[None]"
    kept: KeptReadings = field(default_factory=KeptReadings)

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
                connection.execute(
                    select(func.pg_advisory_xact_lock(WRITER_LOCK, func.hashtext(func.current_schema())))
                )
            yield connection

    def empty_journal(self) -> None:
        """Give back the disk space of SQLite's journal where a transaction has made it large.

        Others are waited for no longer than a moment: where they read or write, it is left to a later time.
        """
        journal = Path(f"{self.engine.url.database}-wal")
        if self.folder is None or not journal.exists() or journal.stat().st_size < LARGE_JOURNAL_BYTES:
            return
        with self._refusals_explained(), self.engine.connect() as connection:
            driver = cast("sqlite3.Connection", connection.connection.driver_connection)
            driver.execute("PRAGMA busy_timeout = 200")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        # UnicodeEncodeError: a text with half a surrogate pair. OverflowError: an integer beyond 64 bits.
        try:
            yield
        except (SQLAlchemyError, UnicodeEncodeError, OverflowError) as error:
            raise _refusal(self.place, error) from error


def storable(text: str) -> str:
    """Return a text that every database takes: halves of surrogate pairs and NUL are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def is_storable(text: str) -> bool:
    """Whether every database can keep a text: no half of a surrogate pair and, for PostgreSQL, no NUL."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def sqlite_url(path: Path) -> str:
    """Return the url of an SQLite file, whatever letters its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_database(url: str) -> Database:
    """Open a database, made new where there is none, and migrate it to the newest tables.

    An SQLite file in which one may not write is opened to be read: what would write in it is refused.

    Args:
        url: an SQLAlchemy url: `sqlite:///path`, `sqlite://` (in memory), or `postgresql+psycopg://…`.

    Raises:
        StoreError: the url names no usable database, it cannot be opened, or another version of MARS has written it.
    """
    address = _parse(url)
    in_memory = _is_sqlite(address) and address.database in {None, "", ":memory:"}
    engine = _engine(address, in_memory=in_memory)
    has_file = _is_sqlite(address) and not in_memory
    folder = Path(str(address.database)).absolute().parent if has_file else None
    database = Database(engine, _place(address), folder, threading.Lock() if in_memory else nullcontext())
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


def _engine(address: URL, *, in_memory: bool) -> Engine:
    if not _is_sqlite(address):
        return _postgresql_engine(address)
    if in_memory or not _is_read_only(Path(str(address.database))):
        return _sqlite_engine(address, in_memory=in_memory)
    return _sqlite_engine(address, in_memory=False, read_only=True)


def _is_read_only(path: Path) -> bool:
    """Whether one may read an SQLite file but not write it, or not the journal beside it."""
    may_read, may_write = os.access(path, os.R_OK), os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return path.is_file() and may_read and not may_write


def _connect_to_read(path: Path) -> sqlite3.Connection:
    # SQLite keeps a journal's index beside the file even of those who read. Where that cannot be made and no journal
    # is there, all is in the file itself, and it is read as one that nobody changes. Others may begin to: therefore
    # each transaction has a connection of its own, which looks anew.
    has_index = os.access(path.parent, os.W_OK) or path.with_name(f"{path.name}-wal").exists()
    options = "mode=ro" if has_index else "mode=ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?{options}", uri=True, timeout=BUSY_SECONDS)


def _sqlite_engine(address: URL, *, in_memory: bool, read_only: bool = False) -> Engine:
    # Python's own transaction control begins none before a SELECT, CREATE or PRAGMA, and none IMMEDIATE. It is
    # switched off, and BEGIN is said here: the way that SQLAlchemy documents for Python 3.11.
    options: dict[str, Any] = {"hide_parameters": True}
    connect_args: dict[str, Any] = {} if "timeout" in address.query else {"timeout": BUSY_SECONDS}
    if in_memory:
        options["poolclass"] = StaticPool
        connect_args["check_same_thread"] = False
    elif read_only:
        options |= {"poolclass": NullPool, "creator": partial(_connect_to_read, Path(str(address.database)))}
    engine = create_engine(address, connect_args=connect_args, **options)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        if not read_only:
            _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("mars_begin", "BEGIN"))

    @event.listens_for(engine, "handle_error")
    def keep_when_interrupted(context: ExceptionContext) -> None:
        # SQLAlchemy would throw away the connection of a statement that Ctrl+C ends. Its transaction would hold the
        # lock for as long as a cursor lives; so it is kept, and rolled back like any other.
        if not isinstance(context.original_exception, Exception):
            context.is_disconnect = False

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


# -------------------------------------------------------------------------------------------------------- copying


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


# ---------------------------------------------------------------------------------------------------------- migration


def _migrate_if_needed(database: Database) -> None:
    """Bring a database to the newest migration. Where it is there already, Alembic is not even imported."""
    with database.read() as connection:
        if _is_current(connection, database.place):
            return
    with _migrating, database.write() as connection:
        if not _is_current(connection, database.place):  # another process may have been quicker
            _migrate(connection)


def _is_current(connection: Connection, place: str) -> bool:
    """Whether a database is at the newest migration; one that is not is empty, or at an earlier one.

    Raises:
        StoreError: it is of a version that this one can neither read nor bring up to date; it is left as it is.
    """
    if not inspect(connection).has_table("alembic_version"):
        return False
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is None or found == REVISION:
        return found == REVISION
    if FIRST_REVISION <= found < REVISION:
        return False
    if found < FIRST_REVISION:
        raise StoreError(
            f"the database {place} is at version {found!r}, of MARS before its first release",
            expected=f"version {REVISION!r}",
            remedy="export what you need with the MARS that made it, and import that into a new workspace; this one is "
            "left as it is",
        )
    raise StoreError(
        f"the database {place} is at version {found!r}, which this version of MARS does not know",
        expected=f"version {REVISION!r}",
        remedy="update MARS, or open another workspace",
    )


def _migrate(connection: Connection) -> None:
    """Run the migrations in the transaction that `connection` is in."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


# ----------------------------------------------------------------------------------------------------------- refusals


def _refusal(place: str, error: Exception) -> StoreError:
    reason = _reason(error)
    if "readonly" in reason.lower():
        return ReadOnlyError(
            f"the database {place} may be read, but not written",
            remedy="check that you may write in its folder, or copy the workspace; status, report, export, "
            "history and 'job list' work as it is",
        )
    return StoreError(f"the database {place} refused: {reason}", remedy=_remedy(error))


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())


def _remedy(error: Exception) -> str:
    reason = _reason(error).lower()
    if "locked" in reason or "lock timeout" in reason:
        return "another process has been writing for long; wait until it is done and try again"
    if "not a database" in reason or "malformed" in reason:
        return "the file is damaged or no database; open another workspace, or restore the file"
    if "disk is full" in reason or "disk i/o error" in reason:
        return "make room on the disk that it is on and run the same command again; nothing of this step was stored"
    if "unable to open" in reason or "read-only" in reason:
        return "check that the folder exists and that you may write in it"
    is_sqlite = isinstance(getattr(error, "orig", None), sqlite3.Error)
    if isinstance(error, DBAPIError) and not is_sqlite and (error.connection_invalidated or error.statement is None):
        return "check database_url, and that the server is running and lets you in"
    return "nothing of this step was stored; correct what it names and run it again"
