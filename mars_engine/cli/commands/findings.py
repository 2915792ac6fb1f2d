"""The command that looks for what the pairs say against themselves, and how it and an import print it."""

from typing import Any

import click
from rich.console import Console

from mars_engine.cli.frame import Session, reporting, working
from mars_engine.data.findings import Finding, Findings, look_for_findings


@click.command(name="findings")
@reporting
def findings_(session: Session) -> Any:
    """Look for what the pairs say against themselves: contradictions, copies across splits, ties, lengths.

    An import does it by itself where there are few enough pairs. Each kind is counted, with examples; its pairs are
    kept as a set, which Explore shows and Check deals.
    """
    with working(session, "findings") as (bench, notes):
        found = look_for_findings(bench.store, clock=bench.clock, progress=bench.progress)
        notes.summary |= {each.kind: each.count for each in found.all if each.kind != "note" and each.count}
    return found, lambda console: show_findings(console, found)


def show_findings(console: Console, found: Findings) -> None:
    """Print for `mars findings` and `mars import` what was found, and that nothing was."""
    telling = [each for each in found.all if each.count]
    console.print(f"What the {found.pairs:,} pairs say against themselves:" + ("" if telling else " nothing was found"))
    for each in telling:
        console.print(f"  {each.count:,} × {each.words}")
        for example in each.examples:
            console.print(f"    {example.pair_id}: {_short(example.chosen)} | {_short(example.rejected)}")
    if any(each.set_id for each in telling):
        console.print("  Each kind is a set of pairs in 'mars app': open it in Explore, or check it in Check")
    for quiet in (each for each in found.all if not each.count and _always_said(each)):
        console.print(f"  {quiet.words}")


def _always_said(finding: Finding) -> bool:
    """Length is told of also where it tells nothing: people ask."""
    return finding.kind == "length"


def _short(text: str, most: int = 48) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
