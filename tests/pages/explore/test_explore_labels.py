"""The names on the map of Explore: none over another on any screen, each near its cluster."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from app_workspaces import make_workspace
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.records import MapCluster
from mars_engine.explore.explorer import Places
from mars_engine.explore.figures import draw_cloud
from mars_engine.explore.view import Box, Interval, View
from mars_engine.service.desk import open_desk
from pages.parts.drawing import charts
from pages.parts.explore import figures as explore_figures
from pages.parts.explore.labels import LETTER, LINE, NARROW, PlacedName, place_names

WINDOW = Box(Interval(0, 1), Interval(0, 1))
HEIGHT, SIZE = 416, 11
SHARES = st.floats(-0.1, 1.1)
CLUSTERS = st.lists(
    st.builds(
        MapCluster,
        number=st.integers(0, 20),
        x=SHARES,
        y=SHARES,
        size=st.integers(1, 500),
        words=st.lists(st.text("abcdefg", min_size=3, max_size=12), max_size=6).map(tuple),
    ),
    max_size=20,
)


def box_of(name: PlacedName, across: float) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a name's letters on a map so many pixels wide."""
    width, height = LETTER * SIZE * len(name.text), LINE * SIZE
    left = name.cluster.x * across - {"left": 0, "center": 0.5, "right": 1}[name.xanchor] * width
    bottom = name.cluster.y * HEIGHT + name.yshift - height / 2
    return left, left + width, bottom, bottom + height


@given(CLUSTERS, st.sampled_from([NARROW, 400, 900]))
def test_no_name_stands_over_another_on_any_screen(clusters, across):
    boxes = [box_of(name, across) for name in place_names(clusters, WINDOW, height=HEIGHT, type_size=SIZE)]
    for (left, right, bottom, top), (other_left, other_right, other_bottom, other_top) in combinations(boxes, 2):
        assert right <= other_left or other_right <= left or top <= other_bottom or other_top <= bottom


@given(CLUSTERS)
def test_names_are_of_clusters_in_the_window_and_stand_in_it(clusters):
    for name in place_names(clusters, WINDOW, height=HEIGHT, type_size=SIZE):
        assert 0 <= name.cluster.x <= 1
        assert 0 <= name.cluster.y <= 1
        assert name.text == ", ".join(name.cluster.words[:3])
        _, _, bottom, top = box_of(name, NARROW)
        assert bottom >= 0
        assert top <= HEIGHT


def test_a_name_alone_stands_at_its_middle_and_of_two_the_larger_does():
    small = MapCluster(0, 0.5, 0.5, 10, ("tap", "water"))
    large = MapCluster(1, 0.52, 0.51, 90, ("python", "list"))
    (alone,) = place_names([small], WINDOW, height=HEIGHT, type_size=SIZE)
    assert (alone.xanchor, alone.yshift) == ("center", 0)
    first, second = place_names([small, large], WINDOW, height=HEIGHT, type_size=SIZE)
    assert (first.cluster, first.yshift) == (large, 0)
    assert second.cluster == small
    assert second.yshift != 0


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return open_desk(make_workspace(tmp_path_factory.mktemp("labels") / "complete", "complete")).explorer.look(View())


def test_the_scale_of_colours_says_its_unit_and_names_have_a_ground(scene, monkeypatch):
    sent = {}
    monkeypatch.setattr(charts, "draw", lambda figure, *, key, **_: sent.update({key: figure}))
    x, y = np.random.default_rng(0).random((2, len(scene.index))).astype(np.float32)
    clusters = tuple(MapCluster(number, 0.5, 0.5, 9, ("<b>tap</b>", "water")) for number in range(3))
    mapped = replace(scene, places=Places("prompt", x, y, np.zeros(len(x), dtype=np.int16), clusters))
    explore_figures.show_map(mapped, draw_cloud(x, y, mapped))
    layout = sent["explore map"].layout
    assert "reward<br>units" in layout.coloraxis.colorbar.title.text
    assert [label.text for label in layout.annotations] == ["&lt;b&gt;tap&lt;/b&gt;, water"] * 3
    assert len({label.yshift for label in layout.annotations}) == 3
    assert all(float(label.bgcolor.rstrip(")").rpartition(",")[2]) > 0.8 for label in layout.annotations)
