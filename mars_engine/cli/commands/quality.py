"""The command that judges proposals anew."""

from typing import Any

import click

from mars_engine.augment.quality.gatekeeper import regate
from mars_engine.cli import printing
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, reporting, working
from mars_engine.jobs import headlines


@click.command(name="regate")
@section_options("quality", "triage", "chat")
@reporting
def regate_(session: Session, overrides: Overrides) -> Any:
    """Judge all stored proposals by the quality gates as they are set now; nothing is generated.

    Proposals keep the verdict of the settings under which they were made until this is run. What people or a policy
    have decided stands. Settings given here hold for this run alone; lasting ones belong in mars.toml.
    """
    with working(session, "regate", overrides) as (bench, notes):
        report = regate(bench)
        notes.summary |= headlines.of_regate(report)
    return report, lambda console: printing.show_regate(console, report)
