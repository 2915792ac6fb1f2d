"""Commands that serve the app, and the demo that runs everything first."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mars_engine.cli.frame import Session, reporting
from mars_engine.service.serving import LOOPBACK, TOKEN_VARIABLE, serve_app
from mars_engine.workspace.workspace import create_workspace, find_workspace


@click.command()
@click.option("--serve/--no-serve", default=True, show_default=True, help="Serve the app afterwards.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port of the app.")
@reporting
def demo(session: Session, serve: bool, port: int) -> Any:
    """Run the whole method on the packaged model and demo pairs, print one report, and serve the app.

    The workspace is --workspace, or ./demo-workspace. Run again, it finds its results and is quick.
    """
    from mars_engine.cli.demo import run_demo
    from mars_engine.cli.demo_report import show_demo

    root = session.root if session.root != Path() else Path("demo-workspace")

    def announce(step: str) -> None:
        if not (session.quiet or session.as_json):
            click.echo(f"· {step}", err=True)

    report = run_demo(root, session.progress, announce)

    def show(console: Console) -> None:
        show_demo(console, report)
        if serve:
            serve_app(root, port)

    return report, show


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
