"""Colours, the same everywhere. They tell apart for the colour-blind, and never carry a meaning alone.

Lines and bars of several models have theirs from the engine, whose report shows the same: `SERIES` and `DASHES`.
"""

from mars_engine.evaluate.series import DASHES, RIGHT, SERIES, WRONG

__all__ = ["AXIS_INK", "DASHES", "GROUND", "INK", "MARGIN_SCALE", "PALE", "RIGHT", "RIM", "SERIES", "TIED", "WRONG"]

TIED = "#8c8c8c"
"""The middle of that scale: neither."""

MARGIN_SCALE = (
    (0.0, WRONG),
    (0.3, "#d07a1e"),
    (0.47, "#a88555"),
    (0.5, "#8c8c8c"),
    (0.53, "#7090ae"),
    (0.7, "#3f82c4"),
    (1.0, RIGHT),
)
"""For plotly's `colorscale`, with `cmid=0`. Its middle is a grey as dark as its ends are, for margins near 0 matter
most: every colour stands out on the light ground and on the dark one."""

PALE = "rgba(128, 128, 128, 0.25)"
"""Points and bars outside the selection: context."""

RIM = {"light": "rgba(31, 36, 51, 0.5)", "dark": "rgba(240, 242, 246, 0.5)"}
"""Round points, by theme: what parts one from those behind it."""

INK = {"light": "#1f2433", "dark": "#f0f2f6"}
GROUND = {"light": "#ffffff", "dark": "#12171e"}
"""Of text over a figure, and of the page behind it, by theme."""

AXIS_INK = {"light": "#434b5a", "dark": "#c6ced8"}
"""Of a figure's axes, legend and scale, by theme."""

LABEL_GROUND = {"light": "rgba(255, 255, 255, 0.6)", "dark": "rgba(18, 23, 30, 0.6)"}
"""Behind a label over points, by theme: they shine through, and the words stay readable."""

NAME_GROUND = {"light": "rgba(255, 255, 255, 0.85)", "dark": "rgba(18, 23, 30, 0.85)"}
"""Behind the names of clusters, which stand where their points are densest."""
