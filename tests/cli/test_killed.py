"""Import, scoring and proposing that die: run again, and the database is that of an undisturbed run.

Death comes at each commit in turn, in this process, and once by a real SIGKILL in the middle of a process of its own.
"""

import json
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from database_content import database_content
from forked_mars import ForkedMars

from mars_engine.cli.main import mars
from mars_engine.core.errors import StoreError
from mars_engine.core.shipped import shipped
from mars_engine.store.database import Database
from mars_engine.workspace.workspace import DATABASE_FILE

pytestmark = pytest.mark.model

PAIRS = 12
SETTINGS = ["--propose-chunk", "3", "--encoder-batch-tokens", "512", "--triage-seeds", "2"]
GONE = 2**22 + 1
"""More than any process id of Linux."""


class Death(BaseException):
    """Ends the work like a kill: nothing that runs on its way out writes to the database any more."""


class DyingDatabase:
    """Counts the transactions that write, and dies just before one of them is committed."""

    def __init__(self, dies_at: int | None) -> None:
        self.dies_at, self.begun = dies_at, 0

    @property
    def is_dead(self) -> bool:
        return self.dies_at is not None and self.begun >= self.dies_at

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        write, dying = Database.write, self

        @contextmanager
        def watched(database: Database) -> Iterator[Any]:
            if threading.current_thread() is not threading.main_thread():  # the pulse of a run, when it pleases
                if dying.is_dead:
                    raise StoreError("there is nobody left to write")
                with write(database) as connection:
                    yield connection
                return
            if dying.is_dead:
                raise Death
            with write(database) as connection:
                yield connection
                dying.begun += 1
                if dying.is_dead:
                    raise Death

        patch.setattr(Database, "write", watched)


def run(workspace: Path, *arguments: str, dies_at: int | None = None) -> int:
    """Run a command in this process, perhaps until it dies; how many transactions it wrote."""
    dying = DyingDatabase(dies_at)
    with pytest.MonkeyPatch.context() as patch:
        dying.watch(patch)
        command = ["--workspace", str(workspace), "--quiet", *arguments]
        if dies_at is None:
            result = CliRunner().invoke(mars, command)
            assert result.exit_code == 0, result.output
        else:
            with pytest.raises(Death):
                CliRunner().invoke(mars, command)
            with sqlite3.connect(workspace / DATABASE_FILE) as connection:  # this process lives on, the run's does not
                connection.execute("UPDATE runs SET process_id = ? WHERE state = 'running'", [GONE])
            connection.close()
    return dying.begun


def content(workspace: Path) -> dict[str, list[tuple[object, ...]]]:
    return database_content(f"sqlite:///{workspace / DATABASE_FILE}")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The demo pairs, twice under other prompts."""
    path = tmp_path_factory.mktemp("source") / "many.jsonl"
    rows = [json.loads(line) for line in (shipped("data") / "demo-train.jsonl").read_text().splitlines()]
    with path.open("w", encoding="utf-8") as file:
        for copy in range(2):
            for row in rows:
                prompt = [*row["prompt"][:-1], {"role": "user", "content": f"{copy} {row['prompt'][-1]['content']}"}]
                file.write(json.dumps({**row, "prompt": prompt}) + "\n")
    return path


@pytest.fixture(scope="module")
def few_pairs(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("few") / "few.jsonl"
    path.write_text("".join((shipped("data") / "demo-train.jsonl").read_text().splitlines(keepends=True)[:PAIRS]))
    return path


def die_and_repeat(start: Path, step: list[str], tmp_path: Path, environment: dict[str, str]) -> None:
    """Let a step die at each of its commits and once by SIGKILL, each from a copy of `start`, and go on."""
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(start, undisturbed)
    begun = time.monotonic()
    commits = run(undisturbed, *step)
    seconds = time.monotonic() - begun
    expected = content(undisturbed)
    assert commits > 1
    for number in range(1, commits + 1):
        workspace = tmp_path / f"died-{number}"
        shutil.copytree(start, workspace)
        assert run(workspace, *step, dies_at=number) == number
        go_on(workspace, step, expected, f"death before commit {number}")
    killed = tmp_path / "killed"
    kill(start, killed, step, environment, after=seconds)
    go_on(killed, step, expected, "SIGKILL")


def go_on(workspace: Path, step: list[str], expected: dict[str, list[tuple[object, ...]]], death: str) -> None:
    run(workspace, *step)
    found = content(workspace)
    for table, rows in expected.items():
        assert found[table] == rows, f"{death}: {table} differs"
    shutil.rmtree(workspace)


def kill(start: Path, workspace: Path, step: list[str], environment: dict[str, str], *, after: float) -> None:
    """Kill a step's process in a copy of `start` some seconds after its run began, or sooner if it ends by then."""
    while True:
        shutil.rmtree(workspace, ignore_errors=True)
        shutil.copytree(start, workspace)
        process = ForkedMars(workspace, *step, environment=environment)
        before = runs(start)
        while runs(workspace) == before and process.returncode is None:
            time.sleep(0.02)
        deadline = time.monotonic() + after
        while process.returncode is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.returncode is None:
            process.strike(signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            return
        after *= 0.7


def runs(workspace: Path) -> int:
    with sqlite3.connect(workspace / DATABASE_FILE) as connection:
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    connection.close()
    return int(count)


def test_import(tmp_path, source, quiet_environment):
    start = tmp_path / "start"
    run(start, "init")
    die_and_repeat(start, ["import", str(source)], tmp_path, quiet_environment)


@pytest.fixture(scope="module")
def warmed_up(tmp_path_factory, few_pairs) -> Path:
    """A workspace whose warm-up has run, but with no embedding left in the cache: scoring encodes all again."""
    start = tmp_path_factory.mktemp("warm") / "start"
    run(start, "init", *SETTINGS)
    run(start, "import", str(few_pairs))
    run(start, "train")
    shutil.rmtree(start / "artifacts" / "embeddings")
    return start


def test_scoring(tmp_path, warmed_up, quiet_environment):
    die_and_repeat(warmed_up, ["score"], tmp_path, quiet_environment)


def test_proposing(tmp_path, warmed_up, quiet_environment):
    start = tmp_path / "start"
    shutil.copytree(warmed_up, start)
    run(start, "score")
    die_and_repeat(start, ["propose"], tmp_path, quiet_environment)
