"""The baselines that MARS is compared with, as far as they are arithmetic: weights and selections."""

from collections.abc import Sequence

import numpy as np

from mars_engine.core.records import BoolArray, FloatArray, IntArray
from mars_engine.stats.metrics import sigmoid


def adaboost_weights(weights: FloatArray, margins: FloatArray, *, eta: float) -> FloatArray:
    """Return w_i·exp(−η·Δ_i), scaled to a mean of 1: pairs that the model ranks wrong count more.

    One step of a reweighting of our own, in the manner of AdaBoost (Freund & Schapire 1997), not a published baseline.

    Args:
        weights: w, shape (n,), positive.
        margins: Δ, shape (n,).
        eta: η; 0 leaves the weights as they are.
    """
    exponents = np.log(weights) - eta * margins
    raised = np.exp(exponents - exponents.max(initial=-np.inf))
    return np.asarray(raised / raised.mean(), dtype=np.float64)


def keep_highest(sources: IntArray, margins: FloatArray, *, keep: int) -> IntArray:
    """Return the positions of each source's `keep` candidates with the highest margins, in ascending order.

    Of equal margins the earlier candidate is kept.

    Args:
        sources: number of each candidate's source, shape (n,).
        margins: the candidates' margins, shape (n,).
        keep: most candidates of one source.
    """
    order = np.lexsort((np.arange(len(margins)), -margins, sources))
    ordered = sources[order]
    firsts = np.searchsorted(ordered, ordered, side="left")
    rank_in_source = np.arange(len(ordered)) - firsts
    return np.sort(order[rank_in_source < keep])


def select_confident(margins: FloatArray, *, confidence: float, most: int) -> IntArray:
    """Return the positions of the pairs of whose better side a model is at least so sure, in ascending order.

    Args:
        margins: Δ under the model, shape (n,), whichever side counts as chosen; σ(|Δ|) is how sure it is.
        confidence: least probability of the preferred side.
        most: at most so many, those of which it is surest; of equally sure ones the earlier.
    """
    sure = np.abs(margins)
    order = np.argsort(-sure, kind="stable")[:most]
    return np.sort(order[sigmoid(sure[order]) >= confidence])


def above_lowest(margins: FloatArray, share: float) -> BoolArray:
    """Return which pairs remain when this share of them, the lowest margins first, is left out; at least one does."""
    count = min(round(share * len(margins)), len(margins) - 1)
    kept = np.ones(len(margins), dtype=bool)
    kept[np.argsort(margins, kind="stable")[:count]] = False
    return kept


def in_the_middle(margins: FloatArray, share: float) -> BoolArray:
    """Return which pairs are among this share of them around the median margin; at least one is."""
    count = max(1, round(share * len(margins)))
    first = (len(margins) - count) // 2
    middle = np.zeros(len(margins), dtype=bool)
    middle[np.argsort(margins, kind="stable")[first : first + count]] = True
    return middle


def weigh_new_pairs(
    weights: FloatArray, made_of: Sequence[str], *, augmented_share: float, source_cap: float
) -> FloatArray:
    """Return a method's training weights, with those of new pairs capped by source and scaled to a share of all.

    Args:
        weights: of base pairs and after them new pairs, shape (n,).
        made_of: each new pair's source.
        augmented_share: share of all weight that new pairs have together; 0 leaves them as they are.
        source_cap: most weight of one source's new pairs together; 0: no cap.
    """
    base = len(weights) - len(made_of)
    new = weights[base:].copy()
    if not len(new):
        return weights
    if source_cap:
        _, place = np.unique(np.array(made_of), return_inverse=True)
        together = np.bincount(place, weights=new)[place]
        new *= np.minimum(1.0, source_cap / together)
    if augmented_share:
        new *= augmented_share / (1 - augmented_share) * weights[:base].sum() / new.sum()
    return np.concatenate([weights[:base], new])
