"""The report of an experiment as one HTML file: it needs nothing from elsewhere, runs nothing, and prints."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from mars_engine.evaluate import report_charts
from mars_engine.evaluate.report_page import report_template, software_versions
from mars_engine.experiments.plan import BASELINES, MATCHING_NOTES, METHOD_NOTES, ExperimentPlan, MethodsPlan
from mars_engine.experiments.results import Compared, Counted, ExperimentResults, points, say_how_many, wrong_label_rows
from mars_engine.stats.intervals import Interval

TEMPLATE = Path(__file__).with_name("experiment.html.j2")


def experiment_html(results: ExperimentResults, plan: ExperimentPlan, *, made_at: datetime) -> str:
    """Return the report as HTML. Every text is escaped, so nothing in it is interpreted."""
    return report_template(TEMPLATE).render(
        **facts_of(results, plan, made_at),
        baselines=BASELINES,
        wrong_label_rows=wrong_label_rows,
        recorded=[dataset.name for dataset in plan.datasets if dataset.rewrites],
    )


def facts_of(results: Counted, plan: MethodsPlan, made_at: datetime) -> dict[str, Any]:
    """Return what the reports of all plans of methods show."""
    return {
        "results": results,
        "plan": plan,
        "settings": plan.model_dump(mode="json", exclude={"name"}),
        "made_at": made_at,
        "versions": software_versions(),
        "how_many": say_how_many(results),
        "method_notes": METHOD_NOTES,
        "matching_notes": MATCHING_NOTES,
        "points": points,
        "charts": report_charts,
        "difference_rows": difference_rows,
    }


def difference_rows(results: Iterable[Compared], baseline: str) -> list[tuple[str, Interval]]:
    """Return each method's difference from a baseline, for a chart."""
    return [
        (result.method, found.interval)
        for result in results
        for found in result.differences
        if found.baseline == baseline
    ]
