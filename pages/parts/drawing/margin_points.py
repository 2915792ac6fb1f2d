"""Pairs as points coloured by their margin: the same scale, symbols and legend wherever they stand."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from mars_engine.core.records import Float32Array, FloatArray
from mars_engine.stats.metrics import TIE
from pages.parts.drawing import charts
from pages.parts.drawing.colours import GROUND, INK, LABEL_GROUND, MARGIN_SCALE, RIGHT, RIM, TIED, WRONG
from pages.parts.frame.page import presenting

AnyFloats = Float32Array | FloatArray

MOST_LARGE = 5_000
"""Beyond so many points they are drawn smaller."""


@dataclass(frozen=True, slots=True)
class Band:
    """Points that are alike, by their symbol as well as by colour: their name and sign in the legend."""

    name: str
    symbol: str
    colour: str


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
    return scale(-reach, reach, title="margin<br>(reward<br>units)", bar=bar)


def scale(low: float, high: float, *, title: str, bar: bool) -> dict[str, Any]:
    """The scale from wrong to right as plotly's `coloraxis`, with the colours of margins."""
    return {
        "colorscale": MARGIN_SCALE,
        "cmin": low,
        "cmax": high,
        "cmid": (low + high) / 2,
        "showscale": bar,
        "colorbar": {
            "title": {"text": title, "side": "top"},
            "thickness": 10,
            "len": 0.6,
            "outlinewidth": 0,
        },
    }


def add_points(
    figure: go.Figure, x: Float32Array, y: Float32Array, margins: Float32Array, *, size: float, hover: str
) -> None:
    """Add a point for each pair: a cross where it is ranked wrong, a diamond for a tie; all have a rim."""
    for band, kept in (
        (Band("no margin yet", "circle-open", "gray"), np.isnan(margins)),
        (Band("ranked right", "circle", RIGHT), margins > TIE),
        (Band("ranked wrong", "x", WRONG), margins < -TIE),
        (Band("a tie", "diamond", TIED), np.abs(margins) <= TIE),
    ):
        add_band(figure, band, x[kept], y[kept], margins[kept], size=size, hover=hover)


def add_band(
    figure: go.Figure,
    band: Band,
    x: AnyFloats,
    y: AnyFloats,
    values: AnyFloats,
    *,
    size: float,
    hover: str,
    **more: Any,
) -> None:
    """Add the points of a band, if it has any, coloured by their values on the figure's scale."""
    if not len(values):
        return
    # The points are coloured by value, which a legend cannot show: it has an entry of its own.
    sign = {"symbol": band.symbol, "color": band.colour, "size": 9}
    figure.add_scattergl(x=[None], y=[None], mode="markers", name=band.name, marker=sign)
    marker: dict[str, Any] = {
        "symbol": band.symbol,
        "size": size,
        "line": {"width": 0.5, "color": RIM[theme()]},
        "opacity": 0.9,
    }
    is_unknown = np.isnan(values).all()
    marker |= {"color": band.colour} if is_unknown else {"color": values, "coloraxis": "coloraxis"}
    figure.add_scattergl(x=x, y=y, mode="markers", showlegend=False, marker=marker, hovertemplate=hover, **more)


def label_size() -> int:
    return charts.PRESENTED_SIZE - 2 if presenting() else 11


def label(x: float, y: float, text: str, **where: Any) -> dict[str, Any]:
    """A label over points, in the page's own text colour: plotly's is too pale to be read there."""
    return {
        "x": x,
        "y": y,
        "text": text,
        "showarrow": False,
        "font": {"size": label_size(), "color": ink()},
        "bgcolor": LABEL_GROUND[theme()],
        "borderpad": 3,
        **where,
    }


def size_for(points: int) -> int:
    """The diameter of the points where so many are drawn, in pixels."""
    return 4 if points > MOST_LARGE else 6
