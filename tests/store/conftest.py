"""Databases that several processes may open: SQLite files and, where MARS_TEST_DATABASE_URL names one, a server."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

SERVER = os.environ.get("MARS_TEST_DATABASE_URL", "")


@pytest.fixture
def schema_url() -> Iterator[Callable[[], str]]:
    """Make fresh, empty PostgreSQL schemas; they are dropped afterwards."""
    if not SERVER:
        pytest.skip("MARS_TEST_DATABASE_URL names no PostgreSQL server")
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    names: list[str] = []

    def make() -> str:
        name = f"mars_test_{secrets.token_hex(8)}"
        names.append(name)
        with engine.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        url = make_url(SERVER).update_query_dict({"options": f"-csearch_path={name}"})
        return url.render_as_string(hide_password=False)

    yield make
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


@pytest.fixture(params=["sqlite-file", "postgresql"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The url of a database that does not exist yet and that several processes may open."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("schema_url")())
    return f"sqlite:///{tmp_path / 'mars 100%.db'}"
