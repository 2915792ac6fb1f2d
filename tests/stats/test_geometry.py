import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mars_engine.stats.geometry import inside_interval, inside_polygon, simplify_polygon

WHOLE = st.integers(-20, 20)
CORNERS = st.lists(st.tuples(WHOLE, WHOLE), min_size=3, max_size=12).map(lambda rows: np.array(rows, dtype=float))
# Off the whole numbers, so that no point lies on a corner, and hardly one on an edge.
POINTS = st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=30).map(
    lambda rows: np.array(rows, dtype=float) + np.array((0.2360679, 0.4142135))
)


def by_rays(x: float, y: float, corners: np.ndarray) -> bool:
    """The textbook's loop, one point at a time."""
    inside, previous = False, corners[-1]
    for corner in corners:
        (x1, y1), (x2, y2) = previous, corner
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
        previous = corner
    return inside


def area(corners: np.ndarray) -> float:
    x, y = corners.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


@given(POINTS, CORNERS)
def test_each_point_is_where_the_textbook_says(points, corners):
    found = inside_polygon(points[:, 0], points[:, 1], corners)
    assert found.tolist() == [by_rays(x, y, corners) for x, y in points]


@given(POINTS, CORNERS, st.integers(0, 11))
def test_where_a_polygon_begins_and_which_way_it_runs_does_not_matter(points, corners, turn):
    x, y = points.T
    found = inside_polygon(x, y, corners)
    assert np.array_equal(found, inside_polygon(x, y, np.roll(corners, turn, axis=0)))
    assert np.array_equal(found, inside_polygon(x, y, corners[::-1]))


@given(POINTS, st.tuples(WHOLE, WHOLE), st.tuples(WHOLE, WHOLE))
def test_a_rectangle_holds_what_both_intervals_hold(points, one, other):
    (left, right), (bottom, top) = sorted((one[0], other[0])), sorted((one[1], other[1]))
    box = np.array([(left, bottom), (right, bottom), (right, top), (left, top)], dtype=float)
    x, y = points.T
    expected = inside_interval(x, left, right) & inside_interval(y, bottom, top)
    assert np.array_equal(inside_polygon(x, y, box), expected)


def test_a_hole_made_by_crossing_lines_is_outside():
    star = np.array([(0, 10), (6, -8), (-9.5, 3), (9.5, 3), (-6, -8)])
    assert inside_polygon(np.array([0.0, 0.0]), np.array([0.0, 7.0]), star).tolist() == [False, True]


def test_points_without_a_place_and_polygons_without_area_hold_nothing():
    nan = np.array([np.nan, 1.0, 1.0])
    square = np.array([(0, 0), (2, 0), (2, 2), (0, 2)], dtype=float)
    assert inside_polygon(nan, np.array([1.0, np.nan, 1.0]), square).tolist() == [False, False, True]
    for few in (square[:0], square[:1], square[:2]):
        assert not inside_polygon(nan, nan, few).any()
    assert not inside_interval(np.array([np.nan]), -np.inf, np.inf).any()


def test_single_precision_points_are_compared_in_double_precision():
    x = np.array([0.1], dtype=np.float32)
    square = np.array([(0.0, 0.0), (float(x[0]) - 1e-12, 0.0), (float(x[0]) - 1e-12, 1.0), (0.0, 1.0)])
    assert not inside_polygon(x, np.array([0.5], dtype=np.float32), square).any()


@settings(max_examples=40)
@given(CORNERS, st.integers(3, 12))
def test_a_simpler_polygon_has_corners_of_the_first_in_its_order(corners, most):
    simple = simplify_polygon(corners, most)
    assert len(simple) == min(len(corners), most)
    remaining = iter(corners.tolist())
    assert all(corner in remaining for corner in simple.tolist())


@pytest.mark.parametrize("most", [24, 48, 100])
def test_a_drawn_outline_keeps_its_area(most):
    rng = np.random.default_rng(0)
    turns = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius = 3 + 0.4 * np.sin(3 * turns) + rng.normal(0, 0.005, 400)
    outline = np.column_stack([radius * np.cos(turns), radius * np.sin(turns)])
    assert area(simplify_polygon(outline, most)) == pytest.approx(area(outline), rel=0.02)
