"""Names beside points of a figure never stand on each other."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.parts.results.experiments import moved_apart


@pytest.mark.parametrize(
    ("heights", "moved"),
    [
        ([], []),
        ([3.0], [3.0]),
        ([0.0, 40.0], [0.0, 40.0]),
        ([10.0, 10.0, 10.0], [0.0, 10.0, 20.0]),
        ([0.0, 4.0, 50.0], [-3.0, 7.0, 50.0]),
        ([0.0, 8.0, 8.0], [-4.666667, 5.333333, 15.333333]),
    ],
)
def test_names_that_stand_close_are_moved_about_their_middle(heights, moved):
    assert moved_apart(heights, 10) == pytest.approx(moved)


@given(st.lists(st.floats(-300, 300), max_size=30).map(sorted))
def test_names_stand_apart_and_keep_their_order(heights):
    moved = moved_apart(heights, 15)
    assert len(moved) == len(heights)
    assert all(above - below >= 15 - 1e-6 for below, above in pairwise(moved))
    assert sum(moved) == pytest.approx(sum(heights), abs=1e-6)
