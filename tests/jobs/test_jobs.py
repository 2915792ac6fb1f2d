"""Background jobs, as real processes: they start, report, are cancelled, retried, lost, and outlive their starter."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from mars_engine.core.clock import utc_now
from mars_engine.core.errors import JobError
from mars_engine.core.records import Run
from mars_engine.core.shipped import shipped
from mars_engine.jobs.jobs import (
    cancel_job,
    log_tail,
    queued_runs,
    retry_job,
    running_run,
    start_job,
    start_next_job,
    wait_until_stopped,
)
from mars_engine.jobs.recorded_run import is_alive
from mars_engine.store import Store, open_store
from mars_engine.workspace.workspace import Workspace, create_workspace

pytestmark = pytest.mark.slow

ROWS = 15_000
ROWS_NEVER_READ = 2_000_000
"""So many that a job still reads them, which it leaves at once, when a test cancels or kills it."""
TRAIN_FILE, HELDOUT_FILE = (str(shipped("data") / name) for name in ("demo-train.jsonl", "demo-test.jsonl"))


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return create_workspace(tmp_path / "workspace")


@pytest.fixture
def store(workspace) -> Iterator[Store]:
    store = open_store(workspace.database_url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def some_work(tmp_path_factory) -> list[str]:
    """A command that needs no model and works for several seconds: an import of many rows."""
    return ["import", str(write_rows(tmp_path_factory.mktemp("many") / "many.jsonl", ROWS))]


@pytest.fixture(scope="module")
def long_work(tmp_path_factory) -> Iterator[list[str]]:
    """Work that no test sees the end of, however quick the machine."""
    rows = write_rows(tmp_path_factory.mktemp("many") / "many.jsonl", ROWS_NEVER_READ)
    yield ["import", str(rows)]
    rows.unlink()


def write_rows(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for number in range(count):
            file.write(f'{{"prompt": "question {number}", "chosen": "a good answer", "rejected": "a bad answer"}}\n')
    return path


def until(holds: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def ended(store: Store, run: Run) -> Run:
    until(lambda: store.runs.get(run.id).state not in ("queued", "running"))
    return store.runs.get(run.id)


def settled(store: Store, run: Run) -> Run:
    """The run, once it has ended and its process is gone."""
    until(lambda: not is_alive(run))
    return ended(store, run)


def working(store: Store, workspace: Workspace, command: list[str]) -> Run:
    """A job that has read some rows."""
    run = start_job(workspace, store, command, clock=utc_now)
    until(lambda: store.runs.get(run.id).progress.get("done", 0) > 0)
    return store.runs.get(run.id)


def test_a_job_works_in_a_process_of_its_own_and_is_recorded_once(workspace, store):
    run = start_job(workspace, store, ["import", TRAIN_FILE], clock=utc_now)
    assert run.process_id != os.getpid()
    assert run.command == ("import", TRAIN_FILE)
    done = settled(store, run)  # what it prints comes after its end was noted
    assert (done.state, done.error) == ("finished", "")
    assert done.summary["pairs kept"] == 360
    assert [each.id for each in store.runs.all()] == [run.id]
    assert store.pairs.count("train") == 360
    assert (workspace.root / done.log).is_file()
    assert "360 new train pairs kept" in log_tail(workspace, done)


def test_it_reports_progress_and_that_it_is_alive(workspace, store, long_work):
    run = working(store, workspace, long_work)
    assert run.progress["task"] == "read many"
    assert run.progress["total"] > run.progress["done"], "about how many rows a file has is told by its beginning"
    assert run.progress["seconds"] > 0
    first = run.heartbeat_at
    until(lambda: store.runs.get(run.id).heartbeat_at > first)
    cancel_job(store, run, clock=utc_now)
    assert settled(store, run).state == "cancelled"


def test_a_cancelled_job_stops_gently_and_stores_nothing_half(workspace, store, long_work):
    run = working(store, workspace, long_work)
    cancel_job(store, run, clock=utc_now)
    wait_until_stopped(run)
    cancelled = store.runs.get(run.id)
    assert (cancelled.state, cancelled.error) == ("cancelled", "")
    assert "interrupted" in log_tail(workspace, cancelled)
    assert store.pairs.count("train") == 0
    cancel_job(store, cancelled, clock=utc_now)
    assert store.runs.get(run.id) == cancelled, "cancelling what has ended changes nothing"


def test_a_job_that_does_not_listen_is_stopped_hard(workspace, store, long_work):
    run = working(store, workspace, long_work)
    psutil.Process(run.process_id).suspend()
    cancel_job(store, run, clock=utc_now, grace_seconds=0.3)
    assert settled(store, run).state == "cancelled"
    until(lambda: store.runs.get(run.id).state == "cancelled")
    assert store.pairs.count("train") == 0


def test_a_job_is_done_again_by_its_command(workspace, store, long_work):
    run = working(store, workspace, long_work)
    cancel_job(store, run, clock=utc_now)
    again = retry_job(workspace, store, settled(store, run), clock=utc_now)
    assert again.id != run.id
    assert again.command == run.command
    until(lambda: store.runs.get(again.id).progress.get("done", 0) > 0)
    cancel_job(store, again, clock=utc_now)
    assert settled(store, again).state == "cancelled"


def test_a_killed_job_is_lost_and_another_can_start(workspace, store, long_work):
    run = working(store, workspace, long_work)
    os.kill(run.process_id, signal.SIGKILL)
    until(lambda: running_run(store, clock=utc_now) is None)
    lost = store.runs.get(run.id)
    assert lost.state == "lost"
    assert "without a word" in lost.error
    assert ended(store, start_job(workspace, store, ["import", TRAIN_FILE], clock=utc_now)).state == "finished"


def test_a_job_that_is_not_heard_of_is_lost_until_it_goes_on(workspace, store, some_work):
    run = working(store, workspace, some_work)
    process = psutil.Process(run.process_id)
    process.suspend()
    assert running_run(store, clock=utc_now).id == run.id, "a moment's silence is no loss"
    assert running_run(store, clock=lambda: utc_now() + timedelta(minutes=2)) is None
    assert "has not been heard of" in store.runs.get(run.id).error
    process.resume()
    until(lambda: store.runs.get(run.id).state == "finished")
    assert store.runs.get(run.id).error == ""


def test_the_second_start_waits_in_the_queue_until_the_first_has_ended(workspace, store, long_work):
    run = working(store, workspace, long_work)
    second = start_job(workspace, store, ["import", TRAIN_FILE], clock=utc_now)
    third = start_job(workspace, store, ["status-that-is-none"], clock=utc_now)
    fourth = start_job(workspace, store, ["import", HELDOUT_FILE, "--split", "heldout"], clock=utc_now)
    assert [each.state for each in (second, third, fourth)] == ["queued"] * 3
    assert [each.id for each in queued_runs(store)] == [second.id, third.id, fourth.id]
    assert second.command == ("import", TRAIN_FILE)
    # It starts the next one before it is gone, for which it has time on a busy machine too.
    cancel_job(store, run, clock=utc_now, grace_seconds=60)
    assert settled(store, run).state == "cancelled"
    assert ended(store, fourth).state == "finished"
    ends = [store.runs.get(each.id) for each in (second, third, fourth)]
    assert [each.state for each in ends] == ["finished", "failed", "finished"]
    assert "No such command" in ends[1].error
    assert ends[0].ended_at < ends[2].started_at
    assert queued_runs(store) == []


def test_what_is_taken_out_of_the_queue_never_begins(workspace, store, long_work):
    run = working(store, workspace, long_work)
    second = start_job(workspace, store, ["import", TRAIN_FILE], clock=utc_now)
    cancel_job(store, second, clock=utc_now)
    cancel_job(store, run, clock=utc_now)
    settled(store, run)
    assert start_next_job(workspace, store, clock=utc_now) is None
    assert store.runs.get(second.id).state == "cancelled"
    assert store.pairs.count("train") == 0


def test_whoever_looks_starts_what_waits_behind_a_killed_job(workspace, store, long_work):
    run = working(store, workspace, long_work)
    second = start_job(workspace, store, ["import", TRAIN_FILE], clock=utc_now)
    os.kill(run.process_id, signal.SIGKILL)
    until(lambda: start_next_job(workspace, store, clock=utc_now).id == second.id)
    assert store.runs.get(run.id).state == "lost"
    assert ended(store, second).state == "finished"


def test_a_command_that_cannot_begin_says_why_at_once(workspace, store):
    (workspace.root / "mars.toml").write_text("[allocation]\nbugdet = 5\n")
    with pytest.raises(JobError, match=r"allocation\.bugdet"):
        start_job(workspace, store, ["train"], clock=utc_now)
    with pytest.raises(JobError, match="exit code 2"):
        start_job(workspace, store, ["no-such-command"], clock=utc_now)
    assert store.runs.all() == []


def test_a_job_that_fails_says_so_in_its_run(workspace, store):
    run = ended(store, start_job(workspace, store, ["train"], clock=utc_now))
    assert run.state == "failed"
    assert "mars import" in run.error


def test_work_that_was_no_job_cannot_be_retried_but_cancelled(workspace, store, long_work):
    mars = [sys.executable, "-m", "mars_engine.cli.main", "--workspace", str(workspace.root)]
    command = [*mars, *long_work]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: store.runs.all() and store.runs.all()[0].progress.get("done", 0) > 0)
        (run,) = store.runs.all()
        cancel_job(store, run, clock=utc_now, grace_seconds=60)  # all the time that it needs on a busy machine
        assert process.wait(60) == 130
    assert ended(store, run).state == "cancelled"
    assert (run.command, run.log, log_tail(workspace, run)) == ((), "", "")
    with pytest.raises(JobError, match="not started as a background job"):
        retry_job(workspace, store, run, clock=utc_now)


STARTER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a server that was started in the background has it
from pathlib import Path
from mars_engine.core.clock import utc_now
from mars_engine.jobs.jobs import start_job
from mars_engine.workspace.workspace import find_workspace, open_workspace_store
workspace = find_workspace(Path(sys.argv[1]))
with open_workspace_store(workspace) as store:
    print(start_job(workspace, store, sys.argv[2:], clock=utc_now).id, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("fate", ["finished", "cancelled"])
def test_a_job_outlives_the_server_that_started_it(workspace, store, some_work, long_work, fate):
    command = [sys.executable, "-c", STARTER, str(workspace.root), *(some_work if fate == "finished" else long_work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        run_id = server.stdout.readline().strip()
        server.kill()
        server.wait()
    run = store.runs.get(run_id)
    assert run.state == "running"
    if fate == "cancelled":
        cancel_job(store, run, clock=utc_now)
    assert ended(store, run).state == fate
    assert store.pairs.count("train") == (ROWS if fate == "finished" else 0)


def test_the_log_shows_its_last_lines_only(workspace, store):
    run = ended(store, start_job(workspace, store, ["import", TRAIN_FILE], clock=utc_now))
    (workspace.root / run.log).write_bytes(b"\xff\n".join(b"line %d" % number for number in range(100_000)))
    tail = log_tail(workspace, run, lines=3).splitlines()
    assert [line.strip("\ufffd") for line in tail] == ["line 99997", "line 99998", "line 99999"]
    assert log_tail(workspace, replace(run, log="artifacts/logs/absent.log")) == ""
