"""Background jobs: a command of `mars` in a process of its own, which outlives the server that started it.

A job is known by its row among the runs, which its own process writes (`recorded_run`) and keeps alive. Nothing of a
job is held in the memory of the server: any process that opens the workspace can watch, cancel and retry it.

One job is at work at a time, since each builds on what the one before stored; the others wait in a queue. Whatever
ends its work in the workspace starts the next, and so does whoever looks (`start_next_job`), should a job be killed.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from mars_engine.core.clock import Clock
from mars_engine.core.errors import JobError, ReadOnlyError
from mars_engine.core.records import Run
from mars_engine.jobs.job_ticket import JobTicket
from mars_engine.jobs.own_process import mars_command
from mars_engine.jobs.recorded_run import is_alive, mark_lost_runs
from mars_engine.store import Store
from mars_engine.workspace.workspace import ARTIFACTS, Workspace

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
    output goes to artifacts/logs. Where something is at work already, the job is queued, and its run says so.

    Raises:
        JobError: the process cannot be started, or it ended before it began to work; the error has the end of its log
            then.
    """
    with _one_start_at_a_time(workspace):
        ticket = _new_ticket(command)
        if running_run(store, clock=clock) is None and not queued_runs(store):
            return _begin(workspace, store, ticket)
        _queue(store, ticket, clock)
    # What it waits for may have ended just before it stood in the queue.
    start_next_job(workspace, store, clock=clock)
    return _stored(store, ticket.run_id)


def start_next_job(workspace: Workspace, store: Store, *, clock: Clock) -> Run | None:
    """Return the run that is at work; where there is none, start the first in the queue that can be started.

    One that cannot is marked as failed, with the reason. Where somebody else is starting a job, nothing is started, nor
    by one who may only read the workspace.
    """
    running = running_run(store, clock=clock)
    while running is None and (waiting := queued_runs(store)):
        try:
            with _one_start_at_a_time(workspace, wait=False):
                running = running_run(store, clock=clock)
                now = _stored(store, waiting[0].id)
                if running is None and now.state == "queued":
                    running = _begin(workspace, store, JobTicket(now.id, now.command, now.log))
        except Timeout:
            return None
        except JobError as error:
            try:
                store.runs.finish(waiting[0].id, "failed", clock(), summary={}, error=str(error))
            except ReadOnlyError:
                return None
    return running


def queued_runs(store: Store) -> list[Run]:
    """Return the jobs that wait for their turn, the first to come first."""
    return store.runs.newest(None, state="queued")[::-1]


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
    ended already is left as it is; one that is queued leaves the queue.
    """
    if run.state == "queued":
        store.runs.finish(run.id, "cancelled", clock(), summary={})
        return
    if run.state != "running" or not is_alive(run):
        return
    _signal(run, signal.SIGINT)
    threading.Thread(
        target=_see_it_stopped, args=(store, run, clock, grace_seconds), name=f"cancelling {run.id}", daemon=True
    ).start()


def wait_until_stopped(run: Run) -> None:
    """Wait until a cancelled run stores nothing any more: at the latest after its time of grace."""
    while is_alive(run):
        time.sleep(SECONDS_BETWEEN_LOOKS)


def running_run(store: Store, *, clock: Clock) -> Run | None:
    """Return the run that is at work, None where there is none; those whose process is gone are marked as lost."""
    mark_lost_runs(store, clock)
    return next(iter(store.runs.newest(1, state="running")), None)


def log_tail(workspace: Workspace, run: Run, *, lines: int = 200) -> str:
    """Return the last lines of a job's output; empty where it has none or was not started as a job."""
    path = workspace.root / run.log
    return _tail(path, lines) if run.log and path.is_file() else ""


def _new_ticket(command: Sequence[str]) -> JobTicket:
    run_id = uuid4().hex
    return JobTicket(run_id, tuple(command), f"{LOGS}/{run_id}.log")


def _queue(store: Store, ticket: JobTicket, clock: Clock) -> None:
    now = clock()
    kind = ticket.command[0] if ticket.command else ""
    queued = Run(ticket.run_id, kind, "queued", {}, {}, "", 0, 0.0, now, now, None, {}, ticket.command, ticket.log)
    store.runs.start(queued)


def _begin(workspace: Workspace, store: Store, ticket: JobTicket) -> Run:
    return _recorded(workspace, store, ticket, _spawn(workspace, ticket))


def _stored(store: Store, run_id: str) -> Run:
    run = store.runs.get(run_id)
    if run is None:
        raise JobError(f"there is no run {run_id!r}", remedy="'mars job list' shows the runs")
    return run


def _spawn(workspace: Workspace, ticket: JobTicket) -> subprocess.Popen[bytes]:
    root = workspace.root.resolve()
    environment = os.environ | ticket.as_variable() | {"PYTHONUNBUFFERED": "1"}
    try:
        with (root / ticket.log).open("wb") as log:
            process = subprocess.Popen(
                mars_command(root, *ticket.command),
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
        if run is not None and run.state != "queued":
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
        wait_until_stopped(run)
    now = store.runs.get(run.id)
    if now is not None and now.state in {"running", "lost"}:  # it could not say so itself
        store.runs.finish(run.id, "cancelled", clock(), summary=now.summary)


@contextmanager
def _one_start_at_a_time(workspace: Workspace, *, wait: bool = True) -> Iterator[None]:
    """Hold the workspace's lock file, so that of two starts at the same moment one sees the other's run.

    Raises:
        Timeout: another holds it, and this one was not to wait.
        JobError: it cannot be made.
    """
    with ExitStack() as stack:
        try:
            (workspace.root / LOGS).mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(workspace.artifacts / "jobs.lock", blocking=wait, fallback_to_soft=False))
        except Timeout:
            raise
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
