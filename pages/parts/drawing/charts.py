"""Plotly figures in one style: transparent ground, one type scale, units on every axis."""

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.parts.frame.page import presenting

PRESENTED_SIZE = 17
"""Of the type where the app is shown to an audience."""
TITLE_STANDOFF = 20
"""Pixels from an ordinate's line to its title beyond the ticks' numbers; with fewer the two run into each other."""
PLOTLY_OPTIONS = {"displaylogo": False, "displayModeBar": False, "responsive": True}


def styled(figure: go.Figure, *, x: str, y: str, height: int = 360, legend: bool = True) -> go.Figure:
    """Give a figure the app's style. `x` and `y` are the axis titles, units in brackets."""
    # All at once: each call takes plotly ten milliseconds.
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8 if not legend else 36, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        xaxis={"title": {"text": x, "standoff": 8}, "automargin": True, "zeroline": True},
        yaxis={"title": {"text": y, "standoff": TITLE_STANDOFF}, "automargin": True},
        hoverlabel={"align": "left"},
        font={"size": PRESENTED_SIZE} if presenting() else {},
    )
    return figure


def draw(figure: go.Figure, *, key: str | None = None, **options: Any) -> Any:
    """Show a figure across the width of its container; returns what `st.plotly_chart` returns."""
    config = PLOTLY_OPTIONS | options.pop("config", {})
    return st.plotly_chart(figure, width="stretch", key=key, config=config, **options)
