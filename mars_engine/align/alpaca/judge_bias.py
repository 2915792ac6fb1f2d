"""What sways a judge beside the answers: the place in which they stand, and their length."""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray
from mars_engine.stats.intervals import Interval, wilson_interval

EVEN = 0.5


@dataclass(frozen=True, slots=True)
class PositionBias:
    """How much the order of the answers decides, over the prompts that were judged in both orders."""

    n_prompts: int
    n_contradicting: int
    """Prompts in which the winner stood in the same place both times, whichever answer stood there."""
    n_decided: int
    """Verdicts that are no tie, of two a prompt."""
    first_wins: Interval | None
    """Share of them for the answer shown first; None where all are ties."""

    @property
    def is_biased(self) -> bool:
        """Whether the share lies outside of what a judge that minds no order would give."""
        return self.first_wins is not None and (self.first_wins.low > EVEN or self.first_wins.high < EVEN)


def measure_position_bias(baseline_first: FloatArray, policy_first: FloatArray) -> PositionBias:
    """Return how much the order of the policy's and the baseline's answers sways their judge, over n prompts.

    Args:
        baseline_first: probability that the policy wins where the baseline's answer is shown first, NaN where the judge
            failed, shape (n,).
        policy_first: the same where the policy's answer is shown first, shape (n,).
    """
    both = ~np.isnan(baseline_first) & ~np.isnan(policy_first)
    first_place = np.column_stack([1.0 - baseline_first[both], policy_first[both]])
    decided = first_place[first_place != EVEN]
    wins = int((decided > EVEN).sum())
    same_place = (first_place > EVEN).all(axis=1) | (first_place < EVEN).all(axis=1)
    return PositionBias(
        n_prompts=int(both.sum()),
        n_contradicting=int(same_place.sum()),
        n_decided=len(decided),
        first_wins=wilson_interval(wins, len(decided)) if len(decided) else None,
    )


@dataclass(frozen=True, slots=True)
class LengthBias:
    """How often the longer answer wins, over the prompts that are no tie and whose answers differ in length."""

    n_prompts: int
    longer_wins: Interval | None
    """None where there is no such prompt."""

    @property
    def is_biased(self) -> bool:
        return self.longer_wins is not None and (self.longer_wins.low > EVEN or self.longer_wins.high < EVEN)


def measure_length_bias(preferences: FloatArray, length_differences: FloatArray) -> LengthBias:
    """Return how often the judge of a policy against its baseline prefers the longer answer.

    Args:
        preferences: probability that the policy wins, over both orders, NaN where the judge failed, shape (n,).
        length_differences: characters of the baseline's answer minus the policy's, shape (n,).
    """
    decided = ~np.isnan(preferences) & (preferences != EVEN) & (length_differences != 0)
    longer_wins = (preferences[decided] > EVEN) == (length_differences[decided] < 0)
    total = int(decided.sum())
    return LengthBias(total, wilson_interval(int(longer_wins.sum()), total) if total else None)
