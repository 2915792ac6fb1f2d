"""Colours of figures by the theme that the reader sees, and labels over points."""

from typing import Any

import streamlit as st

from mars_engine.explore.colours import GROUND, INK, LABEL_GROUND
from mars_engine.explore.plots import Theme
from pages.parts.drawing import charts
from pages.parts.frame.page import presenting


def theme() -> Theme:
    """The theme that the reader sees: light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def ink() -> str:
    """The page's text colour, for labels over points: plotly's own is too pale there."""
    return INK[theme()]


def ground() -> str:
    """The colour of the page behind a figure."""
    return GROUND[theme()]


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
