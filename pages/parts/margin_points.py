"""Pairs as points coloured by their margin: the same scale, symbols and legend wherever they stand."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from mars_engine.words.records import Float32Array
from pages.parts.colours import GROUND, INK, MARGIN_SCALE, RIGHT, RIM, WRONG

MOST_LARGE = 5_000
"""Beyond so many points they are drawn smaller."""


def theme() -> str:
    """The theme that the reader sees: light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def ink() -> str:
    """The page's text colour, for labels over points: plotly's own is too pale there."""
    return INK[theme()]


def ground() -> str:
    """The colour of the page behind a figure."""
    return GROUND[theme()]


def reach_of(margins: Float32Array) -> float:
    """Return the margin at which the scale of colours ends: few are farther from 0."""
    return float(np.nanquantile(np.abs(margins), 0.98)) if not np.isnan(margins).all() else 1.0


def colour_axis(reach: float, *, bar: bool) -> dict[str, Any]:
    """The scale of margins as plotly's `coloraxis`."""
    return {
        "colorscale": MARGIN_SCALE,
        "cmin": -reach,
        "cmax": reach,
        "cmid": 0,
        "showscale": bar,
        "colorbar": {
            "title": {"text": "margin<br>(reward<br>units)", "side": "top"},
            "thickness": 10,
            "len": 0.6,
            "outlinewidth": 0,
        },
    }


def add_points(
    figure: go.Figure, x: Float32Array, y: Float32Array, margins: Float32Array, *, size: float, hover: str
) -> None:
    """Add a point for each pair, a cross where it is ranked wrong, all with a rim so that none is lost on the page."""
    for name, symbol, colour, kept in (
        ("no margin yet", "circle-open", "gray", np.isnan(margins)),
        ("ranked right", "circle", RIGHT, margins >= 0),
        ("ranked wrong", "x", WRONG, margins < 0),
    ):
        if not kept.any():
            continue
        # The points are coloured by margin, which a legend cannot show: it has an entry of its own.
        sign = {"symbol": symbol, "color": colour, "size": 9}
        figure.add_scattergl(x=[None], y=[None], mode="markers", name=name, marker=sign)
        marker: dict[str, Any] = {
            "symbol": symbol,
            "size": size,
            "line": {"width": 0.5, "color": RIM[theme()]},
            "opacity": 0.9,
        }
        is_unknown = np.isnan(margins[kept]).all()
        marker |= {"color": colour} if is_unknown else {"color": margins[kept], "coloraxis": "coloraxis"}
        figure.add_scattergl(x=x[kept], y=y[kept], mode="markers", showlegend=False, marker=marker, hovertemplate=hover)


def size_for(points: int) -> int:
    """The diameter of the points where so many are drawn, in pixels."""
    return 4 if points > MOST_LARGE else 6
