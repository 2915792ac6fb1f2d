"""Plane geometry of many points at once: which lie in a box or in a polygon, and polygons with fewer corners."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mars_engine.core.records import BoolArray, FloatArray

Coordinates = NDArray[np.floating[Any]]


def inside_interval(values: Coordinates, low: float, high: float) -> BoolArray:
    """Return which values lie in [low, high]; NaN lies nowhere."""
    return (values >= low) & (values <= high)


def inside_polygon(x: Coordinates, y: Coordinates, corners: FloatArray) -> BoolArray:
    """Return which points lie inside a polygon, by the even-odd rule: where it crosses itself twice is outside.

    A point on the rim may count as inside or outside. NaN lies nowhere; fewer than three corners enclose nothing.

    Args:
        x, y: coordinates of n points.
        corners: shape (m, 2); the last corner is joined to the first.
    """
    inside = np.zeros(len(x), dtype=bool)
    if len(corners) < 3:
        return inside
    (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(inside_interval(x, left, right) & inside_interval(y, bottom, top))
    # Sorted by height, each edge concerns one run of the points: those level with it.
    near = near[np.argsort(y[near])]
    heights, across = y[near].astype(np.float64), x[near].astype(np.float64)
    crossings = np.zeros(len(near), dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        # Half open, so that an edge's upper end belongs to the next edge and a corner is not counted twice.
        first, last = np.searchsorted(heights, (min(y1, y2), max(y1, y2)), side="left")
        level = slice(first, last)
        at = x1 + (heights[level] - y1) * ((x2 - x1) / (y2 - y1))
        crossings[level] ^= across[level] < at
    inside[near] = crossings
    return inside


def simplify_polygon(corners: FloatArray, most: int) -> FloatArray:
    """Return the polygon with at most `most` corners (at least 3), in their order: those that shape it most.

    One after another, the corner goes whose triangle with its neighbours is smallest (Visvalingam and Whyatt 1993).
    """
    kept = np.asarray(corners, dtype=np.float64)
    while len(kept) > max(most, 3):
        before, after = np.roll(kept, 1, axis=0), np.roll(kept, -1, axis=0)
        (ax, ay), (bx, by) = (kept - before).T, (after - before).T
        kept = np.delete(kept, np.argmin(np.abs(ax * by - ay * bx)), axis=0)
    return kept
