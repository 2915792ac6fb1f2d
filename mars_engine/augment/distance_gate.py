"""The second layer: does a pair's semantic distance call for sharper contrast before it is paraphrased?"""

from typing import Literal

import numpy as np

from mars_engine.core.records import BoolArray, FloatArray

EQUAL_DISTANCES = 1e-12
"""Distances this near are equal: the mean of equal numbers may round to just above them."""


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
