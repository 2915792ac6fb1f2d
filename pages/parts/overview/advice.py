"""The Overview's panel "Where the next hour pays": the advice that was kept, and whether it was right."""

from html import escape
from math import isfinite

import plotly.graph_objects as go
import streamlit as st

from mars_engine.advise.advice import Advice, Step, StepKind
from mars_engine.advise.kept import Outcome, newest_advice, outcomes, standing_of, why_out_of_date
from mars_engine.explore.colours import SERIES, TIED, WRONG
from mars_engine.service.desk import Desk
from pages.parts.drawing import charts
from pages.parts.drawing.numbers import true_minus
from pages.parts.frame.page import presenting
from pages.parts.frame.words import explain
from pages.parts.train.run_panel import begin

FEWEST_PAIRS = 40
PAGE_OF: dict[StepKind, tuple[str, str]] = {
    "check": ("pages/check.py", "Check labels"),
    "label": ("pages/data.py", "Import new pairs"),
    "leave out": ("pages/settings.py", "Leave suspects out: Settings, triage"),
    "augment": ("pages/review.py", "Review proposals"),
    "features": ("pages/settings.py", "Choose the layers: Settings, probe"),
    "fine-tune": ("pages/train.py", "Fine-tune"),
}
PAST_SHOWN = 5


def draw_advice(desk: Desk) -> None:
    """Draw the newest advice; nothing is computed here but by a job."""
    training = desk.store.pairs.count("train")
    st.subheader("Where the next hour pays", anchor=False)
    advice = newest_advice(desk.store)
    changed = why_out_of_date(advice, standing_of(desk.store, desk.index())) if advice else ""
    if advice is None:
        st.text(
            "What is each next step expected to gain: checking labels, new labels, augmenting, other features? "
            "The training pairs can tell, in seconds; held-out pairs are not looked at."
        )
    elif changed:
        st.text(f"⚠ This is out of date: {changed} since {advice.made_at:%Y-%m-%d %H:%M} UTC.")
    if (advice is None or changed) and not presenting():
        if training < FEWEST_PAIRS:
            st.text(f"It takes {FEWEST_PAIRS} training pairs at least; there are {training:,}.")
        elif st.button("Ask the advisor", icon=":material/lightbulb:", key="ask-advisor"):
            begin(lambda: desk.start_job("advise"))
    if advice is not None and changed:
        with st.expander("What it advised then"):
            _draw_steps(advice)
    elif advice is not None:
        _draw_steps(advice)
    if advice is not None:
        _draw_outcomes(desk)


def _draw_steps(advice: Advice) -> None:
    first = advice.first
    st.text(f"First choice: {first.name}. {first.sentence}")
    if first.kind in PAGE_OF and not presenting():
        path, label = PAGE_OF[first.kind]
        st.page_link(path, label=label, icon=":material/arrow_forward:")
    explain("out-of-fold", "suspect", "law", "signed", "absolute", "uniform")
    charts.draw(_bars(advice), key="advice")
    known = [step for step in advice.steps if step.is_known]
    st.dataframe(
        {
            "step": [step.name for step in advice.steps],
            "prospect": [step.prospect for step in advice.steps],
            "expected": [step.sentence for step in advice.steps],
            "costs": [step.cost for step in advice.steps],
            "known by": [step.how_known for step in advice.steps],
            "command": [step.command for step in advice.steps],
        },
        hide_index=True,
        width="stretch",
    )
    st.text(
        f"{len(known)} of {len(advice.steps)} steps measured on {advice.pairs:,} training pairs, "
        f"{advice.made_at:%Y-%m-%d %H:%M} UTC, in {advice.seconds:.0f} s; {advice.level:.0%} intervals. Of "
        f"the labels as they were decided then about {advice.wrong_share:.0%} are estimated to be wrong "
        f"({advice.wrong_low:.0%} to {advice.wrong_high:.0%}). “Check” counts undecided labels by the lowest "
        "out-of-fold margins, as long as these are negative: more than triage suspects."
    )


def _bars(advice: Advice) -> go.Figure:
    """Expected gains with their intervals, first choice on top; a pattern tells those that are not shown."""
    steps = [step for step in advice.steps if step.is_known and step.kind != "stop"][::-1]
    figure = go.Figure(
        go.Bar(
            x=[step.gain for step in steps],
            y=[step.name for step in steps],
            orientation="h",
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [step.high - step.gain for step in steps],
                "arrayminus": [step.gain - step.low for step in steps],
                "color": TIED,
            },
            marker={
                "color": [_colour(step) for step in steps],
                "pattern": {"shape": ["" if step.helps else "/" for step in steps]},
            },
            customdata=[escape(step.cost) for step in steps],
            hovertemplate="%{y}: %{x:+.1f} points<br>%{customdata}<extra></extra>",
        )
    )
    height = charts.height_of_rows(len(steps))
    axis = "expected gain in accuracy (points; hatched: may be no gain, as the interval begins at 0.0 or below)"
    return charts.styled(figure, x=axis, y="", height=height, legend=False)


def _colour(step: Step) -> str:
    if step.helps:
        return SERIES[0]
    return TIED if step.high > 0 else WRONG


def _draw_outcomes(desk: Desk) -> None:
    past = outcomes(desk.store, desk.index(), config=desk.config.evaluate)
    told = [each for each in past if each.done or each.happened][:PAST_SHOWN]
    if not told:
        return
    st.text("Was the advisor right?")
    st.dataframe(
        {
            "advised (UTC)": [each.made_at.strftime("%Y-%m-%d %H:%M") for each in told],
            "first choice": [each.advised for each in told],
            "done since": [each.done or "nothing" for each in told],
            "expected of that": [_expected(each) for each in told],
            "happened on held-out pairs": [_happened(each) for each in told],
            "so it was": [each.verdict for each in told],
        },
        hide_index=True,
        width="stretch",
    )


def _expected(outcome: Outcome) -> str:
    if not isfinite(outcome.expected):
        return "–"
    return true_minus(f"{outcome.expected:+.1f} points ({outcome.low:+.1f} to {outcome.high:+.1f})")


def _happened(outcome: Outcome) -> str:
    moved = outcome.happened
    if moved is None:
        return "not known yet"
    return true_minus(f"{100 * moved.estimate:+.1f} points ({100 * moved.low:+.1f} to {100 * moved.high:+.1f})")
