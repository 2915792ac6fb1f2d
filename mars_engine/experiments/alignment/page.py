"""The report of a comparison by policies as one HTML file: it needs nothing from elsewhere, and prints."""

from datetime import datetime
from pathlib import Path

from mars_engine.evaluate.report_page import report_template
from mars_engine.experiments.alignment.plan import WAY_NOTES, AlignmentPlan
from mars_engine.experiments.alignment.results import REFERENCE, AlignmentResults
from mars_engine.experiments.page import facts_of
from mars_engine.experiments.plan import BASELINES
from mars_engine.experiments.results import say_verdict

TEMPLATE = Path(__file__).parents[1] / "alignment.html.j2"


def alignment_html(results: AlignmentResults, plan: AlignmentPlan, *, made_at: datetime) -> str:
    """Return the report as HTML. Every text is escaped, so nothing in it is interpreted."""
    return report_template(TEMPLATE).render(
        **facts_of(results, plan, made_at),
        say_verdict=say_verdict,
        reference=REFERENCE,
        baselines=(REFERENCE, *BASELINES),
        way_notes=WAY_NOTES,
        win_rate_lines=lambda comparison: [(each.method, each.kl, each.win_rate) for each in comparison.lines],
    )
