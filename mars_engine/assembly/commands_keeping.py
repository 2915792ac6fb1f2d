"""Commands that take a workspace's content elsewhere: backup and history."""

from pathlib import Path
from typing import Any

import click

from mars_engine.assembly.backup import make_backup
from mars_engine.assembly.command_frame import Session, reporting
from mars_engine.assembly.label_file import write_label_history
from mars_engine.assembly.workspace import find_workspace, open_workspace_store, utc_now


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), required=False)
@reporting
def backup(session: Session, path: Path | None) -> Any:
    """Copy the workspace to PATH (.tar.gz or .zip), or into artifacts/backups: settings, database and models.

    Others may go on working meanwhile. Unpack it anywhere, and use the folder in it as a workspace. What can be made
    again (embeddings, maps) is not in it. A PostgreSQL database is copied by pg_dump instead.
    """
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        made = make_backup(workspace, store, path, clock=utc_now)
    return made, lambda console: console.print(f"wrote {made.path} ({made.size_bytes / 2**20:,.1f} MiB)")


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace PATH if it exists.")
@reporting
def history(session: Session, path: Path, overwrite: bool) -> Any:
    """Write every decision ever made to PATH (.csv or .jsonl): who, when, on what, and whether it still stands."""
    with open_workspace_store(find_workspace(session.root)) as store:
        written = write_label_history(store, path, overwrite=overwrite)
    return written, lambda console: console.print(f"wrote {written.events:,} events to {written.path}")
