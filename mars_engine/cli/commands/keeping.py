"""Commands that take a workspace's content elsewhere: backup, history and trajectories."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mars_engine.cli.frame import Session, reporting
from mars_engine.core.clock import utc_now
from mars_engine.core.whole_file import completed_text
from mars_engine.curate.label_file import write_label_history
from mars_engine.reward_models.training_map import choose_mapped_model, map_model, summarize_map, write_map
from mars_engine.workspace.backup import make_backup
from mars_engine.workspace.workspace import find_workspace, open_workspace_store


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


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", "name", default="", help="A model's id or label. [default: the newest that kept margins]")
@click.option("--overwrite", is_flag=True, help="Replace PATH if it exists.")
@reporting
def trajectories(session: Session, path: Path, name: str, overwrite: bool) -> Any:
    """Write to PATH (.csv) how a training went for each of its base pairs, those that it never learned first.

    A row has a pair's mean confidence, variability and correctness over the epochs, how often it was forgotten, and
    its score margin after each epoch, by the label that the model was trained on. A training keeps them where it was
    asked to: 'mars train --backbone packaged --reward-model-trajectory'.
    """
    with open_workspace_store(find_workspace(session.root)) as store:
        found = map_model(store, choose_mapped_model(store, name))
    with completed_text(path, endings=[".csv"], overwrite=overwrite) as stream:
        write_map(found, stream)
    counts = summarize_map(found)
    return {"path": path, **asdict(counts)}, lambda console: console.print(
        f"wrote {counts.pairs:,} pairs of {counts.model_label}'s training to {path}: {counts.never_learned:,} never "
        f"learned, {counts.forgotten:,} forgotten at least once, {counts.ambiguous:,} ambiguous"
    )
