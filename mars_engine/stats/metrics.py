"""What a reward model is worth on preference pairs, from its rewards or margins."""

import math
from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import BoolArray, FloatArray, IntArray

FEWEST_RELATED = 8
"""Values below which no correlation is told."""


@dataclass(frozen=True, slots=True)
class MarginMetrics:
    """Metrics of n pairs; every value is NaN where n is 0."""

    pairs: int
    accuracy: float
    """Share of pairs with a positive margin, ties 0.5."""
    auc: float
    """Probability that a chosen response's reward exceeds any rejected response's."""
    margin_mean: float
    margin_std: float
    snr: float
    """Signal-to-noise ratio: mean margin over its standard deviation."""
    calibration_error: float
    """Expected calibration error of σ(Δ)."""
    log_loss: float
    """Mean Bradley–Terry loss −log σ(Δ), in nats."""

    @property
    def typical_probability(self) -> float:
        """Geometric mean of the probabilities σ(Δ) that the better answers get, exp(−log-loss)."""
        return math.exp(-self.log_loss)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The pairs that a model is about equally sure of: how sure on the mean, and how often it is right."""

    low: float
    high: float
    pairs: int
    confidence: float
    accuracy: float
    """Share of pairs ranked right, ties 0.5."""


TIE = 1e-6
"""A margin this near 0, in reward units, is a tie: in which batch a text stands moves its reward by as much."""


def is_tie(margins: FloatArray) -> BoolArray:
    """Return which pairs' two sides are the same to a model, as where a length limit cuts off all they differ in."""
    return np.abs(margins) <= TIE


def correctness(margins: FloatArray) -> FloatArray:
    """Return 1 for a positive margin, 0.5 for a tie, 0 for a negative one: the one rule for ties everywhere."""
    return np.where(is_tie(margins), 0.5, (np.sign(margins) + 1.0) / 2.0)


def log_losses(margins: FloatArray) -> FloatArray:
    """Return each pair's Bradley–Terry loss −log σ(Δ), in nats, without overflow."""
    return np.logaddexp(0.0, -margins)


SCALE_FOLDS = 5
MOST_LOG_SCALE = 7.0
"""Scales from e^−7 to e^7 are tried: margins that rank all pairs right would want one without end."""


def log_losses_at_best_scale(margins: FloatArray, groups: IntArray) -> FloatArray:
    """Return each pair's Bradley–Terry loss with the margins times the scale that suits the other groups best, (n,).

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599), cross-fitted: what is left of a difference between two
    models is not the size of their margins alone. Groups go to 5 folds in turn, by their number.

    Args:
        margins: chosen less rejected, shape (n,).
        groups: a number for each pair, the same for those that are not independent, shape (n,).
    """
    folds = groups % SCALE_FOLDS
    if len(np.unique(folds)) < 2:
        return log_losses(margins)
    losses = np.empty(len(margins))
    for fold in np.unique(folds):
        held = folds == fold
        losses[held] = log_losses(best_scale(margins[~held]) * margins[held])
    return losses


def best_scale(margins: FloatArray) -> float:
    """Return the b > 0 for which the mean loss −log σ(bΔ) is least; the loss is convex in b, so halving finds it."""
    low, high = -MOST_LOG_SCALE, MOST_LOG_SCALE
    for _ in range(40):
        middle = (low + high) / 2
        scaled = np.exp(middle) * margins
        slope = -(margins * np.exp(-np.logaddexp(0.0, scaled))).mean()
        low, high = (middle, high) if slope < 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def pairwise_accuracy(margins: FloatArray) -> float:
    """Return the share of pairs ranked right, ties 0.5."""
    return float(correctness(margins).mean()) if len(margins) else float("nan")


def auc(positive: FloatArray, negative: FloatArray) -> float:
    """Return the probability that a positive's value exceeds a negative's, ties 0.5 (the Mann–Whitney statistic)."""
    if len(positive) == 0 or len(negative) == 0:
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2.0 * len(negative)))


def rank_correlation(one: FloatArray, other: FloatArray) -> float:
    """Return Spearman's rank correlation; 0 where there are too few values, or all of one side are equal."""
    if len(one) < FEWEST_RELATED or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    """Return ranks; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], dtype=np.float64)


def sigmoid(margins: FloatArray) -> FloatArray:
    """Return σ(Δ) without overflow."""
    return np.exp(-np.logaddexp(0.0, -margins))


def reliability(margins: FloatArray, *, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Return how often the model is right at each confidence, over equal-width bins; bins without pairs are left out.

    A pair's confidence is that of the side the model prefers, max(σ(Δ), 1 − σ(Δ)), so it lies in [0.5, 1].
    """
    confidence = sigmoid(np.abs(margins))
    index = np.minimum(((confidence - 0.5) * 2 * bins).astype(np.int64), bins - 1)
    pairs = np.bincount(index, minlength=bins)
    confidences = np.bincount(index, weights=confidence, minlength=bins)
    right = np.bincount(index, weights=correctness(margins), minlength=bins)
    return tuple(
        ReliabilityBin(
            low=0.5 + place / (2 * bins),
            high=0.5 + (place + 1) / (2 * bins),
            pairs=int(pairs[place]),
            confidence=float(confidences[place] / pairs[place]),
            accuracy=float(right[place] / pairs[place]),
        )
        for place in np.flatnonzero(pairs).tolist()
    )


def calibration_error(margins: FloatArray, *, bins: int = 10) -> float:
    """Return the expected calibration error of σ(Δ) (Guo et al. 2017), over the bins of `reliability`."""
    if len(margins) == 0:
        return float("nan")
    gaps = [each.pairs * abs(each.accuracy - each.confidence) for each in reliability(margins, bins=bins)]
    return float(sum(gaps) / len(margins))


def margin_bin_edges(margins: FloatArray, bins: int) -> FloatArray:
    """Return equal-width bin edges that cover the margins, one of them exactly 0."""
    low, high = min(0.0, float(margins.min())), max(0.0, float(margins.max()))
    width = (high - low) / bins or 1.0
    # A hair wider than the margins, since first * width may round to just inside the lowest of them.
    first, last = np.floor(low / width - 1e-9), np.ceil(high / width + 1e-9)
    return np.arange(first, last + 1) * width


def summarize_margins(chosen: FloatArray, rejected: FloatArray, *, bins: int = 10) -> MarginMetrics:
    """Return the metrics of a model's rewards for the two sides of n pairs."""
    margins = chosen - rejected
    empty = len(margins) == 0
    mean = float("nan") if empty else float(margins.mean())
    std = float("nan") if empty else float(margins.std())
    return MarginMetrics(
        pairs=len(margins),
        accuracy=pairwise_accuracy(margins),
        auc=auc(chosen, rejected),
        margin_mean=mean,
        margin_std=std,
        snr=mean / std if std > abs(mean) * 1e-12 else float("nan"),
        calibration_error=calibration_error(margins, bins=bins),
        log_loss=float("nan") if empty else float(log_losses(margins).mean()),
    )
