"""The command `mars report`: what was done and what it gained, as one HTML file."""

from pathlib import Path
from typing import Any

import click

from mars_engine.cli.frame import Session, reporting
from mars_engine.core.clock import utc_now
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.evaluate.report_page import report_html, write_report
from mars_engine.workspace.workspace import find_workspace, map_shelf, open_workspace_store


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace PATH if it exists.")
@reporting
def report(session: Session, path: Path, overwrite: bool) -> Any:
    """Write a report for people who were not there to PATH: one HTML file that works offline and prints well.

    It says what was done in plain words, how many there are at each step, figures with intervals, who decided,
    examples, settings and lineage. It compares the newest warm-up and the newest model by their stored scores; no model
    is loaded.
    """
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        maps = map_shelf(workspace)
        index = PairIndexCache(store).current()
        html = report_html(store, index, root=workspace.root, config=workspace.config, clock=utc_now, maps=maps)
    written = write_report(html, path, overwrite=overwrite)
    facts = {"path": written, "bytes": written.stat().st_size}
    return facts, lambda console: console.print(f"wrote the report to {written}, {facts['bytes']:,} bytes")
