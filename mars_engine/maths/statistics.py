"""Bootstrap intervals for means, and for differences between two models on the same pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.words.records import FloatArray

CELLS_AT_A_TIME = 20_000_000
"""Resampling counts held at once; bounds the memory of a large set to about 160 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its percentile bootstrap interval."""

    estimate: float
    low: float
    high: float
    level: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def bootstrap_mean(
    values: FloatArray,
    *,
    rng: np.random.Generator,
    groups: Sequence[str] | None = None,
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
    means = _resampled_means(sums, sizes, rng, resamples)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high), level)


def paired_difference(
    first: FloatArray,
    second: FloatArray,
    *,
    rng: np.random.Generator,
    groups: Sequence[str] | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return mean(first − second) over the same pairs, with its paired bootstrap interval; see `bootstrap_mean`."""
    return bootstrap_mean(first - second, rng=rng, groups=groups, resamples=resamples, level=level)


def _group_sums(values: FloatArray, groups: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Sum of the values and number of pairs of each group."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(index, weights=values)
    sizes = np.bincount(index)
    return np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)


def _resampled_means(sums: FloatArray, sizes: FloatArray, rng: np.random.Generator, resamples: int) -> FloatArray:
    """Means of resampled groups: each resample draws as many groups as there are, with replacement."""
    count = len(sums)
    uniform = np.full(count, 1.0 / count)
    step = max(1, CELLS_AT_A_TIME // count)
    means = np.empty(resamples)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = rng.multinomial(count, uniform, size=stop - start)
        means[start:stop] = (drawn @ sums) / (drawn @ sizes)
    return means
