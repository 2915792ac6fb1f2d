"""Commands for background jobs: what the app starts can be started, watched and cancelled here, and the other way."""

import time
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from mars_engine.cli.frame import Session, reporting
from mars_engine.cli.printing import table
from mars_engine.core.clock import utc_now
from mars_engine.core.errors import JobError
from mars_engine.core.progress import say_pace
from mars_engine.core.records import Run
from mars_engine.jobs.jobs import cancel_job, log_tail, retry_job, start_job, start_next_job
from mars_engine.store import Store
from mars_engine.workspace.workspace import Workspace, find_workspace, open_workspace_store

JOBS = (
    "import",
    "train",
    "score",
    "propose",
    "review",
    "compose",
    "evaluate",
    "open-round",
    "close-round",
    "regate",
    "map",
    "findings",
    "advise",
    "rewardbench",
    "experiment",
    "best-of-n",
    "align",
    "alpaca-eval",
)
"""The commands whose work is recorded as a run."""
SECONDS_BETWEEN_LOOKS = 0.5
RUNS_SHOWN = 20
LIVE_METRICS = ("training loss", "training accuracy", "training margin", "validation loss")
NOT_ENDED = ("queued", "running")


@click.group()
def job() -> None:
    """Work in the background, which goes on when the terminal, the browser or the server is closed.

    One job is at work at a time; the others wait in a queue. An ID may be cut to its first letters.
    """


@job.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@reporting
def start(session: Session, command: tuple[str, ...]) -> Any:
    """Start 'mars COMMAND' in the background: mars job start train --rounds 2.

    Where something is at work already, it is queued. Files are named by their whole path.
    """
    _require_command(command)
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        run = start_job(workspace, store, command, clock=utc_now)
    return run, lambda console: _say(console, run)


@job.command(name="list")
@click.option("--all", "show_all", is_flag=True, help=f"All runs, not only the newest {RUNS_SHOWN}.")
@reporting
def list_(session: Session, show_all: bool) -> Any:
    """List the runs, the newest first: what waits, what is at work and how far it is, and how the others ended."""
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        start_next_job(workspace, store, clock=utc_now)
        shown = store.runs.newest(None if show_all else RUNS_SHOWN)
        count = store.runs.count()
        remarks = [_remark(run, store) for run in shown]
    return shown, lambda console: _show_runs(console, shown, remarks, count)


@job.command()
@click.argument("run_id", metavar="ID")
@click.option("--lines", type=click.IntRange(1), default=200, show_default=True, help="How many of its last lines.")
@reporting
def log(session: Session, run_id: str, lines: int) -> Any:
    """Print the end of what a job has written, and why it failed, if it did."""
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        run = _find(store, run_id)
        how_far = _how_far(run, store)
    tail = log_tail(workspace, run, lines=lines)

    def show(console: Console) -> None:
        console.print(Text(tail or "It has written nothing, or was not started as a job."))
        if run.error:
            console.print(Text(f"{run.state}: {run.error}"))
        elif run.state == "running":
            console.print(Text(f"now: {how_far}"))

    return {"run": run, "log": tail}, show


@job.command()
@click.argument("run_id", metavar="ID")
@reporting
def cancel(session: Session, run_id: str) -> Any:
    """Stop a job, gently at first, or take it out of the queue. What it stored is kept."""
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        run = _find(store, run_id)
        cancel_job(store, run, clock=utc_now)
        while (run := _find(store, run.id)).state == "running":
            time.sleep(SECONDS_BETWEEN_LOOKS)
        start_next_job(workspace, store, clock=utc_now)
    return run, lambda console: _say(console, run)


@job.command()
@click.argument("run_id", metavar="ID")
@reporting
def retry(session: Session, run_id: str) -> Any:
    """Start a job's command again; it goes on from what is stored already."""
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        run = retry_job(workspace, store, _find(store, run_id), clock=utc_now)
    return run, lambda console: _say(console, run)


job.add_command(retry, "resume")


@job.command()
@click.argument("run_id", metavar="ID")
@reporting
def wait(session: Session, run_id: str) -> Any:
    """Watch a job until it has ended. Ctrl+C ends the watching, not the job."""
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        run = _wait(workspace, store, _find(store, run_id), quiet=session.quiet or session.as_json)
    if run.state != "finished":
        raise JobError(
            f"the job {run.kind!r} is {run.state}{f': {run.error}' if run.error else ''}",
            remedy=f"'mars job log {run.id[:8]}' shows what it wrote, 'mars job retry {run.id[:8]}' goes on",
        )
    return run, lambda console: _say(console, run)


def _require_command(arguments: tuple[str, ...]) -> None:
    """Let click refuse what is no command of `mars`, or has an option that it lacks, before it waits in a queue."""
    context = click.get_current_context().find_root()
    group = context.command
    name, *rest = arguments
    command = group.get_command(context, name) if isinstance(group, click.Group) else None
    if command is None:
        raise click.UsageError(f"there is no command 'mars {name}'; 'mars --help' lists them all")
    if name not in JOBS:
        raise click.UsageError(f"'mars {name}' is no work that can run as a job; these are: {', '.join(JOBS)}")
    command.make_context(name, rest, parent=context)


def _wait(workspace: Workspace, store: Store, run: Run, *, quiet: bool) -> Run:
    with Console(stderr=True, markup=False, emoji=False, highlight=False, quiet=quiet).status("") as status:
        while run.state in NOT_ENDED:
            status.update(Text(f"{run.kind}: {_how_far(run, store)}"))
            time.sleep(SECONDS_BETWEEN_LOOKS)
            start_next_job(workspace, store, clock=utc_now)
            run = _find(store, run.id)
    return run


def _find(store: Store, run_id: str) -> Run:
    """Return the run whose id begins so.

    Raises:
        JobError: there is none, or more than one.
    """
    found = [run for run in store.runs.all() if run_id and run.id.startswith(run_id)]
    if len(found) != 1:
        raise JobError(
            f"{len(found):,} runs have an id that begins with {run_id!r}",
            expected="one",
            remedy="'mars job list' shows the ids",
        )
    return found[0]


def _how_far(run: Run, store: Store | None = None) -> str:
    """Say how far a run has come, how fast it goes, and with the store the newest of its live metrics."""
    if run.state != "running":
        return run.state
    progress = run.progress
    done, total = progress.get("done", 0), progress.get("total", 0)
    task = str(progress.get("task", "just begun"))
    said = f"{task}, {done:,} of {total:,}" if total else f"{task}, {done:,}" if done else task
    pace = say_pace(done - progress.get("before", 0), progress.get("seconds", 0.0), max(0, total - done))
    points = store.runs.points(run.id) if store else {}
    metrics = [f"{name.removeprefix('training ')} {points[name][-1][1]:.3f}" for name in LIVE_METRICS if name in points]
    return said + (f" ({pace})" if pace else "") + (f"; {', '.join(metrics)}" if metrics else "")


def _remark(run: Run, store: Store) -> str:
    return run.error or (_how_far(run, store) if run.state == "running" else "")


def _say(console: Console, run: Run) -> None:
    console.print(Text(f"{run.id[:8]}  {run.kind}: {_how_far(run)}"))
    if run.state in NOT_ENDED:
        console.print(Text(f"'mars job wait {run.id[:8]}' watches it, 'mars job cancel {run.id[:8]}' stops it."))


def _show_runs(console: Console, runs: list[Run], remarks: list[str], count: int) -> None:
    if not runs:
        console.print("Nothing has run here yet.")
        return
    rows = [
        (run.id[:8], run.kind, run.state, f"{run.started_at:%Y-%m-%d %H:%M:%S}", remark)
        for run, remark in zip(runs, remarks, strict=True)
    ]
    table(console, "Runs, the newest first", ("id", "what", "state", "since (UTC)", "how far, or why not"), rows)
    if len(runs) < count:
        console.print(f"The newest {len(runs):,} of {count:,}; --all shows the others.")
