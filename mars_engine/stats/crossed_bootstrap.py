"""Intervals for differences that vary with two things at once: the prompts measured on, and the seeds drawn under."""

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
        The interval; NaN throughout where n is 0.
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
    return Interval(float(values.mean()), float(low), float(high), level)


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
