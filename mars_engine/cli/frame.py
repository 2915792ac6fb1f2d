"""What every command shares: the session, `--json`, and work that is recorded as a run."""

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from mars_engine.augment.workbench import Workbench
from mars_engine.cli import printing
from mars_engine.cli.standard_streams import json_text
from mars_engine.core.config.overrides import override_config
from mars_engine.core.progress import Progress, progress_for
from mars_engine.jobs.recorded_run import RunNotes
from mars_engine.jobs.recorded_work import recorded_work
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
    """Open the workspace for a piece of work that is recorded as a run; see `recorded_work`."""
    workspace = find_workspace(session.root)
    config = override_config(workspace.config, overrides or {})
    with recorded_work(dataclasses.replace(workspace, config=config), kind, session.progress) as (bench, notes):
        yield bench, notes
