"""Win rates of a policy over a baseline, as AlpacaEval counts them.

A *preference* is the probability that the policy's answer is the better one: 1 it wins, 0 the baseline wins, 0.5 a tie,
NaN where the judge gave no usable answer. Figures are in percent, as AlpacaEval's are.
"""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray
from mars_engine.stats.intervals import Interval, bootstrap_mean, paired_difference

EVEN = 0.5
PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often a policy beats the baseline. Percentages are NaN where no prompt was judged."""

    win_rate: float
    """Mean preference."""
    standard_error: float
    """Of the mean over prompts, with n − 1; NaN below two prompts."""
    interval: Interval
    """Percentile bootstrap over prompts."""
    discrete_win_rate: float
    """Share of wins, a tie half of one."""
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int
    """Prompts that were judged."""
    n_failed: int
    """Prompts whose judgement is missing; no figure counts them."""


def count_wins(
    preferences: FloatArray, *, rng: np.random.Generator, resamples: int = 10_000, level: float = 0.95
) -> WinRate:
    """Return the win rate of n preferences, shape (n,), and its uncertainty.

    Args:
        preferences: see the module.
        rng: draws the resamples.
        resamples: how many.
        level: level of the interval.
    """
    judged = preferences[~np.isnan(preferences)]
    wins, losses = int((judged > EVEN).sum()), int((judged < EVEN).sum())
    draws, total = len(judged) - wins - losses, len(judged)
    return WinRate(
        win_rate=PERCENT * float(judged.mean()) if total else float("nan"),
        standard_error=PERCENT * float(judged.std(ddof=1) / np.sqrt(total)) if total > 1 else float("nan"),
        interval=bootstrap_mean(PERCENT * judged, rng=rng, resamples=resamples, level=level),
        discrete_win_rate=PERCENT * (wins + draws / 2) / total if total else float("nan"),
        n_wins=wins,
        n_wins_base=losses,
        n_draws=draws,
        n_total=total,
        n_failed=len(preferences) - total,
    )


@dataclass(frozen=True, slots=True)
class WinRateDifference:
    """How much more often one policy beats the baseline than another, over the prompts where both were judged."""

    interval: Interval
    """First minus second, in percentage points, with the paired bootstrap interval."""
    n_prompts: int


def compare_wins(
    first: FloatArray,
    second: FloatArray,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> WinRateDifference:
    """Return the difference of two policies' win rates over one baseline.

    Args:
        first: preferences, shape (n,).
        second: preferences on the same prompts in the same order, shape (n,).
        rng: draws the resamples.
        resamples: how many.
        level: level of the interval.
    """
    both = ~np.isnan(first) & ~np.isnan(second)
    sides = (PERCENT * first[both], PERCENT * second[both])
    interval = paired_difference(*sides, rng=rng, resamples=resamples, level=level)
    return WinRateDifference(interval, int(both.sum()))
