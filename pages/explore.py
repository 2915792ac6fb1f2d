"""Explore: margins, map, plane and table of all pairs, linked; a brush in one selects in all."""

from typing import get_args

import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.core.records import Float32Array, MapKind
from mars_engine.explore.explorer import Scene
from mars_engine.explore.figures import Cloud, Quadrants, draw_cloud, margin_histogram, quadrants
from mars_engine.explore.shades import Shade, margin_shade
from mars_engine.explore.view import COLOURS, Box, Region, View, drawn_box
from mars_engine.reward_models.model_labels import with_distinct_labels
from mars_engine.service.desk import Desk
from pages.parts.explore.actions import draw_actions
from pages.parts.explore.figures import is_cut, show_histogram, show_map, show_plane
from pages.parts.explore.filters import draw_filters, draw_restrictions
from pages.parts.explore.panel import draw_panel, pair_beside
from pages.parts.explore.state import change, changing, current_view, hear_clicks
from pages.parts.explore.table import draw_table
from pages.parts.frame.page import empty_state, page, presenting, show_error
from pages.parts.frame.words import explain
from pages.parts.train.run_panel import watch

MOST_NAMED = 3_000
"""Points that have their question with them: about 100 bytes each, in each figure."""
COLOUR_NAMES = {
    "margin": "margin",
    "out_of_fold": "out-of-fold margin",
    "label": "state of the label",
    "subset": "subset",
    "dataset": "dataset",
    "round": "newest round",
}
MAP_NAMES = {
    "difference": "the answers' difference",
    "prompt": "the prompt",
    "chosen": "the chosen answer",
    "rejected": "the rejected answer",
}


def draw(desk: Desk) -> None:
    read = current_view()
    scene = desk.explorer.look(read.view)
    if not len(scene.index):
        empty_state(
            "There are no pairs yet.",
            to_do="Import some, or begin with the demo pairs.",
            page_path="pages/data.py",
            link="Import pairs",
        )
        return
    with st.container():  # there even without a problem, so that the filters below it stay the same element
        for problem in (*read.problems, *scene.problems):
            st.text(f"⚠ {problem}")
    if not presenting():
        draw_filters(desk, scene)
    with st.container(horizontal=True, vertical_alignment="center", key="explore-head"):
        st.subheader(f"{scene.count:,} of {len(scene.index):,} pairs selected", anchor=False, width="content")
        if not presenting():
            draw_restrictions(scene.view)
    if not presenting():
        draw_actions(desk, scene)
    beside, before = pair_beside(scene), margins_before(desk, scene)
    draw_figures(desk, scene, beside, before)
    draw_histogram(scene)
    draw_table(desk, scene)


def draw_figures(desk: Desk, scene: Scene, beside: str, before: Float32Array | None) -> None:
    """Draw the page Explore: beside the map the pair that is open, else the map under another model, else the plane."""
    shade = desk.explorer.shade(scene)
    if not presenting():
        draw_controls(desk, scene)
        hear_clicks(scene.index.ids)
    with st.container(key="explore-figures"):
        left, right = st.columns((3, 2) if beside else 2)
    with left:
        draw_map(desk, scene, shade)
        if beside and before is not None:
            draw_map_before(desk, scene, before)
    with right:
        if beside:
            draw_panel(desk, scene, beside)
        elif before is not None:
            draw_map_before(desk, scene, before)
        else:
            draw_plane(desk, scene, shade)
    if beside or before is not None:
        draw_plane(desk, scene, shade)
    if not presenting():
        explain("out-of-fold", "suspect", "semantic distance")


def margins_before(desk: Desk, scene: Scene) -> Float32Array | None:
    """Return the margins for the page Explore's second map, under another model; None where it draws none."""
    if not scene.view.against or scene.places is None:
        return None
    return desk.explorer.margins_under(scene.index, scene.view.against)


def questions_of(desk: Desk, scene: Scene, cloud: Cloud) -> list[str]:
    """Return the questions that the page Explore shows at points; none where they are so many that it would be slow."""
    if cloud.is_dense or len(cloud.points) > MOST_NAMED:
        return []
    return desk.explorer.questions(scene.index, cloud.points)


def draw_histogram(scene: Scene) -> None:
    histogram = margin_histogram(scene)
    if histogram is None:
        empty_state(
            "No pair has a margin yet.",
            to_do="Train a reward model, which then scores all pairs.",
            page_path="pages/train.py",
            link="Train",
        )
        return
    model = scene.index.model
    notes = [f"Margins under {model.label}." if model else ""]
    notes += [f"{histogram.unknown:,} pairs have none." if histogram.unknown else ""]
    notes += ["Pale bars are cut off at the top." if is_cut(histogram) else ""]
    st.text(" ".join(note for note in notes if note))
    show_histogram(histogram, scene.view.margin_brush)


def draw_map(desk: Desk, scene: Scene, shade: Shade) -> None:
    is_compared = scene.view.against and scene.index.model is not None
    after = f": after, {scene.index.model.label}" if is_compared and scene.index.model else ""
    st.subheader(f"Semantic map{after}", anchor=False)
    if scene.places is None:
        _offer_map(desk, scene.view.map)
        return
    cloud = draw_cloud(scene.places.x, scene.places.y, scene, zoom=scene.view.map_zoom)
    if cloud is None:
        st.text("No pair lies in this part of the map.")
    else:
        show_map(scene, cloud, shade, questions_of(desk, scene, cloud))
        st.text(_describe(cloud, shade))
    _draw_zoom("map_brush", "map_zoom", scene.view)
    missing = len(scene.index) - scene.places.placed
    if missing and not presenting():
        st.text(f"{missing:,} pairs have no place on this map yet.")
        _draw_map_button(desk, scene.view.map, "Place them")


def draw_map_before(desk: Desk, scene: Scene, margins: Float32Array) -> None:
    """Draw the page Explore's second map, in the colours of the model before, on the same scale."""
    places = scene.places
    assert places is not None  # noqa: S101 (there are margins before only where there is a map)
    label = next((model.label for model in desk.store.models.all() if model.id == scene.view.against), "")
    st.subheader(f"Before, {label}", anchor=False)
    cloud = draw_cloud(places.x, places.y, scene, zoom=scene.view.map_zoom)
    if cloud is None:
        st.text("No pair lies in this part of the map.")
        return
    shade = margin_shade(scene.index, margins)
    right, wrong = (int((side[scene.selected]).sum()) for side in (margins > 0, margins < 0))
    now = scene.index.margin[scene.selected]
    st.text(
        f"Of those selected {wrong:,} were ranked wrong and {right:,} right; after, "
        f"{int((now < 0).sum()):,} wrong and {int((now > 0).sum()):,} right."
    )
    show_map(scene, cloud, shade, questions_of(desk, scene, cloud), name="map before")


def draw_controls(desk: Desk, scene: Scene) -> None:
    """Ask on the page Explore what the map is of, what colours its points, and which other model stands beside it."""
    newest = scene.index.model
    models = {each.id: each.label for each in with_distinct_labels(desk.store.models.all())}
    models = {key: label for key, label in models.items() if newest and key != newest.id}
    with st.container(horizontal=True, key="explore-controls"):
        st.session_state["explore map kind"] = scene.view.map
        st.segmented_control(
            "Map of",
            get_args(MapKind),
            key="explore map kind",
            format_func=str.capitalize,
            help="What places a pair on the map: how its two answers differ, its prompt, or one of the answers",
            on_change=_choose_map,
        )
        st.session_state["explore colour"] = scene.view.colour
        st.selectbox(
            "Colour by",
            COLOURS,
            key="explore colour",
            format_func=COLOUR_NAMES.__getitem__,
            width=190,
            on_change=lambda: change(colour=st.session_state["explore colour"]),
        )
        if models:
            st.session_state["explore against"] = scene.view.against if scene.view.against in models else ""
            st.selectbox(
                "Beside it, the map before",
                ["", *models],
                key="explore against",
                format_func=lambda key: models[key] if key else "none",
                width=220,
                help="Draws the map a second time, in the colours of another model's margins",
                on_change=lambda: change(against=st.session_state["explore against"]),
            )


def _choose_map() -> None:
    kind = st.session_state["explore map kind"]
    if kind:
        change(map=kind, map_brush=None, map_zoom=None)


def _offer_map(desk: Desk, kind: MapKind) -> None:
    with st.container(border=True):
        st.text(f"There is no map of {MAP_NAMES[kind]} yet.")
        if not presenting():
            st.text(f"It is computed once, by a job in the background, or by: mars map --of {kind}")
            _draw_map_button(desk, kind, "Make the map")


def _draw_map_button(desk: Desk, kind: MapKind, label: str) -> None:
    running = desk.running_job()
    if running is not None and running.kind == "map":
        watch(desk, running)
        return
    if not st.button(label, key=f"make map {kind}", icon=":material/map:"):
        return
    try:
        desk.start_job("map", "--of", kind)
    except MarsError as error:
        show_error(error)
        return
    st.rerun()


def draw_plane(desk: Desk, scene: Scene, shade: Shade) -> None:
    st.subheader("Margin and semantic distance", anchor=False)
    index, view = scene.index, scene.view
    cloud = draw_cloud(index.margin, index.distance, scene, zoom=view.plane_zoom)
    if cloud is None:
        st.text("Here stand the pairs by margin and by how far their answers are apart, once both are known.")
        _draw_zoom("plane_brush", "plane_zoom", view)
        return
    parted = quadrants(scene, allocation=desk.config.allocation, gate=desk.config.gate)
    show_plane(scene, cloud, parted, shade, questions_of(desk, scene, cloud))
    if parted is not None and not presenting():
        st.session_state["explore quadrant"] = None
        st.segmented_control(
            "Select a quadrant",
            [quarter.name for quarter in parted.quarters],
            key="explore quadrant",
            wrap=True,
            on_change=lambda: _choose_quadrant(parted, draw_cloud(index.margin, index.distance, scene)),
        )
    st.text(_describe(cloud, shade))
    if parted is not None and parted.flipped:
        st.text(
            f"Pairs whose label was flipped ({parted.flipped:,}) stand here at their margins as imported; a plan, like "
            "Overview, turns these."
        )
    _draw_zoom("plane_brush", "plane_zoom", view)


def _choose_quadrant(parted: Quadrants, whole: Cloud | None) -> None:
    name = st.session_state["explore quadrant"]
    if name and whole is not None:
        change(plane_brush=parted.box(name, whole.window))


def _describe(cloud: Cloud, shade: Shade) -> str:
    signs = "A cross: ranked wrong; a diamond: a tie."
    if shade.title.startswith("out-of-fold"):
        signs = "A cross: ranked wrong out of fold; a ring: no such margin."
    if not cloud.is_dense:
        signs = signs if shade.groups is None else f"Colour and shape: {shade.title}."
        return f"{cloud.inside:,} pairs, each a point: click to read one. Pale: not selected. {signs}"
    coloured = "" if shade.groups is None else f" Colour: {shade.title}, the largest group {shade.names[0]}."
    return (
        f"{cloud.inside:,} pairs as a density: the darker, the more; green where they are selected. On top, "
        f"{len(cloud.points):,} selected pairs, most with the lowest margins. {signs}{coloured}"
    )


def _draw_zoom(brush: str, zoom: str, view: View) -> None:
    region, zoomed = getattr(view, brush), getattr(view, zoom)
    if presenting():
        return
    with st.container(horizontal=True):
        st.button(
            "Zoom to the brush",
            key=f"zoom {brush}",
            icon=":material/zoom_in:",
            disabled=region is None,
            on_click=changing(**{zoom: _box_around(region) if region else None}),
        )
        st.button(
            "Zoom out",
            key=f"out {brush}",
            icon=":material/zoom_out:",
            disabled=zoomed is None,
            on_click=changing(**{zoom: None}),
        )


def _box_around(region: Region) -> Box:
    if isinstance(region, Box):
        return region
    xs, ys = zip(*region.corners, strict=True)
    return drawn_box(xs, ys)


with page("Explore", purpose="Where the reward model is unsure: brush any figure, and the others follow.") as opened:
    draw(opened)
