"""New databases by the statements that the migrations sent when this process first ran them: Alembic takes long."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, inspect

from mars_engine.store import database

Statement = tuple[str, Any]
SENT: dict[str, list[Statement]] = {}
"""What the migrations sent to an empty database, by its dialect."""

migrate = database._migrate


@contextmanager
def kept_migrations() -> Iterator[None]:
    """Send an empty database what the first one was sent; every other is left to the migrations themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_migrate", _migrate)
        yield


def _migrate(connection: Connection) -> None:
    dialect = connection.dialect.name
    if inspect(connection).get_table_names():
        migrate(connection)
    elif dialect in SENT:
        for statement, parameters in SENT[dialect]:
            connection.exec_driver_sql(statement, parameters)
    else:
        SENT[dialect] = _statements_of_migrations(connection)


def _statements_of_migrations(connection: Connection) -> list[Statement]:
    sent: list[Statement] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.split(None, 1)[0] not in {"SELECT", "PRAGMA"}:
            sent.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", keep)
    try:
        migrate(connection)
    finally:
        event.remove(connection, "before_cursor_execute", keep)
    return sent
