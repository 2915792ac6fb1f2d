"""Outlines of the clusters of a map."""

import numpy as np

from mars_engine.core.records import Float32Array, FloatArray


def outline(x: Float32Array | FloatArray, y: Float32Array | FloatArray, *, share: float = 0.9) -> FloatArray:
    """Return the corners of the convex hull of most of the points, shape (m, 2); none where they span no area.

    Args:
        x, y: coordinates of n points.
        share: of the points that are enclosed: those nearest to the middle, so that a stray one does not widen it.
    """
    from scipy.spatial import ConvexHull, QhullError  # it takes a while to load, and most of what is here needs it not

    points = np.column_stack([x, y]).astype(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 3:
        return np.empty((0, 2))
    distances = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    near = points[distances <= np.quantile(distances, share)]
    try:
        hull: FloatArray = near[ConvexHull(near).vertices]
    except (QhullError, ValueError):  # fewer than three points, or all on one line
        return np.empty((0, 2))
    return hull
