"""Plotly figures in one style: transparent ground, one type scale, units on every axis, and one size a kind."""

from typing import Any, Literal

import plotly.graph_objects as go
import streamlit as st

from pages.parts.drawing.theme import PRESENTED_SIZE, axis_ink
from pages.parts.frame.page import presenting

Kind = Literal["strip", "small", "usual", "plane"]
HEIGHTS: dict[Kind, int] = {"strip": 150, "small": 240, "usual": 340, "plane": 460}
"""Pixels: one interval; figures beside each other or above another; a figure alone; points in a plane, and maps."""
ROW = {"bar": 34, "marks": 44, "words": 56}
"""Pixels of a row: a bar or a point, several marks, a point with its words above."""
HEIGHT_OF_AXIS = 80
MARGIN, MARGIN_OF_LEGEND = 8, 36
TITLE_STANDOFF = 20
"""Pixels from an ordinate's line to its title beyond the ticks' numbers; with fewer the two run into each other."""
PLOTLY_OPTIONS = {"displaylogo": False, "displayModeBar": False, "responsive": True}


def height_of_rows(rows: int, *, row: int = ROW["bar"], legend: bool = False) -> int:
    """Return the height of a figure whose ordinate has a row for each of some things."""
    return HEIGHT_OF_AXIS + rows * row + (MARGIN_OF_LEGEND if legend else 0)


def styled(figure: go.Figure, *, x: str, y: str, height: int = HEIGHTS["usual"], legend: bool = True) -> go.Figure:
    """Give a figure the app's style. `x` and `y` are the axis titles, units in brackets."""
    # Streamlit's own colours of axes are too pale on the light ground; what a figure says itself goes before them.
    colour = {"color": axis_ink()}
    axis = {"automargin": True, "tickfont": colour}
    # All at once: each call takes plotly ten milliseconds.
    figure.update_layout(
        height=height,
        margin={"l": MARGIN, "r": MARGIN, "t": MARGIN_OF_LEGEND if legend else MARGIN, "b": MARGIN},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "font": colour},
        xaxis=axis | {"title": {"text": x, "standoff": 8, "font": colour}, "zeroline": True},
        yaxis=axis | {"title": {"text": y, "standoff": TITLE_STANDOFF, "font": colour}},
        coloraxis={"colorbar": {"tickfont": colour, "title": {"font": colour}}},
        hoverlabel={"align": "left"},
        font=colour | ({"size": PRESENTED_SIZE} if presenting() else {}),
    )
    return figure


def draw(figure: go.Figure, *, key: str | None = None, **options: Any) -> Any:
    """Show a figure across the width of its container; returns what `st.plotly_chart` returns."""
    config = PLOTLY_OPTIONS | options.pop("config", {})
    return st.plotly_chart(figure, width="stretch", key=key, config=config, **options)
