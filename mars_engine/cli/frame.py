"""What every command shares: the session, `--json`, and work that is recorded as a run."""

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from mars_engine.cli import printing
from mars_engine.cli.config_options import override_config
from mars_engine.cli.standard_streams import json_text
from mars_engine.core.errors import MarsError
from mars_engine.core.progress import WatchedProgress, progress_for
from mars_engine.core.protocols import Progress
from mars_engine.jobs.jobs import start_next_job
from mars_engine.jobs.recorded_run import RunNotes, recorded_run
from mars_engine.jobs.training_lock import TRAINING_KINDS, only_training
from mars_engine.store.workbench import Workbench
from mars_engine.workspace.workspace import find_workspace, open_workbench

Overrides = dict[str, dict[str, Any]]


@dataclass
class Session:
    """What the options before the command say."""

    root: Path
    quiet: bool
    as_json: bool = False

    @property
    def progress(self) -> Progress:
        return progress_for(sys.stderr, quiet=self.quiet or self.as_json)


def reporting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json`, and show what it returns: (report, how to show it to a person)."""

    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and errors too.")
    @click.pass_obj
    @wraps(command, assigned=("__name__", "__doc__"))
    def run(session: Session, /, *args: Any, as_json: bool, **kwargs: Any) -> None:
        session.as_json = as_json
        report, show = command(session, *args, **kwargs)
        if as_json:
            click.echo(json_text(as_plain(report), indent=2))
        else:
            show(printing.make_console())

    return run


def as_plain(value: Any) -> Any:
    """Return a report as plain JSON; what is not a finite number becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, Path) else value


@contextmanager
def looking(session: Session, overrides: Overrides | None = None) -> Iterator[Workbench]:
    """Open the workspace to tell what some work would come to: nothing of it is recorded as a run."""
    workspace = find_workspace(session.root)
    config = override_config(workspace.config, overrides or {})
    with open_workbench(dataclasses.replace(workspace, config=config), session.progress) as bench:
        yield bench


@contextmanager
def working(session: Session, kind: str, overrides: Overrides | None = None) -> Iterator[tuple[Workbench, RunNotes]]:
    """Open the workspace for a piece of work that is recorded as a run, with its progress and what it notes.

    Raises:
        NotReadyError: it would train, and another process is training in the workspace.
    """
    workspace = find_workspace(session.root)
    config = override_config(workspace.config, overrides or {})
    progress = WatchedProgress(session.progress)
    settings = config.model_dump(exclude={"database_url"})
    with open_workbench(dataclasses.replace(workspace, config=config), progress) as bench:
        try:
            with ExitStack() as stack:
                if kind in TRAINING_KINDS:
                    stack.enter_context(only_training(workspace, bench.store, kind, clock=bench.clock))
                run = recorded_run(bench.store, kind, settings, bench.clock, progress=progress)
                notes = stack.enter_context(run)
                yield dataclasses.replace(bench, add_point=notes.add_point), notes
        finally:
            with suppress(MarsError):  # the next job's trouble is not this one's
                start_next_job(workspace, bench.store, clock=bench.clock)
