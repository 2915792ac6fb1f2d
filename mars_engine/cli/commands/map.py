"""The command that makes semantic maps."""

from typing import Any

import click
from rich.console import Console

from mars_engine.cli import printing
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, reporting, working
from mars_engine.core.records import MAP_KINDS
from mars_engine.embeddings.maps import UmapMapper
from mars_engine.embeddings.maps.semantic_map import MapReport, make_map
from mars_engine.workspace.workspace import find_workspace, map_shelf


@click.command(name="map")
@click.option(
    "--of",
    "kinds",
    type=click.Choice(MAP_KINDS),
    multiple=True,
    default=("difference",),
    show_default=True,
    help="What a pair is placed by: how its answers differ, its prompt, or one answer; may be given several times.",
)
@click.option("--again", is_flag=True, help="Make the map anew, also where its files are damaged.")
@section_options("map")
@reporting
def map_(session: Session, kinds: Any, again: bool, overrides: Overrides) -> Any:
    """Make the semantic map that the page Explore shows, with clusters named by their words.

    Every pair gets its place by UMAP of its embeddings. A map is made once: run again, only new pairs are placed into
    it, and none is moved.
    """
    with working(session, "map", overrides) as (bench, notes):
        shelf = map_shelf(find_workspace(session.root))
        store, encoder, config, progress = bench.store, bench.encoder, bench.config.map, bench.progress
        mapper = UmapMapper(config)
        reports = [
            make_map(store, encoder, mapper, shelf, kind, config=config, progress=progress, again=again)
            for kind in dict.fromkeys(kinds)
        ]
        notes.summary |= {f"pairs on the map of the {report.kind}": report.pairs for report in reports}
    return reports, lambda console: _show(console, reports)


def _show(console: Console, reports: list[MapReport]) -> None:
    for report in reports:
        done = "made anew" if report.fitted_anew else f"{report.placed_now:,} pairs placed now"
        console.print(
            f"map of the {report.kind}: {report.pairs:,} pairs, {done} "
            f"(fitted on {report.fitted_on:,}, {report.seconds:.1f} s)"
        )
        rows = [[" ".join(each.words) or f"no {each.number}", f"{each.size:,}"] for each in report.clusters]
        printing.table(console, "Clusters", ["distinctive words", "pairs"], rows)
