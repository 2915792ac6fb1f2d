"""One training at a time in a workspace: two would write into one folder of checkpoints and compose one round twice.

The lock is the operating system's, on a file that stays: however the process that holds it ends, it holds it no more.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from filelock import FileLock, Timeout

from mars_engine.core.clock import Clock
from mars_engine.core.errors import NotReadyError, WorkspaceError
from mars_engine.jobs.recorded_run import mark_lost_runs
from mars_engine.store import Store
from mars_engine.workspace.workspace import Workspace

TRAINING_KINDS = ("train", "rounds", "open-round", "close-round", "align", "align-plan")
"""The kinds of runs that train, or may."""
LOCK_FILE = "training.lock"


@contextmanager
def only_training(workspace: Workspace, store: Store, kind: str, *, clock: Clock) -> Iterator[None]:
    """Keep all other trainings out of the workspace meanwhile.

    Raises:
        NotReadyError: another process is training here; it says which run that is, and since when.
        WorkspaceError: the lock file cannot be made.
    """
    with ExitStack() as stack:
        try:
            workspace.artifacts.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(workspace.artifacts / LOCK_FILE, blocking=False, fallback_to_soft=False))
        except Timeout as error:
            raise _already_training(store, kind, clock) from error
        except OSError as error:
            raise WorkspaceError(
                f"the lock of trainings cannot be made in {workspace.artifacts}: {error}",
                remedy="check its permissions and the space on its disk",
            ) from error
        yield


def _already_training(store: Store, kind: str, clock: Clock) -> NotReadyError:
    mark_lost_runs(store, clock)
    run = next(iter(store.runs.newest(1, state="running", kinds=TRAINING_KINDS)), None)
    who = f"the run {run.id[:8]} ({run.kind})" if run else "another process"
    since = f" since {run.started_at:%Y-%m-%d %H:%M:%S} UTC" if run else ""
    command = {"rounds": "train --rounds", "align-plan": "align --plan"}.get(kind, kind)
    return NotReadyError(
        f"{who} is training in this workspace{since}",
        expected="one training at a time, since two would share its checkpoints",
        remedy=f"wait for it with 'mars job wait {run.id[:8] if run else 'ID'}', or queue yours behind it: "
        f"'mars job start {command} …'",
    )
