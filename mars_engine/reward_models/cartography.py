"""Dataset cartography: what the margins after each epoch of a training say of a pair.

Swayamdipta et al. 2020 (arXiv 2009.10795) map a training set by mean confidence and variability of the gold label over
the epochs, and correctness; Toneva et al. 2019 (arXiv 1812.05159) count how often an example is forgotten. For a pair
the confidence is σ(Δ), the probability that the Bradley–Terry model gives to the label.
"""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import BoolArray, FloatArray, IntArray
from mars_engine.stats.metrics import correctness, sigmoid


@dataclass(frozen=True, slots=True, eq=False)
class Cartography:
    """Where n pairs lie on the map of a training; each shape (n,)."""

    confidence: FloatArray
    """Mean of σ(Δ) over the epochs: low ones are hard to learn, and often mislabelled."""
    variability: FloatArray
    """Standard deviation of σ(Δ) over the epochs: high ones are ambiguous."""
    correctness: FloatArray
    """Share of the epochs after which the pair was ranked right; a tie counts 0.5."""
    forgotten: IntArray
    """How often a pair was ranked right after an epoch and not after the next."""
    never_learned: BoolArray
    """Whether it was ranked right after no epoch."""


def map_training(margins: FloatArray) -> Cartography:
    """Return the map of a training.

    Args:
        margins: Δ after each epoch, shape (n, epochs), at least one epoch.

    Raises:
        ValueError: there is no epoch.
    """
    if margins.ndim != 2 or margins.shape[1] == 0:
        raise ValueError(f"margins have the shape {margins.shape}, which should be (pairs, epochs)")
    confidence = sigmoid(margins)
    right = correctness(margins)
    is_right: BoolArray = right == 1.0
    return Cartography(
        confidence=confidence.mean(axis=1),
        variability=confidence.std(axis=1),
        correctness=right.mean(axis=1),
        forgotten=(is_right[:, :-1] & ~is_right[:, 1:]).sum(axis=1).astype(np.int64),
        never_learned=np.logical_not(is_right.any(axis=1)),
    )
