"""Length bias: whether composed pairs differ more in length than the pairs they were made of.

A reward model learns length from pairs whose better answers are longer (Singhal et al., "A Long Way to Go:
Investigating Length Correlations in RLHF", 2023), so augmenting should not widen that difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import Pair


@dataclass(frozen=True, slots=True)
class LengthBias:
    """Mean length difference, chosen minus rejected, in characters; NaN where there are no pairs."""

    before: float
    """Of the sources, each as often as there are new pairs of it."""
    after: float
    """Of the new pairs."""
    mean_length: float
    """Of the sources' answers, in characters."""

    @property
    def growth_percent(self) -> float:
        """By how much the difference grew in size, in percent of an answer's mean length; below 0 where it shrank."""
        return 100.0 * (abs(self.after) - abs(self.before)) / self.mean_length if self.mean_length else 0.0


def length_bias(sources: Sequence[Pair], new_pairs: Sequence[Pair]) -> LengthBias:
    """Compare n new pairs with their sources, given in the same order and orientation."""
    if len(sources) != len(new_pairs):
        raise ValueError(f"{len(sources)} sources for {len(new_pairs)} new pairs")
    if not sources:
        return LengthBias(float("nan"), float("nan"), float("nan"))
    lengths = np.array([(len(pair.chosen), len(pair.rejected)) for pair in sources], dtype=np.float64)
    new = np.array([(len(pair.chosen), len(pair.rejected)) for pair in new_pairs], dtype=np.float64)
    difference = [float((each[:, 0] - each[:, 1]).mean()) for each in (lengths, new)]
    return LengthBias(difference[0], difference[1], float(lengths.mean()))
