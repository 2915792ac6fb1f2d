"""Intervals for differences that vary with two things at once: the prompts measured on, and the seeds drawn under."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray, IntArray
from mars_engine.stats.intervals import Interval

CELLS_AT_A_TIME = 20_000_000
"""Numbers held at once; bounds the memory to about 160 MB."""


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """One value for each seed, and how much they differ."""

    values: tuple[float, ...]
    mean: float
    deviation: float
    """Standard deviation over the seeds, with n − 1; NaN for one seed."""
    lowest: float
    highest: float


def spread_over_seeds(values: FloatArray) -> SeedSpread:
    """Return the mean and the spread of one value a seed; there must be at least one."""
    deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return SeedSpread(tuple(values.tolist()), float(values.mean()), deviation, float(values.min()), float(values.max()))


def crossed_mean(
    values: FloatArray,
    seeds: IntArray,
    prompts: IntArray,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return the mean of `values` with a percentile bootstrap interval that draws seeds and prompts anew, crossed.

    The pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1:386): each resample draws as many seeds as
    there are and as many prompts as there are, with replacement and independently, and weighs a value by how often
    its seed was drawn times how often its prompt was. It is cautious rather than bold. Resamples that meet no value
    at all are left out.

    Args:
        values: one value for each pair measured under each seed, shape (n,); for a paired comparison the differences.
        seeds: number of each value's seed, shape (n,).
        prompts: number of each value's prompt, shape (n,).
        rng: draws the resamples.
        resamples: how many resamples.
        level: level of the interval.

    Returns:
        The interval with its p-value; NaN throughout where n is 0.
    """
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), level)
    _, seed = np.unique(seeds, return_inverse=True)
    _, prompt = np.unique(prompts, return_inverse=True)
    shape = (int(seed.max()) + 1, int(prompt.max()) + 1)
    cell = seed * shape[1] + prompt
    sums, counts = (
        np.bincount(cell, weights=each, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)
        for each in (values, np.ones(len(values)))
    )
    means = _resampled_means(sums, counts, rng, resamples)
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(means, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high), level, _p_value_of_zero(means))


def _p_value_of_zero(means: FloatArray) -> float:
    """Return twice the share of resampled means on the rarer side of 0, one added to both counts so that it is never 0.

    It is the level at which the percentile interval would just reach 0 (Davison & Hinkley 1997, ch. 4.2.5 and 5.3).
    """
    known = means[~np.isnan(means)]
    rarer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2.0 * (rarer + 1) / (len(known) + 1))


def holm_count(p_values: Sequence[float], *, alpha: float) -> int:
    """Return how many of some hypotheses are rejected where the chance to reject any true one is at most `alpha`.

    Holm's step-down procedure (1979, Scandinavian Journal of Statistics 6:65), which holds however they depend on
    each other.
    """
    ordered = sorted(p_values)
    for place, p_value in enumerate(ordered):
        if p_value > alpha / (len(ordered) - place):
            return place
    return len(ordered)


def _resampled_means(sums: FloatArray, counts: FloatArray, rng: np.random.Generator, resamples: int) -> FloatArray:
    seeds, prompts = sums.shape
    step = max(1, CELLS_AT_A_TIME // prompts)
    means = np.empty(resamples)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        by_seed = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=size).astype(np.float64)
        by_prompt = rng.multinomial(prompts, np.full(prompts, 1.0 / prompts), size=size).astype(np.float64)
        weighed = np.einsum("rp,rp->r", by_seed @ counts, by_prompt)
        total = np.einsum("rp,rp->r", by_seed @ sums, by_prompt)
        means[start : start + size] = np.divide(total, weighed, out=np.full(size, np.nan), where=weighed > 0)
    return means
