"""What the reader sees a page in: light or dark, and the colours and sizes of type that go with it."""

import streamlit as st

from mars_engine.explore.colours import AXIS_INK, GROUND, INK
from mars_engine.explore.plotly_figures import Theme

PRESENTED_SIZE = 17
"""Of a figure's type where the app is shown to an audience."""


def theme() -> Theme:
    """The theme that the reader sees: light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def ink() -> str:
    """The page's text colour, for labels over points: plotly's own is too pale there."""
    return INK[theme()]


def axis_ink() -> str:
    """The colour of a figure's axes, legend and scale: quieter than the page's text, and never pale."""
    return AXIS_INK[theme()]


def ground() -> str:
    """The colour of the page behind a figure."""
    return GROUND[theme()]
