"""Overview: the funnel, the margins of the training pairs, and what to do next."""

import os
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from mars_engine.assembly.workspace import WORKSPACE_VARIABLE, find_workspace, open_workspace_store
from mars_engine.words.errors import MarsError
from mars_engine.workflows.overview import MarginHistogram, Overview, workspace_overview
from mars_engine.workflows.status import FunnelStep

RIGHT, WRONG = "#2166ac", "#b35806"
"""Blue and orange of a diverging scale that the colour-blind tell apart; used for margins everywhere."""


def load_overview() -> Overview:
    workspace = find_workspace(Path(os.environ.get(WORKSPACE_VARIABLE, ".")))
    with open_workspace_store(workspace) as store:
        return workspace_overview(store, config=workspace.config)


def draw_funnel(steps: tuple[FunnelStep, ...]) -> None:
    st.subheader("Funnel")
    st.table(
        {
            "step": [step.name for step in steps],
            "count": [f"{step.count:,}" for step in steps],
            "of": [step.unit for step in steps],
            "note": [step.note for step in steps],
        },
        hide_index=True,
        border="horizontal",
    )


def draw_margins(histogram: MarginHistogram) -> None:
    st.subheader("Margins of the training pairs")
    share = histogram.mis_ranked / histogram.pairs
    st.text(
        f"Under {histogram.model_label}: {histogram.mis_ranked:,} of {histogram.pairs:,} pairs ({share:.1%}) are "
        "ranked the wrong way round. The model was trained on these; held-out pairs are ranked wrongly more often."
    )
    width = float(histogram.edges[1] - histogram.edges[0])
    centres = histogram.edges[:-1] + width / 2
    figure = go.Figure()
    for name, colour, pattern, side in (
        ("ranked wrong (margin below 0)", WRONG, "/", centres < 0),
        ("ranked right", RIGHT, "", centres >= 0),
    ):
        figure.add_bar(
            x=centres[side],
            y=histogram.counts[side],
            width=width,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            hovertemplate="margin %{x:.3f}<br>%{y} pairs<extra></extra>",
        )
    figure.update_layout(
        bargap=0,
        height=380,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        xaxis_title="score margin, reward of chosen minus reward of rejected (reward units)",
        yaxis_title="training pairs",
    )
    figure.update_xaxes(automargin=True, title_standoff=8)
    st.plotly_chart(figure, width="stretch", config={"displayModeBar": False})


def draw_runs(overview: Overview) -> None:
    if not overview.runs:
        return
    st.subheader("Latest runs")
    st.dataframe(
        {
            "what": [run.kind for run in overview.runs],
            "state": [run.state for run in overview.runs],
            "started (UTC)": [run.started_at.strftime("%Y-%m-%d %H:%M:%S") for run in overview.runs],
            "error": [run.error for run in overview.runs],
        },
        hide_index=True,
        width="stretch",
    )


def draw() -> None:
    st.title("MARS")
    st.text("Where the reward model is unsure, what was proposed for it, and what was trained.")
    try:
        overview = load_overview()
    except MarsError as error:
        st.warning("This page cannot be shown yet.")
        st.text(str(error))
        return
    st.text(f"Next: {overview.status.next_step}")
    left, right = st.columns(2)
    with left:
        draw_funnel(overview.status.funnel)
        st.text(f"Held-out pairs: {overview.status.heldout_pairs:,}")
    with right:
        if overview.margins is None:
            st.subheader("Margins of the training pairs")
            st.info("No margins yet: train a reward model (mars train), then read the margins (mars score).")
        else:
            draw_margins(overview.margins)
    draw_runs(overview)


draw()
