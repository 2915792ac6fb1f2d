"""Recording a piece of work as a run: who does it, since when, and how it ended."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psutil

from mars_engine.words.protocols import Clock, Store
from mars_engine.words.records import Run, RunState


@dataclass
class RunNotes:
    """What a run wants to be remembered of its result: plain JSON."""

    summary: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded_run(store: Store, kind: str, settings: Mapping[str, Any], clock: Clock) -> Iterator[RunNotes]:
    """Record the work done inside the context: finished, cancelled (Ctrl+C) or failed with its error."""
    mark_lost_runs(store, clock)
    process = psutil.Process()
    run_id, now = uuid4().hex, clock()
    store.runs.start(
        Run(
            id=run_id,
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
        )
    )
    notes = RunNotes()
    state: RunState = "failed"
    error = ""
    try:
        yield notes
        state = "finished"
    except KeyboardInterrupt:
        state = "cancelled"
        raise
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
        raise
    finally:
        store.runs.finish(run_id, state, clock(), summary=notes.summary, error=error)


def mark_lost_runs(store: Store, clock: Clock) -> int:
    """Mark as lost what is recorded as running but whose process is gone; return how many there were."""
    lost = [run for run in store.runs.all() if run.state == "running" and not _is_alive(run)]
    for run in lost:
        store.runs.finish(run.id, "lost", clock(), summary=run.summary, error="its process ended without a word")
    return len(lost)


def _is_alive(run: Run) -> bool:
    """Whether the very process that started the run still works; a zombie or a later process of that id does not."""
    if run.process_id == os.getpid():
        return True
    try:
        process = psutil.Process(run.process_id)
        is_same = abs(float(process.create_time()) - run.process_started) < 1
        return is_same and str(process.status()) != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
