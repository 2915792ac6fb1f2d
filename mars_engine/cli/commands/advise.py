"""The command that says where the next hour pays."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import click
from rich.console import Console

from mars_engine.advise.advice import Advice, Step
from mars_engine.advise.kept import Outcome, outcomes
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, reporting, working
from mars_engine.cli.printing import table
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.jobs import headlines
from mars_engine.workspace.advising import advise_on

FINE_TUNING = "fine-tuning"


@dataclass(frozen=True, slots=True)
class AdviceReport:
    """The advice, and what came of earlier advice."""

    advice: Advice
    outcomes: tuple[Outcome, ...]


@click.command(name="advise")
@click.option(
    "--with",
    "extra",
    type=click.Choice([FINE_TUNING]),
    multiple=True,
    help="Measure this step too; fine-tuning takes minutes, and is trained on four folds of five.",
)
@section_options("allocation", "triage")
@reporting
def advise_(session: Session, extra: tuple[str, ...], overrides: Overrides) -> Any:
    """Say what each possible next step is expected to gain, and what it costs.

    From the training pairs alone, by nested cross-validation over prompts: checking labels, labelling new pairs,
    leaving suspects out, augmenting by the proposals at hand, other features, fine-tuning. The advice is kept with its
    date; what then happened on held-out pairs is shown beside it. docs/advising.md says how it is known.
    """
    with working(session, "advise", overrides) as (bench, notes):
        advice = advise_on(bench, fine_tuning=FINE_TUNING in extra)
        notes.summary |= headlines.of_advice(advice)
        index = PairIndexCache(bench.store).current()
        report = AdviceReport(advice, tuple(outcomes(bench.store, index, config=bench.config.evaluate)))
    return report, lambda console: show_advice(console, report)


def show_advice(console: Console, report: AdviceReport) -> None:
    """Print for `mars advise` the steps, best first, what is said of each, and whether earlier advice was right."""
    advice = report.advice
    show_steps(console, advice.steps)
    for each in advice.steps:
        console.print(f"{each.name}: {each.sentence}")
        console.print(f"  costs {each.cost}; known by {each.how_known}" if each.is_known else f"  costs {each.cost}")
    console.print()
    console.print(
        f"By {advice.pairs:,} training pairs of {advice.prompts:,} prompts, cross-validated accuracy "
        f"{advice.accuracy:.1%}; of the labels as they are decided now about {advice.wrong_share:.0%} are wrong "
        f"({advice.wrong_low:.0%} to {advice.wrong_high:.0%}). {advice.fits:,} fits in {advice.seconds:.1f} s; "
        f"{advice.level:.0%} intervals; no held-out pair was looked at."
    )
    told = [each for each in report.outcomes if each.done or each.happened]
    if told:
        show_outcomes(console, told)


def show_steps(console: Console, steps: Sequence[Step]) -> None:
    """Print for `mars advise` its steps as a table, in the order given."""
    rows = [[each.name, each.prospect, _points(each), _minutes(each.minutes), each.command] for each in steps]
    table(console, "Where the next hour pays", ["step", "prospect", "points", "minutes", "command"], rows)


def show_outcomes(console: Console, told: Sequence[Outcome]) -> None:
    """Print for `mars advise` what came of earlier advice, as a table."""
    headings = ["advised", "first choice", "done since", "expected", "happened", ""]
    table(console, "Was the advisor right?", headings, [_outcome(each) for each in told])


def _points(step: Step) -> str:
    if not step.is_known:
        return "–"
    return f"{step.gain:+.1f} ({step.low:+.1f} to {step.high:+.1f})".replace("-", "−")


def _minutes(minutes: float) -> str:
    return f"{minutes:,.0f}" if isfinite(minutes) else "–"


def _outcome(outcome: Outcome) -> list[str]:
    happened = outcome.happened
    moved = "–" if happened is None else f"{100 * happened.estimate:+.1f} points".replace("-", "−")
    expected = "–" if not isfinite(outcome.expected) else f"{outcome.expected:+.1f} points".replace("-", "−")
    return [f"{outcome.made_at:%Y-%m-%d %H:%M}", outcome.advised, outcome.done, expected, moved, outcome.verdict]
