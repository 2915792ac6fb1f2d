"""Recording a piece of work as a run: who does it, since when, how far it has come, and how it ended."""

import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psutil

from mars_engine.core.clock import Clock
from mars_engine.core.errors import MarsError, ReadOnlyError, StoreError
from mars_engine.core.progress import WatchedProgress
from mars_engine.core.records import Run, RunState
from mars_engine.jobs.job_ticket import JobTicket, take_job_ticket
from mars_engine.store import Store
from mars_engine.store.runs import RunStore

SECONDS_BETWEEN_REPORTS = 0.5
SECONDS_BETWEEN_HEARTBEATS = 2.0
STALE_AFTER = timedelta(seconds=60)
"""A heartbeat older than this: the process is there but does not work, or it is a later one by chance."""


@dataclass
class RunNotes:
    """What a run wants to be remembered of its result: a summary of plain JSON, and the points of its curves."""

    run_id: str
    runs: RunStore
    summary: dict[str, Any] = field(default_factory=dict)

    def add_point(self, metric: str, step: int, value: float) -> None:
        """Store a metric's value at a step, at once, so that it is seen while the run works; NaN is left out."""
        if math.isfinite(value):
            self.runs.add_point(self.run_id, metric, step, value)


@contextmanager
def recorded_run(
    store: Store, kind: str, settings: Mapping[str, Any], clock: Clock, *, progress: WatchedProgress | None = None
) -> Iterator[RunNotes]:
    """Record the work done inside the context: finished, cancelled (Ctrl+C) or failed with its error.

    While it works, a thread tells the store that it is alive, and how far `progress` has come. In a process that was
    started as a job, the run has the job's id, command and log.
    """
    mark_lost_runs(store, clock)
    ticket = take_job_ticket() or JobTicket(uuid4().hex)
    process, now = psutil.Process(), clock()
    store.runs.start(
        Run(
            id=ticket.run_id,
            kind=kind,
            state="running",
            settings=settings,
            summary={},
            error="",
            process_id=process.pid,
            process_started=process.create_time(),
            started_at=now,
            heartbeat_at=now,
            ended_at=None,
            command=ticket.command,
            log=ticket.log,
        )
    )
    notes = RunNotes(ticket.run_id, store.runs)
    state: RunState = "failed"
    error = ""
    try:
        with _pulse(store.runs, ticket.run_id, progress, clock):
            yield notes
        state = "finished"
    except KeyboardInterrupt:
        state = "cancelled"
        raise
    except MarsError as problem:
        error = str(problem)
        raise
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
        raise
    finally:
        store.runs.finish(ticket.run_id, state, clock(), summary=notes.summary, error=error)


@contextmanager
def _pulse(runs: RunStore, run_id: str, progress: WatchedProgress | None, clock: Clock) -> Iterator[None]:
    """Report progress and heartbeats from a thread, so that the work itself never waits for the database."""
    ended = threading.Event()

    def beat() -> None:
        reported: Mapping[str, Any] = {}
        silent = 0.0
        while not ended.wait(SECONDS_BETWEEN_REPORTS):
            silent += SECONDS_BETWEEN_REPORTS
            current = progress.current() if progress else {}
            try:
                if _steps(current) != _steps(reported):
                    runs.report_progress(run_id, clock(), current)
                    reported, silent = current, 0.0
                elif silent >= SECONDS_BETWEEN_HEARTBEATS:
                    runs.heartbeat(run_id, clock())
                    silent = 0.0
            except StoreError:
                continue  # the database was busy for long: the next beat tells the same

    thread = threading.Thread(target=beat, name=f"pulse of run {run_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _steps(progress: Mapping[str, Any]) -> tuple[Any, Any]:
    return progress.get("task"), progress.get("done")


def mark_lost_runs(store: Store, clock: Clock) -> int:
    """Mark as lost what is recorded as running but whose process is gone or stuck; return how many there were.

    A process that was only held up, say by a computer asleep, goes on, and its run ends as what it then is. One who
    may only read the workspace leaves the marking to others.
    """
    count = 0
    for run in store.runs.newest(None, state="running"):
        if sign := _sign_of_loss(run, clock):
            now = store.runs.get(run.id)  # again: it may have ended in good order between the two looks
            if now is not None and now.state == "running":
                with suppress(ReadOnlyError):
                    store.runs.finish(run.id, "lost", clock(), summary=now.summary, error=sign)
                    count += 1
    return count


def _sign_of_loss(run: Run, clock: Clock) -> str:
    if run.process_id == os.getpid():
        return ""
    if not is_alive(run):
        return "its process ended without a word"
    silent = clock() - run.heartbeat_at
    if silent > STALE_AFTER:
        return f"its process {run.process_id} is there, but has not been heard of for {silent.total_seconds():,.0f} s"
    return ""


def is_alive(run: Run) -> bool:
    """Whether the very process that started the run is there; a zombie or a later process of that id does not count."""
    try:
        process = psutil.Process(run.process_id)
        is_same = abs(float(process.create_time()) - run.process_started) < 1
        return is_same and str(process.status()) != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
