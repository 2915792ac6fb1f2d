"""A piece of work in a workspace, as a command and a script do it: recorded as a run, one training at a time."""

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import MarsError
from mars_engine.core.progress import Progress, WatchedProgress
from mars_engine.jobs.jobs import start_next_job
from mars_engine.jobs.recorded_run import RunNotes, recorded_run
from mars_engine.jobs.training_lock import TRAINING_KINDS, only_training
from mars_engine.workspace.workspace import Workspace, open_workbench


@contextmanager
def recorded_work(workspace: Workspace, kind: str, progress: Progress) -> Iterator[tuple[Workbench, RunNotes]]:
    """Open a workspace for work that is recorded as a run, with its progress and what it notes.

    When the work ends, the next job that waits begins.

    Args:
        workspace: where, with the settings that hold for this work.
        kind: the run's kind, such as "train".
        progress: shows how far it has come; pages see it too.

    Raises:
        NotReadyError: it would train, and another process is training in the workspace.
    """
    watched = WatchedProgress(progress)
    settings = workspace.config.model_dump(exclude={"database_url"})
    with open_workbench(workspace, watched) as bench:
        try:
            with ExitStack() as stack:
                if kind in TRAINING_KINDS:
                    stack.enter_context(only_training(workspace, bench.store, kind, clock=bench.clock))
                run = recorded_run(bench.store, kind, settings, bench.clock, progress=watched)
                notes = stack.enter_context(run)
                yield dataclasses.replace(bench, add_point=notes.add_point), notes
        finally:
            with suppress(MarsError):  # the next job's trouble is not this one's
                start_next_job(workspace, bench.store, clock=bench.clock)
