"""The report of a comparison by policies as one HTML file: it needs nothing from elsewhere, and prints."""

from datetime import datetime
from pathlib import Path

from mars_engine.evaluate import report_charts
from mars_engine.evaluate.report_page import report_template, software_versions
from mars_engine.experiments.alignment.plan import WAY_NOTES, AlignmentPlan
from mars_engine.experiments.alignment.results import REFERENCE, AlignmentResults
from mars_engine.experiments.page import difference_rows
from mars_engine.experiments.plan import BASELINES, MATCHING_NOTES, METHOD_NOTES
from mars_engine.experiments.results import points, say_how_many, say_verdict

TEMPLATE = Path(__file__).parents[1] / "alignment.html.j2"


def alignment_html(results: AlignmentResults, plan: AlignmentPlan, *, made_at: datetime) -> str:
    """Return the report as HTML. Every text is escaped, so nothing in it is interpreted."""
    return report_template(TEMPLATE).render(
        results=results,
        plan=plan,
        settings=plan.model_dump(mode="json", exclude={"name"}),
        made_at=made_at,
        versions=software_versions(),
        how_many=say_how_many(results),
        say_verdict=say_verdict,
        reference=REFERENCE,
        baselines=(REFERENCE, *BASELINES),
        method_notes=METHOD_NOTES,
        matching_notes=MATCHING_NOTES,
        way_notes=WAY_NOTES,
        points=points,
        charts=report_charts,
        difference_rows=difference_rows,
        win_rate_lines=lambda comparison: [(each.method, each.kl, each.win_rate) for each in comparison.lines],
    )
