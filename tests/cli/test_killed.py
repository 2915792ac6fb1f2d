"""SIGKILL during import, scoring and proposing: run again, and the database is that of an undisturbed run."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from database_content import database_content

from mars_engine.service.shipped import shipped
from mars_engine.workspace.workspace import DATABASE_FILE

pytestmark = pytest.mark.model

KILLS = 5
PAIRS = 30
SETTINGS = ["--propose-chunk", "4", "--encoder-batch-tokens", "512", "--triage-seeds", "2"]


def mars(workspace: Path, *arguments: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mars_engine.cli.main", "--workspace", str(workspace), "--quiet", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(workspace: Path, *arguments: str, environment: dict[str, str]) -> float:
    started = time.monotonic()
    process = mars(workspace, *arguments, environment=environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - started


def content(workspace: Path) -> dict[str, list[tuple[object, ...]]]:
    return database_content(f"sqlite:///{workspace / DATABASE_FILE}")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Enough rows that an import takes a while: the demo pairs, again and again under other prompts."""
    path = tmp_path_factory.mktemp("source") / "many.jsonl"
    rows = [json.loads(line) for line in (shipped("data") / "demo-train.jsonl").read_text().splitlines()]
    with path.open("w", encoding="utf-8") as file:
        for copy in range(25):
            for row in rows:
                prompt = [*row["prompt"][:-1], {"role": "user", "content": f"{copy} {row['prompt'][-1]['content']}"}]
                file.write(json.dumps({**row, "prompt": prompt}) + "\n")
    return path


@pytest.fixture(scope="module")
def few_pairs(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("few") / "few.jsonl"
    path.write_text("".join((shipped("data") / "demo-train.jsonl").read_text().splitlines(keepends=True)[:PAIRS]))
    return path


def kill_and_repeat(start: Path, step: list[str], tmp_path: Path, environment: dict[str, str], *, seed: int) -> None:
    """Kill a step at random moments of its usual time, each from a copy of `start`, and let it go on."""
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(start, undisturbed)
    seconds = finish(undisturbed, *step, environment=environment)
    expected = content(undisturbed)
    rng = random.Random(seed)
    for number in range(KILLS):
        workspace = tmp_path / f"killed-{number}"
        kill(start, workspace, step, environment, after=seconds * (number + rng.random()) / KILLS)
        finish(workspace, *step, environment=environment)
        found = content(workspace)
        for table in expected:
            assert found[table] == expected[table], f"kill {number}: {table} differs"
        shutil.rmtree(workspace)


def kill(start: Path, workspace: Path, step: list[str], environment: dict[str, str], *, after: float) -> None:
    """Kill a step in a copy of `start` after some seconds, or sooner where it is through by then."""
    is_struck = False
    while not is_struck:
        shutil.rmtree(workspace, ignore_errors=True)
        shutil.copytree(start, workspace)
        process = mars(workspace, *step, environment=environment)
        time.sleep(after)
        is_struck = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after *= 0.7


def test_import(tmp_path, source, quiet_environment):
    start = tmp_path / "start"
    finish(start, "init", environment=quiet_environment)
    kill_and_repeat(start, ["import", str(source)], tmp_path, quiet_environment, seed=1)


@pytest.fixture(scope="module")
def warmed_up(tmp_path_factory, few_pairs) -> Path:
    """A workspace whose warm-up has run, but with no embedding left in the cache: scoring encodes all again."""
    environment = {**__import__("os").environ, "HF_HUB_OFFLINE": "1"}
    start = tmp_path_factory.mktemp("warm") / "start"
    finish(start, "init", *SETTINGS, environment=environment)
    finish(start, "import", str(few_pairs), environment=environment)
    finish(start, "train", environment=environment)
    shutil.rmtree(start / "artifacts" / "embeddings")
    return start


def test_scoring(tmp_path, warmed_up, quiet_environment):
    kill_and_repeat(warmed_up, ["score"], tmp_path, quiet_environment, seed=2)


def test_proposing(tmp_path, warmed_up, quiet_environment):
    start = tmp_path / "start"
    shutil.copytree(warmed_up, start)
    finish(start, "score", environment=quiet_environment)
    kill_and_repeat(start, ["propose"], tmp_path, quiet_environment, seed=3)
