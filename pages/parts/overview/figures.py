"""The Overview's figures: headline numbers, the margins, the plane of margin and distance, and the latest runs."""

from html import escape

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from mars_engine.augment.compose import LENGTH_AFTER, LENGTH_BEFORE
from mars_engine.curate.people import contributions
from mars_engine.evaluate.overview import Headline, MarginHistogram, Plane
from mars_engine.evaluate.results import ModelResult, signed_points
from mars_engine.evaluate.status import Status
from mars_engine.explore.colours import LABEL_GROUND, RIGHT, WRONG
from mars_engine.explore.plotly_figures import MARGIN_AXIS, add_points, colour_axis, reach_of, size_for
from mars_engine.service.desk import Desk
from pages.parts.drawing import charts
from pages.parts.drawing.numbers import change_of, true_minus
from pages.parts.drawing.theme import PRESENTED_SIZE, ink, theme
from pages.parts.frame.page import empty_state, presenting
from pages.parts.frame.words import explain

RUNS_SHOWN = 5
DENSITY_SCALE = ((0.0, "rgba(0, 114, 178, 0.12)"), (1.0, "rgba(0, 114, 178, 1)"))


# ----------------------------------------------------------------------------------------------------- headline figures


def draw_headline(desk: Desk, status: Status, headline: Headline) -> None:
    """Draw held-out accuracy, the mis-ranked share, new pairs and decisions, each with what it was before."""
    columns = st.columns(4)
    with columns[0].container(border=True, height="stretch"):
        _draw_accuracy(headline, status)
    with columns[1].container(border=True, height="stretch"):
        _draw_mis_ranked(headline, status)
    with columns[2].container(border=True, height="stretch"):
        _draw_composed(desk, status)
    with columns[3].container(border=True, height="stretch"):
        _draw_decisions(desk)


def _draw_composed(desk: Desk, status: Status) -> None:
    """Say how many new pairs there are, and whether their sides differ more in length than those of their sources."""
    st.metric("New pairs in training", f"{status.count('composed'):,}")
    st.text(f"beside {status.count('pairs'):,} base pairs")
    composition = desk.store.compositions.latest()
    summary = composition.summary if composition else {}
    if LENGTH_AFTER in summary:
        before, after = summary[LENGTH_BEFORE], summary[LENGTH_AFTER]
        lengths = f"chosen − rejected: {after:+,.0f} characters on the mean; {before:+,.0f} in their sources"
        st.text(true_minus(lengths))


def _draw_accuracy(headline: Headline, status: Status) -> None:
    now, difference = headline.now, headline.difference
    if now is None:
        st.metric("Held-out accuracy", "–")
        st.text("not scored yet" if status.heldout_pairs else "no held-out pairs: import some to measure it")
        return
    change = {}
    if difference:
        points = difference.difference.estimate
        shown = True if difference.difference.excludes_zero else None
        change = change_of(f"{signed_points(points)} points", points, good_when_higher=shown)
    st.metric("Held-out accuracy", f"{now.evaluation.accuracy.estimate:.1%}", **change)
    against = f"\nagainst {difference.second}: {difference.verdict}" if difference else ""
    st.text(f"{interval_words(now)}, {now.label}{against}")


def interval_words(result: ModelResult) -> str:
    accuracy = result.evaluation.accuracy
    return f"{accuracy.level:.0%} interval {accuracy.low:.1%} to {accuracy.high:.1%}"


def _draw_mis_ranked(headline: Headline, status: Status) -> None:
    now, before = headline.mis_ranked_now, headline.mis_ranked_before
    if np.isnan(now):
        st.metric("Training pairs ranked wrong", "–")
        st.text("the newest model has not scored them all" if status.model_label else "no model has scored them yet")
        return
    if np.isnan(before):
        st.metric("Training pairs ranked wrong", f"{now:.1%}")
        st.text("by a model that was trained on them")
        return
    change = change_of(f"{signed_points(now - before)} points", now - before, good_when_higher=None)
    st.metric("Training pairs ranked wrong", f"{now:.1%}", **change)
    st.text(f"was {before:.1%}; both models were trained on them, so this shows no gain and no loss")


def _draw_decisions(desk: Desk) -> None:
    found = contributions(desk.store.browse.review_tallies())
    by_policy = sum(each.decisions for each in found if each.role == "policy")
    of_people = [each for each in found if each.role != "policy" and each.decisions]
    taken_back = sum(each.taken_back for each in of_people)
    people = {each.name for each in of_people}
    st.metric("Decisions by people", f"{sum(each.decisions for each in of_people):,}")
    readers = "one person" if len(people) == 1 else f"{len(people)} people"
    parts = [
        readers if people else "",
        f"{taken_back:,} of these decisions taken back" if taken_back else "",
        f"{by_policy:,} more by a policy" if by_policy else "",
    ]
    st.text("; ".join(part for part in parts if part) or "nothing has been decided yet")


# -------------------------------------------------------------------------------------------------------------- margins


def draw_margins(histogram: MarginHistogram | None) -> None:
    """Draw the margins of the training pairs, those below 0 in another colour and hatched."""
    st.subheader("Margins of the training pairs", anchor=False)
    if histogram is None:
        empty_state("No margins yet.", to_do="Train a reward model and let it score the pairs: open the round above.")
        return
    share = histogram.mis_ranked / histogram.pairs
    st.text(
        f"{histogram.model_label} ranks {histogram.mis_ranked:,} of {histogram.pairs:,} pairs ({share:.1%}) the wrong "
        "way round. It was trained on them: held-out pairs are ranked wrong more often."
    )
    centres = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    figure = go.Figure()
    for name, colour, pattern, side in (
        ("ranked wrong, below 0", WRONG, "/", centres < 0),
        ("ranked right or a tie", RIGHT, "", centres >= 0),
    ):
        figure.add_bar(
            x=centres[side],
            y=histogram.counts[side],
            width=float(histogram.edges[1] - histogram.edges[0]),
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}, "line": {"width": 0}},
            hovertemplate="margin %{x:.3f}<br>%{y:,} pairs<extra></extra>",
        )
    figure.update_layout(bargap=0, barmode="overlay")
    figure.update_yaxes(tickformat=",")
    charts.draw(charts.styled(figure, x=MARGIN_AXIS, y="training pairs"), key="margins")


# ------------------------------------------------------------------------------------------------------------ the plane


def draw_plane(plane: Plane | None) -> None:
    """Draw margin against distance with its four named quadrants, and how many pairs are in each."""
    st.subheader("Margin and semantic distance", anchor=False)
    if plane is None:
        st.text("Here stand the pairs by their margin and by how far their answers are apart, once both are known.")
        return
    st.text(
        f"{plane.pairs:,} training pairs. Left of the line: more than an equal share of the budget. "
        "Below the line: the answers are too close, and are refined first."
    )
    explain("semantic distance", "refined")
    figure = _points(plane) if len(plane.margins) else _density(plane)
    _add_quadrants(figure, plane)
    shown = charts.styled(
        figure,
        x=MARGIN_AXIS,
        y="semantic distance (1 − cosine)",
        height=charts.HEIGHTS["plane"],
        legend=bool(len(plane.margins)),
    )
    charts.draw(shown, key="plane")


def _points(plane: Plane) -> go.Figure:
    """The pairs as points, coloured as on Explore."""
    figure = go.Figure()
    hover = "margin %{x:.3f}<br>distance %{y:.3f}<extra></extra>"
    size = size_for(len(plane.margins))
    add_points(figure, plane.margins, plane.distances, plane.margins, size=size, hover=hover, theme=theme())
    figure.update_layout(coloraxis=colour_axis(reach_of(plane.margins), bar=False))
    return figure


def _density(plane: Plane) -> go.Figure:
    counts = np.where(plane.density > 0, plane.density, np.nan)
    ticks = [10**power for power in range(int(np.log10(plane.density.max())) + 1)]
    figure = go.Figure()
    figure.add_heatmap(
        x=(plane.margin_edges[:-1] + plane.margin_edges[1:]) / 2,
        y=(plane.distance_edges[:-1] + plane.distance_edges[1:]) / 2,
        z=np.log10(counts).astype(np.float32),
        customdata=plane.density,
        colorscale=DENSITY_SCALE,
        colorbar={
            "title": "pairs",
            "tickvals": np.log10(ticks),
            "ticktext": [f"{tick:,}" for tick in ticks],
            "thickness": 12,
        },
        hovertemplate="margin %{x:.3f}<br>distance %{y:.3f}<br>%{customdata:,} pairs<extra></extra>",
        hoverongaps=False,
    )
    return figure


def _add_quadrants(figure: go.Figure, plane: Plane) -> None:
    line = {"dash": "dash", "width": 1.5, "color": "gray"}
    figure.add_vline(plane.borders.hard_below, line=line)
    figure.add_hline(plane.borders.close_below, line=line)
    corners = ((0.01, 0.02), (0.01, 0.98), (0.99, 0.02), (0.99, 0.98))
    for quadrant, (x, y) in zip(plane.quadrants, corners, strict=True):
        figure.add_annotation(
            x=x,
            y=y,
            xref="paper",
            yref="paper",
            xanchor="left" if x < 0.5 else "right",
            yanchor="bottom" if y < 0.5 else "top",
            align="left" if x < 0.5 else "right",
            text=f"<b>{escape(quadrant.name)}</b><br>{escape(quadrant.advice)}<br>{quadrant.pairs:,} pairs",
            showarrow=False,
            bgcolor=LABEL_GROUND[theme()],
            borderpad=3,
            font={"size": PRESENTED_SIZE - 2 if presenting() else 12, "color": ink()},
        )


# ----------------------------------------------------------------------------------------------------------------- runs


def draw_runs(desk: Desk) -> None:
    """List the latest runs on the Overview."""
    runs = desk.store.runs.newest(RUNS_SHOWN)
    if not runs:
        return
    st.subheader("Latest runs", anchor=False)
    st.dataframe(
        {
            "what": [run.kind for run in runs],
            "state": [run.state for run in runs],
            "started (UTC)": [run.started_at.strftime("%Y-%m-%d %H:%M:%S") for run in runs],
            "error": [run.error for run in runs],
        },
        hide_index=True,
        width="stretch",
    )
