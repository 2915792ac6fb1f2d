"""Spending an augmentation budget: from margins to how many new pairs each source pair gets.

Deciding is not doing: these functions return counts, proposing and composing obey them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mars_engine.core.records import BoolArray, FloatArray, IntArray

REMAINDER_DECIMALS = 9
"""Remainders that agree to so many decimals count as equal, so that rounding noise never decides who gets a pair."""


@dataclass(frozen=True, slots=True)
class AllocationSummary:
    """How evenly a budget is spread over n source pairs."""

    pairs: int
    budget: int
    effective_sample_size: float
    """(Σq)²/Σq²: n where uniform, 1 where one pair gets all."""
    smallest: int
    largest: int
    zeros: int
    """How many source pairs get nothing."""


def scale_margins(margins: FloatArray, scale: Literal["raw", "standard"]) -> FloatArray:
    """Return the margins as they are ("raw") or divided by their standard deviation ("standard")."""
    if scale == "raw":
        return margins
    deviation = float(margins.std())
    return margins / deviation if deviation > 0 else margins


def allocation_probabilities(
    margins: FloatArray,
    law: Literal["signed", "absolute", "fisher", "uniform"],
    *,
    tau: float,
    eligible: BoolArray | None = None,
) -> FloatArray:
    """Return q, each source pair's share of the augmentation budget under an allocation law.

    signed is softmax(−τΔ) and absolute softmax(−τ|Δ|) (arXiv 2602.17658, v2 and v1); fisher is proportional to
    σ(Δ)(1−σ(Δ)), the pair's Fisher information under Bradley–Terry.

    Args:
        margins: Δ, shape (n,).
        law: the allocation law.
        tau: sharpness of the softmax laws.
        eligible: pairs that may get a share at all, shape (n,); all where None.

    Returns:
        q, shape (n,), summing to 1, or all zero where no pair is eligible.
    """
    mask = np.ones(margins.shape, dtype=bool) if eligible is None else eligible
    if not mask.any():
        return np.zeros_like(margins)
    if law == "signed":
        log_weight = -tau * margins
    elif law == "absolute":
        log_weight = -tau * np.abs(margins)
    elif law == "fisher":
        log_weight = -np.logaddexp(0.0, margins) - np.logaddexp(0.0, -margins)
    else:
        log_weight = np.zeros_like(margins)
    log_weight = np.where(mask, log_weight - log_weight[mask].max(), -np.inf)
    weight = np.exp(log_weight)
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def allocate_budget(probabilities: FloatArray, budget: int, *, capacity: IntArray | None = None) -> IntArray:
    """Return whole numbers b_i close to budget·q_i that sum to the budget exactly (largest remainder).

    Where `capacity` limits a pair, the excess is handed on to the others by the same q. The sum falls short of the
    budget only where all the pairs with q > 0 are full.

    Args:
        probabilities: q, shape (n,), non-negative.
        budget: B, at least 0.
        capacity: most that each pair can take, shape (n,).
    """
    counts = np.zeros(probabilities.shape, dtype=np.int64)
    is_open = probabilities > 0
    if capacity is not None:
        is_open &= capacity > 0
    remaining = budget
    while is_open.any() and remaining > 0:
        shares = np.where(is_open, probabilities, 0.0)
        ideal = remaining * (shares / shares.sum())
        full = is_open & (ideal >= capacity) if capacity is not None else np.zeros_like(is_open)
        if capacity is None or not full.any():
            return counts + _largest_remainder(ideal, remaining, is_open)
        counts[full] = capacity[full]
        is_open &= ~full
        remaining = budget - int(counts.sum())
    return counts


def _largest_remainder(ideal: FloatArray, total: int, is_open: BoolArray) -> IntArray:
    floors = np.floor(np.round(ideal, REMAINDER_DECIMALS)).astype(np.int64)
    missing = total - int(floors.sum())
    remainders = np.where(is_open, np.round(ideal - floors, REMAINDER_DECIMALS), -np.inf)
    floors[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return floors


def summarize_allocation(probabilities: FloatArray, counts: IntArray) -> AllocationSummary:
    """Return how evenly q and the counts b are spread."""
    square_sum = float((probabilities**2).sum())
    return AllocationSummary(
        pairs=len(counts),
        budget=int(counts.sum()),
        effective_sample_size=float(probabilities.sum() ** 2 / square_sum) if square_sum > 0 else 0.0,
        smallest=int(counts.min()) if len(counts) else 0,
        largest=int(counts.max(initial=0)),
        zeros=int((counts == 0).sum()),
    )


def equal_share_margin(margins: FloatArray, *, tau: float) -> float:
    """Return the margin at which softmax(−τΔ) gives exactly an equal share of the budget: −log(mean(exp(−τΔ)))/τ.

    Pairs below it get more. At τ = 0, where all shares are equal, the limit: the mean margin.
    """
    if tau == 0:
        return float(margins.mean())
    return float(np.log(len(margins)) - np.logaddexp.reduce(-tau * margins)) / tau


def has_low_margin(probabilities: FloatArray) -> BoolArray:
    """Return which pairs get more than an equal share of the budget: MARS's low-margin pairs."""
    return probabilities > (1.0 + 1e-9) / max(len(probabilities), 1)


def hard_below(margins: FloatArray, *, scale: Literal["raw", "standard"], tau: float) -> float:
    """Return the margin, in reward units, below which the signed law gives a pair more than an equal budget share."""
    scaled = scale_margins(margins, scale)
    unit = float(margins.std()) if scale == "standard" else 1.0
    return equal_share_margin(scaled, tau=tau) * (unit or 1.0)
