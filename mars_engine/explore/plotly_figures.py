"""Figures of pairs by plotly, for pages and notebooks: the same scale, symbols and legend wherever pairs stand."""

from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import Float32Array, FloatArray
from mars_engine.explore.colours import MARGIN_SCALE, PALE, RIGHT, RIM, TIED, WRONG
from mars_engine.explore.explorer import Scene
from mars_engine.explore.figures import Histogram, draw_cloud, margin_histogram
from mars_engine.stats.metrics import TIE

AnyFloats = Float32Array | FloatArray
Theme = Literal["light", "dark"]

MARGIN_AXIS = "score margin (reward units)"
DISTANCE_AXIS = "semantic distance (1 − cosine)"
MOST_LARGE = 5_000
"""Beyond so many points they are drawn smaller."""


@dataclass(frozen=True, slots=True)
class Band:
    """Points that look alike on pages and in notebooks, by symbol as well as by colour: their name and legend sign."""

    name: str
    symbol: str
    colour: str


def margins_figure(scene: Scene) -> go.Figure:
    """Return a notebook's histogram of a scene's margins, coloured by which pairs are ranked right.

    Raises:
        NotReadyError: no pair has a margin.
    """
    histogram = margin_histogram(scene)
    if histogram is None:
        raise _without_margins()
    figure = histogram_figure(histogram)
    return figure.update_layout(title="Score margins", xaxis={"title": MARGIN_AXIS}, yaxis={"title": "pairs"})


def plane_figure(scene: Scene) -> go.Figure:
    """Return a notebook's figure of pairs by margin and distance; of very many, the lowest margins and a sample.

    Raises:
        NotReadyError: no pair has both.
    """
    figure = _cloud_figure(scene, scene.index.margin, scene.index.distance)
    if figure is None:
        raise _without_margins()
    return figure.update_layout(
        title="Margin against distance", xaxis={"title": MARGIN_AXIS}, yaxis={"title": DISTANCE_AXIS}
    )


def map_figure(scene: Scene) -> go.Figure:
    """Return a notebook's map of a scene's pairs, with the names of the clusters; of very many, a sample.

    Raises:
        NotReadyError: the map was not made yet.
    """
    places = scene.places
    figure = None if places is None else _cloud_figure(scene, places.x, places.y)
    if places is None or figure is None:
        kind = scene.view.map
        raise NotReadyError(f"there is no map of the {kind} yet", remedy=f"run 'mars map --of {kind}' first")
    for cluster in places.clusters:
        words = escape(" ".join(cluster.words[:3]))
        figure.add_annotation(x=cluster.x, y=cluster.y, text=words, showarrow=False, bgcolor="rgba(255,255,255,0.8)")
    bare = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False}
    return figure.update_layout(title=f"Map of the {places.kind}", xaxis=bare, yaxis=bare)


def _without_margins() -> NotReadyError:
    return NotReadyError("no model has scored the pairs yet", remedy="train and score first")


def _cloud_figure(scene: Scene, x: Float32Array, y: Float32Array) -> go.Figure | None:
    cloud = draw_cloud(x, y, scene)
    if cloud is None:
        return None
    margins, some = scene.index.margin, cloud.points
    hover = "%{x:.3f}, %{y:.3f}<br>margin %{marker.color:.3f}<extra></extra>"
    figure = go.Figure()
    size = size_for(len(some))
    add_points(figure, x[some], y[some], margins[some], size=size, hover=hover, theme="light")
    figure.update_layout(
        coloraxis=colour_axis(reach_of(margins), bar=True), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    return figure


def histogram_figure(histogram: Histogram) -> go.Figure:
    """Return bars for pages and notebooks: of all pairs, pale; over them of the selected, ranked wrong and right."""
    centres = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    width = float(histogram.edges[1] - histogram.edges[0])
    figure = go.Figure()
    figure.add_bar(
        x=centres,
        y=histogram.all,
        width=width,
        name="all pairs",
        marker={"color": PALE, "line": {"width": 0}},
        hovertemplate="margin %{x:.3f}<br>%{y:,} pairs in all<extra></extra>",
    )
    for name, colour, pattern, side in (
        ("selected, ranked wrong (below 0)", WRONG, "/", centres < 0),
        ("selected, ranked right or a tie", RIGHT, "", centres >= 0),
    ):
        figure.add_bar(
            x=centres[side],
            y=histogram.selected[side],
            width=width,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}, "line": {"width": 0}},
            hovertemplate="margin %{x:.3f}<br>%{y:,} selected pairs<extra></extra>",
        )
    return figure.update_layout(bargap=0, barmode="overlay")


def reach_of(margins: Float32Array) -> float:
    """Return the margin at which the scale of colours ends, on pages as in notebooks: few are farther from 0."""
    return float(np.nanquantile(np.abs(margins), 0.98)) if not np.isnan(margins).all() else 1.0


def colour_axis(reach: float, *, bar: bool, of: str = "margin (reward units)") -> dict[str, Any]:
    """Return the scale of margins for pages and notebooks, as plotly's `coloraxis`; a word of its title a line."""
    return scale(-reach, reach, title=of.replace(" ", "<br>"), bar=bar)


def scale(low: float, high: float, *, title: str, bar: bool) -> dict[str, Any]:
    """Return a scale from wrong to right for pages and notebooks: plotly's `coloraxis`, in the colours of margins."""
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
    figure: go.Figure,
    x: Float32Array,
    y: Float32Array,
    margins: Float32Array,
    *,
    size: float,
    hover: str,
    theme: Theme,
    **columns: NDArray[Any],
) -> None:
    """Add a point for each pair to a page's or notebook's figure: a cross where ranked wrong, a diamond for a tie.

    All have a rim. `columns` are more that plotly takes of each point, such as its `text`.
    """
    for band, kept in (
        (Band("no margin yet", "circle-open", "gray"), np.isnan(margins)),
        (Band("ranked right", "circle", RIGHT), margins > TIE),
        (Band("ranked wrong", "x", WRONG), margins < -TIE),
        (Band("a tie", "diamond", TIED), np.abs(margins) <= TIE),
    ):
        own = {name: column[kept] for name, column in columns.items()}
        add_band(figure, band, x[kept], y[kept], margins[kept], size=size, hover=hover, theme=theme, **own)


def add_band(
    figure: go.Figure,
    band: Band,
    x: AnyFloats,
    y: AnyFloats,
    values: AnyFloats,
    *,
    size: float,
    hover: str,
    theme: Theme,
    **more: Any,
) -> None:
    """Add a band's points, if any, to a page's or notebook's figure, coloured by their values on its scale."""
    if not len(values):
        return
    # The points are coloured by value, which a legend cannot show: it has an entry of its own.
    sign = {"symbol": band.symbol, "color": band.colour, "size": 9}
    figure.add_scattergl(x=[None], y=[None], mode="markers", name=band.name, marker=sign)
    marker: dict[str, Any] = {
        "symbol": band.symbol,
        "size": size,
        "line": {"width": 0.5, "color": RIM[theme]},
        "opacity": 0.9,
    }
    is_unknown = np.isnan(values).all()
    marker |= {"color": band.colour} if is_unknown else {"color": values, "coloraxis": "coloraxis"}
    figure.add_scattergl(x=x, y=y, mode="markers", showlegend=False, marker=marker, hovertemplate=hover, **more)


def size_for(points: int) -> int:
    """Return the diameter of the points where so many are drawn on a page or in a notebook, in pixels."""
    return 4 if points > MOST_LARGE else 6
