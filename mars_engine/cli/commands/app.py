"""Commands that serve the app, and the demo that runs everything first."""

import json
import shlex
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mars_engine.cli import printing
from mars_engine.cli.frame import Session, as_plain, reporting
from mars_engine.cli.kept_demo import keep_demo, kept_demo
from mars_engine.core.clock import utc_now
from mars_engine.core.errors import JobError
from mars_engine.jobs.jobs import start_job
from mars_engine.service.serving import LOOPBACK, TOKEN_VARIABLE, serve_app
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store


@click.command()
@click.option("--serve/--no-serve", default=True, show_default=True, help="Serve the app afterwards.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port of the app.")
@reporting
def demo(session: Session, serve: bool, port: int) -> Any:
    """Run the whole method on the packaged model and demo pairs, tell it in acts, and serve the app.

    The workspace is --workspace, or ./demo-workspace. Run again, it shows what it told, changes nothing, and is quick.
    """
    root = session.root if session.root != Path() else Path("demo-workspace")
    kept = kept_demo(root)
    report = json.loads(kept[0]) if kept is not None else as_plain(_play_demo(session, root))

    def show(console: Console) -> None:
        if kept is not None:
            console.print(kept[1])
            console.print(f"So it went when it ran here first; remove the folder {root} to run it anew.")
        if serve:
            _begin_later(console, root, warm_up=report["warm_up"]["id"], checked=report["checked"]["id"])
            serve_app(root, port)

    return report, show


def _begin_later(console: Console, root: Path, *, warm_up: str, checked: str) -> None:
    """Begin what takes minutes, unless it, or anything else, was begun there before."""
    from mars_engine.cli.demo import later_jobs

    workspace = find_workspace(root)
    with open_workspace_store(workspace) as store:
        if any(run.kind != "demo" for run in store.runs.all()):
            return
        console.rule("Going on in the background, on the page Train")
        for command in later_jobs(warm_up=warm_up, checked=checked):
            console.print(f"  $ mars {shlex.join(command)}")
            try:
                start_job(workspace, store, command, clock=utc_now)
            except JobError as error:  # the app works without it
                console.print(f"    could not be started: {error}")


def _play_demo(session: Session, root: Path) -> Any:
    from mars_engine.cli.demo import run_demo
    from mars_engine.cli.demo_report import ToldStage

    stage = ToldStage(None if session.as_json else printing.make_console())
    report = run_demo(root, session.progress, stage)
    keep_demo(root, report, stage.told)
    return report


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port to listen on.")
@click.option(
    "--address",
    default=LOOPBACK,
    show_default=True,
    help=f"Address to listen on; any but loopback needs a shared token in the environment variable {TOKEN_VARIABLE}.",
)
@click.option("--host", "hosts", multiple=True, help="Name under which browsers reach the server, if not the address.")
@click.pass_obj
def app(session: Session, port: int, address: str, hosts: tuple[str, ...]) -> None:
    """Serve the app for the workspace, on this machine only unless --address says otherwise.

    Where the workspace's folder is not there yet or empty, it is made a workspace first.
    """
    if not session.root.exists() or (session.root.is_dir() and not any(session.root.iterdir())):
        click.echo(f"made the workspace {create_workspace(session.root).root}", err=True)
    serve_app(find_workspace(session.root).root, port, address=address, hosts=hosts)
