"""The figures of Explore: margins, map and plane, each with the selection in colour over all pairs as pale context."""

from collections.abc import Sequence
from functools import partial
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mars_engine.core.records import Float32Array, FloatArray
from mars_engine.explore.colours import NAME_GROUND
from mars_engine.explore.explorer import Scene
from mars_engine.explore.figures import Cloud, Histogram, Quadrants
from mars_engine.explore.plotly_figures import (
    DISTANCE_AXIS,
    MARGIN_AXIS,
    add_points,
    colour_axis,
    histogram_figure,
    reach_of,
    size_for,
)
from mars_engine.explore.shades import Shade, margin_shade
from mars_engine.explore.view import Box, Interval, Region
from pages.parts.drawing import charts
from pages.parts.drawing.margin_points import label, label_size
from pages.parts.drawing.theme import ground, ink, theme
from pages.parts.explore.density import density_image
from pages.parts.explore.groups import add_groups
from pages.parts.explore.labels import place_names
from pages.parts.explore.state import brushed
from pages.parts.frame.page import presenting

CONTEXT = "rgba(128, 128, 128, 0.45)"
"""Rings of the pairs that are not selected: thin, so they may be a little darker than bars."""
BRUSH_LINE = {"color": "#009e73", "width": 2, "dash": "dash"}
OUTLINE = {"color": "rgba(128, 128, 128, 0.7)", "width": 1, "dash": "dot"}
OUTLINE_FILL = "rgba(128, 128, 128, 0.07)"
NAME_WIDTH = 44
"""Characters on a line of a point's name."""
CUT_AT = 4.0
"""Where the selection is small, the axis of the counts ends at so many times its highest bar."""

MAP_HEIGHT = charts.HEIGHTS["plane"] - charts.MARGIN_OF_LEGEND - charts.MARGIN
"""Without the margins above and below the map, which has no axes."""


def show_histogram(histogram: Histogram, brush: Interval | None) -> None:
    """Draw the margins; a box drawn on them selects a range."""
    figure = histogram_figure(histogram)
    charts.styled(figure, x=MARGIN_AXIS, y="pairs", height=charts.HEIGHTS["small"])
    figure.update_layout(
        dragmode="select",
        selectdirection="h",
        yaxis={"range": [0, _top(histogram)], "fixedrange": True},
    )
    if brush is not None:
        _outline(figure, Box(brush, Interval(0.0, _top(histogram))))
    _show(figure, "histogram", "margin_brush", ("box",), alt="Histogram of the score margins")


def _top(histogram: Histogram) -> float:
    """The end of the counts' axis: bars of the context are cut off where the selection would be too low to be seen."""
    highest, selected = float(histogram.all.max()), float(histogram.selected.max())
    return 1.05 * (min(highest, CUT_AT * selected) if selected else highest)


def is_cut(histogram: Histogram) -> bool:
    """Whether Explore's pale bars, those of all pairs, are cut off at the top."""
    return _top(histogram) < float(histogram.all.max())


def show_map(
    scene: Scene, cloud: Cloud, shade: Shade | None = None, questions: Sequence[str] = (), *, name: str = "map"
) -> None:
    """Draw the map with its clusters outlined and named; a lasso or box drawn on it selects pairs, a click opens one.

    Args:
        scene: has the map.
        cloud: what is drawn of it.
        shade: what colours the points; the margins where it is None.
        questions: of the cloud's points, to name them by; they are not named where there are none.
        name: of the figure, where several maps are drawn.
    """
    places = scene.places
    assert places is not None  # noqa: S101 (a cloud of the map has places)
    shade = shade or margin_shade(scene.index)
    figure = _cloud_figure(scene, cloud, places.x, places.y, shade, questions, bar=True)
    charts.styled(figure, x="", y="", height=charts.HEIGHTS["plane"])
    bare = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False}
    # All at once: adding them one by one takes plotly ten times as long.
    figure.update_layout(
        xaxis=bare | {"range": [cloud.window.x.low, cloud.window.x.high]},
        yaxis=bare | {"range": [cloud.window.y.low, cloud.window.y.high]},
        dragmode="lasso",
        shapes=[_outline_shape(corners) for corners in places.outlines if len(corners)],
        annotations=[
            label(
                named.cluster.x,
                named.cluster.y,
                escape(named.text),
                xanchor=named.xanchor,
                yshift=named.yshift,
                bgcolor=NAME_GROUND[theme()],
            )
            for named in place_names(places.clusters, cloud.window, height=MAP_HEIGHT, type_size=label_size())
        ],
    )
    if scene.view.map_brush is not None:
        _outline(figure, scene.view.map_brush)
    _show(
        figure,
        name,
        "map_brush",
        ("lasso", "box"),
        alt=f"Semantic map of the pairs by {shade.title}",
    )


def _outline_shape(corners: FloatArray) -> dict[str, Any]:
    """A cluster's outline, below its points."""
    path = "M" + "L".join(f"{x:.5g},{y:.5g}" for x, y in corners.tolist()) + "Z"
    return {"type": "path", "path": path, "layer": "below", "line": OUTLINE, "fillcolor": OUTLINE_FILL}


def show_plane(
    scene: Scene,
    cloud: Cloud,
    parted: Quadrants | None,
    shade: Shade | None = None,
    questions: Sequence[str] = (),
) -> None:
    """Draw margin against distance with the quadrants named; brushed, clicked, coloured and named as the map is."""
    index = scene.index
    shade = shade or margin_shade(index)
    figure = _cloud_figure(scene, cloud, index.margin, index.distance, shade, questions, bar=False)
    charts.styled(figure, x=MARGIN_AXIS, y=DISTANCE_AXIS, height=charts.HEIGHTS["plane"])
    figure.update_layout(
        xaxis={"range": [cloud.window.x.low, cloud.window.x.high]},
        yaxis={"range": [cloud.window.y.low, cloud.window.y.high]},
        dragmode="select",
    )
    if parted is not None:
        _part(figure, parted)
    if scene.view.plane_brush is not None:
        _outline(figure, scene.view.plane_brush)
    _show(
        figure,
        "plane",
        "plane_brush",
        ("lasso", "box"),
        alt="Score margin against semantic distance",
    )


def _part(figure: go.Figure, parted: Quadrants) -> None:
    """Draw where the quadrants part, and name each in its corner."""
    line = {"dash": "dot", "width": 1.5, "color": "gray"}
    margin, distance = parted.borders.hard_below, parted.borders.close_below
    upright = {"x0": margin, "x1": margin, "y0": 0, "y1": 1, "yref": "paper"}
    level = {"y0": distance, "y1": distance, "x0": 0, "x1": 1, "xref": "paper"}
    figure.update_layout(
        shapes=[{"type": "line", "line": line, **ends} for ends in (upright, level)],
        annotations=[
            label(
                0.01 if quarter.is_hard else 0.99,
                0.01 if quarter.is_close else 0.99,
                f"<b>{escape(quarter.name)}</b><br>{escape(quarter.advice)}<br>{quarter.pairs:,} selected",
                xref="paper",
                yref="paper",
                xanchor="left" if quarter.is_hard else "right",
                yanchor="bottom" if quarter.is_close else "top",
                align="left" if quarter.is_hard else "right",
            )
            for quarter in parted.quarters
        ],
    )


# -------------------------------------------------------------------------------------------------------------- clouds


def _cloud_figure(
    scene: Scene,
    cloud: Cloud,
    x: Float32Array,
    y: Float32Array,
    shade: Shade,
    questions: Sequence[str],
    *,
    bar: bool,
) -> go.Figure:
    """A point for each pair, or one picture where they are too many."""
    margins = scene.index.margin  # two maps beside each other have the same scale
    reach = reach_of(margins) if not np.isnan(margins[cloud.points]).all() else 1.0
    figure = go.Figure()
    if cloud.is_dense:
        figure.add_layout_image(density_image(cloud, x, y, shade, reach=reach, ground=ground()))
        _add_hold(figure, cloud.window)
    else:
        _add_points(figure, scene, cloud, x, y, shade, questions)
    figure.update_layout(coloraxis=colour_axis(reach, bar=bar and shade.groups is None, of=shade.title))
    return figure


def _add_hold(figure: go.Figure, window: Box) -> None:
    """Without a point there is nothing that plotly would draw a scale of colours for, or let a person lasso on."""
    marker = {"opacity": 0, "color": [0.0], "coloraxis": "coloraxis"}
    corner = {"x": [window.x.low], "y": [window.y.low]}
    figure.add_scatter(**corner, mode="markers", marker=marker, showlegend=False, hoverinfo="skip")


def _add_points(
    figure: go.Figure,
    scene: Scene,
    cloud: Cloud,
    x: Float32Array,
    y: Float32Array,
    shade: Shade,
    questions: Sequence[str],
) -> None:
    size = size_for(len(cloud.points) + len(cloud.context))
    if len(cloud.context):
        figure.add_scattergl(
            x=x[cloud.context],
            y=y[cloud.context],
            mode="markers",
            name="not selected",
            marker={"color": CONTEXT, "size": size - 2, "symbol": "circle-open"},
            hoverinfo="skip",
        )
    chosen = cloud.points
    columns: dict[str, Any] = {"customdata": chosen.astype(np.int32)}
    if len(questions):
        columns["text"] = np.array(["<br>".join(wrap(escape(each), NAME_WIDTH)) for each in questions], dtype=object)
    hover = _hover(x is scene.index.margin, shade, is_named=bool(len(questions)))
    more: Any = {"size": size, "hover": hover, "theme": theme()} | columns
    if shade.groups is None:
        add_points(figure, x[chosen], y[chosen], shade.values[chosen], **more)
    else:
        add_groups(figure, x[chosen], y[chosen], shade.groups[chosen], shade.names, **more)
    if not len(cloud.points) and not len(cloud.context):
        _add_hold(figure, cloud.window)


def _hover(is_plane: bool, shade: Shade, *, is_named: bool) -> str:
    """What is said of a point under the pointer: its question, where it is named, and its number or group."""
    name = "<b>%{text}</b><br>" if is_named else ""
    if is_plane:
        return f"{name}margin %{{x:.3f}}<br>distance %{{y:.3f}}<extra></extra>"
    if shade.groups is None:
        return f"{name}{shade.title.partition(' (')[0]} %{{marker.color:.3f}}<extra></extra>"
    return f"{name}{shade.title}: %{{fullData.name}}<extra></extra>"


def _outline(figure: go.Figure, region: Region) -> None:
    """Draw a brush that was drawn before, as plotly draws the selections of its own."""
    if isinstance(region, Box):
        ends = {"x0": region.x.low, "x1": region.x.high, "y0": region.y.low, "y1": region.y.high}
        figure.add_selection(type="rect", xref="x", yref="y", line=BRUSH_LINE, **ends)
        return
    path = "M" + "L".join(f"{x},{y}" for x, y in region.corners) + "Z"
    figure.add_selection(type="path", path=path, xref="x", yref="y", line=BRUSH_LINE)


def _show(figure: go.Figure, name: str, field: str, modes: tuple[str, ...], *, alt: str) -> None:
    key = f"explore {name}"
    # Which pairs a brush selects, the server says by their colours; plotly is not to pale the others once more.
    for trace in figure.data:
        trace.unselected = {"marker": {"opacity": trace.marker.opacity if trace.marker.opacity is not None else 1}}
    figure.update_layout(modebar={"bgcolor": "rgba(0,0,0,0)", "color": "gray", "activecolor": ink()})
    if presenting():
        charts.draw(figure, key=key, alt=alt, config={"staticPlot": True})
        return
    charts.draw(
        figure,
        key=key,
        alt=alt,
        on_select=partial(brushed, field, key),
        selection_mode=modes,
        config={
            "scrollZoom": False,
            "doubleClick": False,
            "displayModeBar": len(modes) > 1,
            "modeBarButtons": [["lasso2d", "select2d"]],
        },
    )
