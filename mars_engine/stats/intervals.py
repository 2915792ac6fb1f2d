"""Bootstrap intervals for means, and for differences between two models on the same pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mars_engine.core.records import FloatArray, IntArray

CELLS_AT_A_TIME = 20_000_000
"""Resampling counts held at once; bounds the memory of a large set to about 160 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its percentile bootstrap interval."""

    estimate: float
    low: float
    high: float
    level: float
    p_value: float | None = None
    """Two-sided, of a mean of 0, where it was computed."""

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def bootstrap_mean(
    values: FloatArray,
    *,
    rng: np.random.Generator,
    groups: Sequence[str] | IntArray | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return the mean of `values` with a percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13).

    Args:
        values: one value for each of n pairs. For a paired comparison of two models pass the differences.
        rng: draws the resamples.
        groups: pairs of one group (one prompt) are drawn together, since they are not independent.
        resamples: how many resamples.
        level: level of the interval.

    Returns:
        The interval; NaN throughout where n is 0.
    """
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), level)
    sums, sizes = (values, np.ones(len(values))) if groups is None else _group_sums(values, groups)
    means = _resampled_means(_alike(sums, sizes), rng, resamples)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high), level)


def paired_difference(
    first: FloatArray,
    second: FloatArray,
    *,
    rng: np.random.Generator,
    groups: Sequence[str] | IntArray | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return mean(first − second) over the same pairs, with its paired bootstrap interval; see `bootstrap_mean`."""
    return bootstrap_mean(first - second, rng=rng, groups=groups, resamples=resamples, level=level)


@dataclass(frozen=True, slots=True)
class _AlikeGroups:
    """Kinds of groups: those whose values have one sum and one number of pairs, and how many there are of each kind."""

    sums: FloatArray
    sizes: FloatArray
    groups: IntArray


def _group_sums(values: FloatArray, groups: Sequence[str] | IntArray) -> tuple[FloatArray, FloatArray]:
    """Sum of the values and number of pairs of each group."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(index, weights=values)
    sizes = np.bincount(index)
    return np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)


def _alike(sums: FloatArray, sizes: FloatArray) -> _AlikeGroups:
    """Put groups that are alike together: a resample's mean depends only on how many of each kind it drew.

    Right and wrong answers of 100,000 prompts are a handful of kinds, so the exact bootstrap costs next to nothing.
    """
    kinds, counts = np.unique(sums + 1j * sizes, return_counts=True)
    return _AlikeGroups(kinds.real, kinds.imag, counts.astype(np.int64))


def _resampled_means(alike: _AlikeGroups, rng: np.random.Generator, resamples: int) -> FloatArray:
    """Means of resampled groups: each resample draws as many groups as there are, with replacement."""
    total = int(alike.groups.sum())
    shares = alike.groups / total
    step = max(1, CELLS_AT_A_TIME // len(shares))
    means = np.empty(resamples)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = rng.multinomial(total, shares, size=stop - start)
        means[start:stop] = (drawn @ alike.sums) / (drawn @ alike.sizes)
    return means


def wilson_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Return the share of successes with its score interval (Wilson 1927); `trials` must be at least 1."""
    share = successes / trials
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    scale = 1.0 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / scale
    half = z * float(np.sqrt(share * (1.0 - share) / trials + z**2 / (4 * trials**2))) / scale
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), level)
