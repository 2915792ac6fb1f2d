"""Background jobs: a command of `mars` in a process of its own, which outlives the server that started it.

A job is known by its row among the runs, which its own process writes (`recorded_run`) and keeps alive. Nothing of a
job is held in the memory of the server: any process that opens the workspace can watch, cancel and retry it.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from mars_engine.assembly.job_ticket import JobTicket
from mars_engine.assembly.recorded_run import is_alive, mark_lost_runs
from mars_engine.assembly.workspace import ARTIFACTS, Workspace
from mars_engine.words.errors import JobError
from mars_engine.words.protocols import Clock, Store
from mars_engine.words.records import Run

LOGS = f"{ARTIFACTS}/logs"
SECONDS_TO_BEGIN = 120.0
"""Longest that a job's process may take until its run is recorded; about 2 s is usual."""
SECONDS_OF_GRACE = 10.0
"""How long a cancelled job may take to stop by itself."""
SECONDS_BETWEEN_LOOKS = 0.05
BYTES_OF_TAIL = 64 * 1024


def start_job(workspace: Workspace, store: Store, command: Sequence[str], *, clock: Clock) -> Run:
    """Start `mars COMMAND…` for a workspace in a process of its own, and return its run once it is recorded.

    The process works in the workspace's folder, so files that the command names are named by their whole path. Its
    output goes to artifacts/logs. One piece of work is done at a time: whoever comes second is refused.

    Raises:
        JobError: something is at work in this workspace already, the process cannot be started, or it ended before it
            began to work; the error has the end of its log then.
    """
    with _one_start_at_a_time(workspace):
        busy = running_run(store, clock=clock)
        if busy is not None:
            raise JobError(
                f"the run {busy.kind!r}, started at {busy.started_at:%Y-%m-%d %H:%M:%S} UTC, is still at work",
                expected="one at a time, since each builds on what the one before stored",
                remedy="wait until it has finished, or cancel it",
            )
        run_id = uuid4().hex
        ticket = JobTicket(run_id, tuple(command), f"{LOGS}/{run_id}.log")
        process = _spawn(workspace, ticket)
        return _recorded(workspace, store, ticket, process)


def retry_job(workspace: Workspace, store: Store, run: Run, *, clock: Clock) -> Run:
    """Start a job's command again; every step goes on from what is stored already.

    Raises:
        JobError: as `start_job`, or the run was not started as a job.
    """
    if not run.command:
        raise JobError(
            f"the run {run.kind!r} was not started as a background job, so its command is not known",
            remedy="run it again where it was run, every step goes on where it stopped",
        )
    return start_job(workspace, store, run.command, clock=clock)


def cancel_job(store: Store, run: Run, *, clock: Clock, grace_seconds: float = SECONDS_OF_GRACE) -> None:
    """Ask a run to stop, as Ctrl+C does, and stop it hard where it has not stopped after a time of grace.

    Returns at once; the run's state becomes "cancelled" when it has stopped. What it stored is kept. A run that has
    ended already is left as it is.
    """
    if run.state != "running" or not is_alive(run):
        return
    _signal(run, signal.SIGINT)
    threading.Thread(
        target=_see_it_stopped, args=(store, run, clock, grace_seconds), name=f"cancelling {run.id}", daemon=True
    ).start()


def running_run(store: Store, *, clock: Clock) -> Run | None:
    """Return the run that is at work, None where there is none; those whose process is gone are marked as lost."""
    mark_lost_runs(store, clock)
    return next((run for run in store.runs.all() if run.state == "running"), None)


def log_tail(workspace: Workspace, run: Run, *, lines: int = 200) -> str:
    """Return the last lines of a job's output; empty where it has none or was not started as a job."""
    path = workspace.root / run.log
    return _tail(path, lines) if run.log and path.is_file() else ""


def _spawn(workspace: Workspace, ticket: JobTicket) -> subprocess.Popen[bytes]:
    root = workspace.root.resolve()
    # -P: a file in the workspace must not be taken for a module.
    interpreter = [sys.executable, "-P", "-m", "mars_engine.assembly.cli"]
    environment = os.environ | ticket.as_variable() | {"PYTHONUNBUFFERED": "1"}
    try:
        with (root / ticket.log).open("wb") as log:
            process = subprocess.Popen(
                [*interpreter, "--workspace", str(root), *ticket.command],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise _cannot_start(error) from error
    # Somebody has to wait for it, or it stays a zombie for as long as this process lives.
    threading.Thread(target=process.wait, name=f"waiting for {ticket.run_id}", daemon=True).start()
    return process


def _recorded(workspace: Workspace, store: Store, ticket: JobTicket, process: subprocess.Popen[bytes]) -> Run:
    deadline = time.monotonic() + SECONDS_TO_BEGIN
    while time.monotonic() < deadline:
        ended = process.poll()  # before the look at the runs: what ended has recorded by then what it ever will
        run = store.runs.get(ticket.run_id)
        if run is not None:
            return run
        if ended is not None:
            raise JobError(
                f"the job 'mars {' '.join(ticket.command)}' ended with exit code {ended} before it began to work",
                remedy=f"read what it said: {_tail(workspace.root / ticket.log, 20).strip() or 'nothing'}",
            )
        time.sleep(SECONDS_BETWEEN_LOOKS)
    process.kill()
    raise JobError(f"the job did not begin to work within {SECONDS_TO_BEGIN:.0f} s, and was stopped")


def _signal(run: Run, number: signal.Signals) -> None:
    """Send a signal to a run's process, and to those it started where it leads a group of its own, as jobs do."""
    try:
        if os.getpgid(run.process_id) == run.process_id:
            os.killpg(run.process_id, number)
        else:
            os.kill(run.process_id, number)
    except ProcessLookupError:
        return  # it ended just now
    except PermissionError as error:
        raise JobError(
            f"the process {run.process_id} of the run {run.kind!r} belongs to another user",
            remedy="ask them to stop it",
        ) from error


def _see_it_stopped(store: Store, run: Run, clock: Clock, grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    while is_alive(run) and time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if is_alive(run):
        _signal(run, signal.SIGKILL)
        while is_alive(run):
            time.sleep(SECONDS_BETWEEN_LOOKS)
    now = store.runs.get(run.id)
    if now is not None and now.state in {"running", "lost"}:  # it could not say so itself
        store.runs.finish(run.id, "cancelled", clock(), summary=now.summary)


@contextmanager
def _one_start_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace's lock file, so that of two starts at the same moment one sees the other's run."""
    with ExitStack() as stack:
        try:
            (workspace.root / LOGS).mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((workspace.artifacts / "jobs.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise _cannot_start(error) from error
        yield


def _cannot_start(error: OSError) -> JobError:
    return JobError(
        f"the job cannot be started: {error}", remedy="check the workspace's permissions and the space on its disk"
    )


def _tail(path: Path, lines: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - BYTES_OF_TAIL))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])
