"""Groups of points in Explore's figures: each has a colour and a symbol of its own, and its name in the legend."""

from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from numpy.typing import NDArray

from mars_engine.core.records import Float32Array, IntArray
from mars_engine.explore.colours import RIM, SERIES, TIED
from mars_engine.explore.plotly_figures import Theme
from mars_engine.explore.shades import OTHERS

GROUP_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
"""A group's beside its colour, since no colour carries a meaning alone."""


def add_groups(
    figure: go.Figure,
    x: Float32Array,
    y: Float32Array,
    groups: IntArray,
    names: Sequence[str],
    *,
    size: float,
    hover: str,
    theme: Theme,
    **columns: NDArray[Any],
) -> None:
    """Add a point for each pair in the colour and with the symbol of its group; the legend names the groups."""
    for group, name in enumerate(names):
        kept = groups == group
        if not kept.any():
            continue
        marker = {
            "symbol": GROUP_SYMBOLS[group % len(GROUP_SYMBOLS)],
            "color": group_colour(group, names),
            "size": size,
            "line": {"width": 0.5, "color": RIM[theme]},
            "opacity": 0.9,
        }
        own = {key: column[kept] for key, column in columns.items()}
        figure.add_scattergl(
            x=x[kept], y=y[kept], mode="markers", name=escape(name), marker=marker, hovertemplate=hover, **own
        )


def group_colour(group: int, names: Sequence[str]) -> str:
    """Return the colour of a group; what was put together is grey."""
    return TIED if names[group] == OTHERS else SERIES[group % len(SERIES)]
