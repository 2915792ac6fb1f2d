"""The plane of score margin and semantic distance: where a plan's two layers part it, into four quadrants."""

from dataclasses import dataclass

import numpy as np

from mars_engine.augment.allocation import hard_below
from mars_engine.augment.distance_gate import gate_threshold, is_high
from mars_engine.core.config import AllocationConfig, GateConfig
from mars_engine.core.records import Float32Array
from mars_engine.data.pair_index import SPLIT_CODES, PairIndex

_ADVICE = (
    ("hard and close", "refine first", True, True),
    ("hard and apart", "paraphrase", True, False),
    ("easy and close", "little budget", False, True),
    ("easy and apart", "little budget", False, False),
)
"""Of each quadrant: its name, what the method does with its pairs, whether they are hard and whether close."""


@dataclass(frozen=True, slots=True)
class Quadrant:
    """A quarter of the plane: what its pairs are like, what the method does with them, and how many are in it."""

    name: str
    advice: str
    is_hard: bool
    is_close: bool
    pairs: int


@dataclass(frozen=True, slots=True)
class PlaneBorders:
    """The two values that part the plane of margin and distance."""

    hard_below: float
    """Margin below which a pair gets more than an equal share of the budget under the signed law, in reward units."""
    close_below: float
    """Semantic distance below which the distance gate has a pair refined first."""

    def quadrants(self, margins: Float32Array, distances: Float32Array) -> tuple[Quadrant, ...]:
        """Return the four quadrants with how many of n pairs are in each: hard ones first, of each the close first.

        A pair whose margin or distance is NaN is in none.

        Args:
            margins: in reward units, shape (n,).
            distances: semantic distances, shape (n,).
        """
        known = ~np.isnan(margins) & ~np.isnan(distances)
        hard, close = margins < self.hard_below, ~is_high(distances.astype(np.float64), self.close_below)
        return tuple(
            Quadrant(name, advice, is_hard, is_close, int((known & (hard == is_hard) & (close == is_close)).sum()))
            for name, advice, is_hard, is_close in _ADVICE
        )


def part_plane(index: PairIndex, *, allocation: AllocationConfig, gate: GateConfig) -> PlaneBorders | None:
    """Return where the plane is parted, by the training pairs with the labels that hold now.

    As in a plan, margins of flipped pairs are turned; dropped pairs are left out. None where no pair has a margin and a
    distance.
    """
    margins = index.by_present_labels(index.margin).astype(np.float64)
    distances = index.distance.astype(np.float64)
    known = (index.split == SPLIT_CODES.index("train")) & ~np.isnan(margins) & ~np.isnan(distances)
    if not known.any():
        return None
    return PlaneBorders(
        hard_below(margins[known], scale=allocation.scale, tau=allocation.tau),
        gate_threshold(distances[known], gate.rule, quantile=gate.quantile, fixed=gate.threshold),
    )
