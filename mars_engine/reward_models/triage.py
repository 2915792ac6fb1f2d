"""Triage: which low margins speak of a hard pair, and which of a wrong label.

Out-of-fold margins come from models that never saw the pair, over several draws of the folds. A pair whose margin is
negative again and again, and not near zero, is suspected of a wrong label; a pair near zero, or one about which the
draws disagree, is hard. A pair that is a tie under every draw is indistinct: to the model its two sides are the same,
so that no margin says anything of its label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import BoolArray, FloatArray, IntArray, TriageVerdict
from mars_engine.stats.metrics import correctness, is_tie


@dataclass(frozen=True, slots=True)
class TriageJudgement(ShownAsTable):
    """Out-of-fold margins of n pairs, summed up over the draws, and a verdict on each."""

    margin_mean: FloatArray
    margin_std: FloatArray
    negative_share: FloatArray
    verdicts: tuple[TriageVerdict, ...]

    @property
    def suspected(self) -> BoolArray:
        return np.array([verdict == "suspected" for verdict in self.verdicts], dtype=bool)


def assign_folds(groups: Sequence[str], folds: int, rng: np.random.Generator) -> IntArray:
    """Return a fold number for each pair; pairs of one group (one prompt) share a fold, folds are equal to one group.

    Args:
        groups: a group's name for each of n pairs.
        folds: how many folds; with fewer groups than folds, some stay empty.
        rng: draws the folds.
    """
    names = sorted(set(groups))
    fold_of_group = dict(zip(names, rng.permutation(len(names)) % folds, strict=True))
    return np.array([fold_of_group[group] for group in groups], dtype=np.int64)


def judge_labels(margins: FloatArray, *, near_zero: float) -> TriageJudgement:
    """Return what the out-of-fold margins say of each pair's label.

    Args:
        margins: out-of-fold margins, shape (draws, n).
        near_zero: a mean margin within this many standard deviations (of all margins) of 0 is near zero.
    """
    mean = margins.mean(axis=0)
    negative_share = 1.0 - correctness(margins).mean(axis=0)
    indistinct: BoolArray = np.all(is_tie(margins), axis=0)
    boundary = -near_zero * float(margins.std()) if margins.size else 0.0

    def verdict(pair: int) -> TriageVerdict:
        if indistinct[pair]:
            return "indistinct"
        if mean[pair] >= 0:
            return "clear"
        return "suspected" if negative_share[pair] == 1.0 and mean[pair] < boundary else "hard"

    return TriageJudgement(
        margin_mean=mean,
        margin_std=margins.std(axis=0),
        negative_share=negative_share,
        verdicts=tuple(verdict(pair) for pair in range(margins.shape[1])),
    )
