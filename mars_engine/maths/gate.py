"""The second layer: does a pair's semantic distance call for sharper contrast before it is paraphrased?"""

from typing import Literal

import numpy as np

from mars_engine.words.records import BoolArray, Float32Array, FloatArray

EQUAL_DISTANCES = 1e-12
"""Distances this near are equal: the mean of equal numbers may round to just above them."""


def semantic_distance(chosen: Float32Array, rejected: Float32Array) -> FloatArray:
    """Return 1 − cos of the responses' embeddings, row by row: 0 (same direction) to 2 (opposite).

    Args:
        chosen: unit-length rows, shape (n, d).
        rejected: unit-length rows, shape (n, d).
    """
    cosine: FloatArray = np.einsum("nd,nd->n", chosen.astype(np.float64), rejected.astype(np.float64))
    return np.clip(1.0 - cosine, 0.0, 2.0)  # rows are of unit length to seven digits only


def gate_threshold(
    distances: FloatArray, rule: Literal["mean", "quantile", "fixed"], *, quantile: float, fixed: float
) -> float:
    """Return the distance from which on a pair passes the gate; `fixed` also where there are no distances."""
    if rule == "fixed" or len(distances) == 0:
        return fixed
    return float(distances.mean()) if rule == "mean" else float(np.quantile(distances, quantile))


def is_high(distances: FloatArray, threshold: float) -> BoolArray:
    """Return which pairs pass the gate (high): their answers are at least `threshold` apart."""
    return distances >= threshold - EQUAL_DISTANCES
