"""Agreement between annotators on nominal answers: raw, Cohen's κ, Krippendorff's α, with bootstrap intervals.

Where a coefficient is undefined it says why, and has no number.
"""

from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import BoolArray, FloatArray, IntArray
from mars_engine.stats.intervals import Interval

MISSING = -1
"""In ratings: the rater did not answer."""

NO_OVERLAP = "no item has answers of two people"
ONE_CATEGORY = "all answers are the same, so that agreement by chance would be perfect too"


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of agreement over `items` items that two or more raters answered."""

    interval: Interval | None
    """None where the coefficient is undefined."""
    reason: str
    """Why it is undefined; empty where it is defined."""
    items: int

    @property
    def defined(self) -> bool:
        return self.interval is not None


def raw_agreement(
    ratings: IntArray, *, rng: np.random.Generator, resamples: int = 2_000, level: float = 0.95
) -> Coefficient:
    """Return the share of pairs of answers to one item that are equal, with an interval over resampled items.

    Args:
        ratings: category numbers from 0, MISSING where there is no answer; shape (items, raters).
        rng: draws the resamples.
        resamples: how many resamples.
        level: level of the interval.
    """
    kinds = _kinds_of_items(ratings)
    answers = kinds.counts.sum(axis=1)
    equal = (kinds.counts * (kinds.counts - 1)).sum(axis=1)
    pairs = answers * (answers - 1)
    if not len(kinds.counts):
        return Coefficient(None, NO_OVERLAP, 0)
    drawn = kinds.resample(rng, resamples)
    estimate = float(kinds.items @ equal / (kinds.items @ pairs))
    return _coefficient(estimate, (drawn @ equal) / (drawn @ pairs), level, kinds)


def cohens_kappa(
    first: IntArray, second: IntArray, *, rng: np.random.Generator, resamples: int = 2_000, level: float = 0.95
) -> Coefficient:
    """Return Cohen's κ of two raters over the items that both answered (Cohen 1960), with an interval over items.

    It is undefined where both gave one and the same answer throughout.

    Args:
        first: category numbers from 0, MISSING where there is no answer; shape (items,).
        second: the other rater's.
        rng: draws the resamples.
        resamples: how many resamples.
        level: level of the interval.
    """
    both = (first != MISSING) & (second != MISSING)
    items = int(both.sum())
    if not items:
        return Coefficient(None, NO_OVERLAP, 0)
    categories = int(max(first[both].max(), second[both].max())) + 1
    cells = np.bincount(first[both] * categories + second[both], minlength=categories**2).astype(np.float64)
    estimate = _kappa(cells[None, :], categories)[0]
    if np.isnan(estimate):
        return Coefficient(None, ONE_CATEGORY, items)
    drawn = rng.multinomial(items, cells / items, size=resamples).astype(np.float64)
    return Coefficient(_interval(float(estimate), _kappa(drawn, categories), level), "", items)


def _kappa(cells: FloatArray, categories: int) -> FloatArray:
    """κ of some tables, flattened to rows; NaN where it is undefined."""
    tables = cells.reshape(len(cells), categories, categories)
    total = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2) * total
    expected = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1)
    # Both are total² times a share; as whole numbers they are exact, so that equality is too.
    by_chance_imperfect = total**2 - expected
    kappa: FloatArray = np.divide(
        observed - expected, by_chance_imperfect, out=np.full(len(cells), np.nan), where=by_chance_imperfect > 0
    )
    return kappa


def krippendorffs_alpha(
    ratings: IntArray, *, rng: np.random.Generator, resamples: int = 2_000, level: float = 0.95
) -> Coefficient:
    """Return Krippendorff's α for nominal answers of any number of raters (Krippendorff 2011), with an interval.

    The interval is of resampled items. α is undefined where no item has two answers, or where all answers to such
    items are the same.

    Args:
        ratings: category numbers from 0, MISSING where there is no answer; shape (items, raters).
        rng: draws the resamples.
        resamples: how many resamples.
        level: level of the interval.
    """
    kinds = _kinds_of_items(ratings)
    if not len(kinds.counts):
        return Coefficient(None, NO_OVERLAP, 0)
    estimate = _alpha(kinds.counts, kinds.items[None, :])[0]
    if np.isnan(estimate):
        return Coefficient(None, ONE_CATEGORY, int(kinds.items.sum()))
    return _coefficient(float(estimate), _alpha(kinds.counts, kinds.resample(rng, resamples)), level, kinds)


def _alpha(counts: FloatArray, weights: FloatArray) -> FloatArray:
    """α where each kind of item occurs `weights` times, shape (cases, kinds); NaN where it is undefined.

    With n_uc answers c to item u, m_u answers to it, and n in all, α = 1 − (n−1) Σ_u (m_u² − Σ_c n_uc²)/(m_u − 1) over
    n² − Σ_c n_c².
    """
    answers = counts.sum(axis=1)
    disagreement = (answers**2 - (counts**2).sum(axis=1)) / (answers - 1)
    per_category = weights @ counts
    total = per_category.sum(axis=1)
    by_chance = total**2 - (per_category**2).sum(axis=1)
    ratio: FloatArray = np.divide(
        (total - 1) * (weights @ disagreement), by_chance, out=np.full(len(weights), np.nan), where=by_chance > 0
    )
    return 1.0 - ratio


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Items with two answers or more, those with the same answers put together."""

    counts: FloatArray
    """How often each category was given to an item of the kind, shape (kinds, categories)."""
    items: FloatArray
    """How many items of each kind there are."""

    def resample(self, rng: np.random.Generator, resamples: int) -> FloatArray:
        """How many items of each kind as many draws with replacement give, shape (resamples, kinds)."""
        total = int(self.items.sum())
        return rng.multinomial(total, self.items / total, size=resamples).astype(np.float64)


def _kinds_of_items(ratings: IntArray) -> _Kinds:
    answered: BoolArray = ratings != MISSING
    shared = ratings[answered.sum(axis=1) >= 2]
    categories = int(shared.max(initial=-1)) + 1
    counts = (
        np.stack([(shared == category).sum(axis=1) for category in range(categories)], axis=1)
        if categories
        else (np.zeros((0, 0)))
    )
    kinds, items = np.unique(counts, axis=0, return_counts=True) if len(counts) else (counts, np.zeros(0))
    return _Kinds(kinds.astype(np.float64), items.astype(np.float64))


def _coefficient(estimate: float, resampled: FloatArray, level: float, kinds: _Kinds) -> Coefficient:
    return Coefficient(_interval(estimate, resampled, level), "", int(kinds.items.sum()))


def _interval(estimate: float, resampled: FloatArray, level: float) -> Interval:
    """The percentile interval; resamples in which the coefficient is undefined say nothing."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(resampled[~np.isnan(resampled)], [tail, 1.0 - tail])
    return Interval(estimate, float(low), float(high), level)
