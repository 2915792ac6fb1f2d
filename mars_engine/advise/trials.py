"""Trials of next steps by nested cross-validation: each is done on the training folds and scored on the fold left out.

Folds are cut by prompt. Everything that a step looks at, such as the out-of-fold margins by which suspects are found,
is made anew inside the training folds. All fits are exact.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from mars_engine.augment.allocation import allocate_budget
from mars_engine.augment.plan import spend
from mars_engine.core.config import AllocationConfig, AllocationLaw
from mars_engine.core.progress import Progress
from mars_engine.core.records import BoolArray, BradleyTerryFit, FloatArray, IntArray
from mars_engine.reward_models.bradley_terry import refit_bradley_terry
from mars_engine.reward_models.triage import assign_folds, judge_labels

FOLDS = 5
INNER_FOLDS = 4
FITS_OF_PAIRS = 4_000
"""The folds are drawn anew until so many pairs were trained on and scored: of few pairs more often than of many."""
LEAST_REPEATS, MOST_REPEATS = 2, 8
LAW_DRAWS = 2
"""Draws in which new pairs are tried: they are several times as many as the others, and cost as much more."""
CURVE_SHARES = (0.3, 0.45, 0.65, 1.0)
"""Of the training folds, for the learning curve."""
FLIPPED_SHARE = 0.15
"""Of the labels, for telling what a label that is set right is worth."""
WORTH_WITHOUT_FLIPS = (1 - 2 * FLIPPED_SHARE) ** 2
"""Of what a label is worth among these flips. Labels of which ε are wrong say as much as (1 − 2ε)² times as many right
ones, and accuracy falls about as one over the root of that number, so that a label's worth goes as (1 − 2ε)^−2."""
READ_SHARES = (0.1, 0.2)
"""Of the training folds: those with the lowest out-of-fold margins, which are left out, or where flips of our own are
set right."""
COARSE = 1e-5
"""Tolerance of the fits: their margins are only compared."""
SOFTNESS = 0.4
"""In root mean squares of the margins: a margin counts as right by Φ(Δ / softness), so that one that barely crosses 0
moves the figure barely. Differences between models are then far less noisy than those of shares above 0."""

BASE, LEFT_OUT = "as it is", "suspects left out"


@dataclass(frozen=True, eq=False)
class TrialRows:
    """n base pairs as rows, each with its sides as it is trained on."""

    differences: FloatArray
    """Δφ, shape (n, d)."""
    confidence: FloatArray
    """In the label, from ½ to 1, shape (n,); pairs at ½ are trained on, and score nothing."""
    prompts: Sequence[str]
    open: BoolArray
    """Pairs about whose label nobody has decided, shape (n,)."""
    l2: float
    near_zero: float
    """Of triage."""

    def __len__(self) -> int:
        return len(self.differences)


@dataclass(frozen=True, eq=False)
class NewRows:
    """m new pairs as rows, those of one source together and in the order in which they would be taken."""

    base: FloatArray
    """The base pairs' Δφ once more, in the same dimensions as those of the new pairs, shape (n, d)."""
    differences: FloatArray
    confidence: FloatArray
    source: IntArray
    """Place of each one's base pair, shape (m,)."""
    eligible: BoolArray
    """Base pairs that may get new pairs, shape (n,)."""
    config: AllocationConfig
    laws: tuple[AllocationLaw, ...]


@dataclass(frozen=True, eq=False)
class OtherFeatures:
    """The same base pairs read in another way."""

    name: str
    differences: FloatArray
    l2: float


@dataclass(frozen=True, eq=False)
class Trials:
    """What came of the trials: figures of each pair, when it was held out, under each draw of the folds.

    A figure is the difference that a step makes to how far a pair counts as ranked right, from −1 to 1. It is NaN for
    pairs that score nothing.
    """

    gains: Mapping[str, FloatArray]
    """Of each step against training as it is, shape (draws, n)."""
    curve_sizes: FloatArray
    curve: FloatArray
    """How far a pair counts as ranked right by the number of training pairs, shape (draws, n, sizes)."""
    without_lowest: FloatArray
    """Of leaving out the shares READ_SHARES with the lowest out-of-fold margins, shape (draws, n, 2)."""
    worth: FloatArray
    """Of setting right labels that make up a share of the training pairs: gain over that share, shape (draws, n)."""
    margins: FloatArray
    """Out-of-fold margins of the base pairs, shape (draws, n)."""
    fits: int
    new_pairs: Mapping[str, float] = field(default_factory=dict)
    """New pairs a law trains on, for all base pairs."""


def soft_correctness(margins: FloatArray) -> FloatArray:
    """Return how far the advisor counts each pair as ranked right, from 0 to 1, whatever the margins' scale."""
    size = float(np.sqrt((margins**2).mean())) if len(margins) else 0.0
    return np.asarray(ndtr(margins / (SOFTNESS * size)) if size > 0 else np.full(len(margins), 0.5), dtype=np.float64)


def repeats_for(pairs: int) -> int:
    """Return how often the advisor draws its folds anew: the more often, the fewer pairs there are."""
    return int(np.clip(round(FITS_OF_PAIRS / max(pairs, 1)), LEAST_REPEATS, MOST_REPEATS))


def run_trials(
    rows: TrialRows,
    *,
    new: NewRows | None = None,
    others: Sequence[OtherFeatures] = (),
    repeats: int,
    rng: np.random.Generator,
    progress: Progress,
) -> Trials:
    """Return what each step gains on pairs left out, under `repeats` draws of the folds."""
    shape = (repeats, len(rows))
    curve = np.full((*shape, len(CURVE_SHARES)), np.nan)
    margins, worth = np.zeros(shape), np.full(shape, np.nan)
    without_lowest = np.full((*shape, len(READ_SHARES)), np.nan)
    gains: dict[str, FloatArray] = defaultdict(lambda: np.full(shape, np.nan))
    done: list[_Trial] = []
    with progress.task("try out the next steps", repeats * FOLDS) as task, threadpool_limits(1, "blas"):
        for draw in range(repeats):
            folds = assign_folds(rows.prompts, FOLDS, rng)
            for fold in range(FOLDS):
                held = folds == fold
                if held.any() and not held.all():
                    trial = _Trial(rows, ~held, rng)
                    trial.run(new if draw < LAW_DRAWS else None, others)
                    scored = trial.held[trial.scored]
                    margins[draw, held] = trial.base_margins
                    worth[draw, scored] = trial.worth
                    curve[draw, scored] = trial.curve
                    without_lowest[draw, scored] = trial.without_lowest
                    for name, gain in trial.gains.items():
                        gains[name][draw, scored] = gain
                    done.append(trial)
                task.advance()
    return Trials(
        gains=dict(gains),
        curve_sizes=np.mean([trial.curve_sizes for trial in done], axis=0),
        curve=curve,
        without_lowest=without_lowest,
        worth=worth,
        margins=margins,
        fits=sum(trial.fits for trial in done),
        new_pairs={
            name: float(np.mean([trial.new_pairs[name] for trial in done if name in trial.new_pairs]))
            for name in done[0].new_pairs
        },
    )


class _Trial:
    """One fold left out of one draw."""

    def __init__(self, rows: TrialRows, trained: BoolArray, rng: np.random.Generator) -> None:
        self.rows, self.rng = rows, rng
        self.trained = np.flatnonzero(trained)
        self.held = np.flatnonzero(~trained)
        self.scored = rows.confidence[self.held] > 0.5
        self.gains: dict[str, FloatArray] = {}
        self.new_pairs: dict[str, float] = {}
        self.fits = 0
        self.before: BradleyTerryFit | None = None
        self.before_laws: BradleyTerryFit | None = None

    def run(self, new: NewRows | None, others: Sequence[OtherFeatures]) -> None:
        x, p = self.rows.differences[self.trained], self.rows.confidence[self.trained]
        head = self._fit(x, p)
        self.base_margins = self.rows.differences[self.held] @ head
        self.base = self._score(head)
        self._try_leaving_out(x, p)
        self._try_fewer(x, p)
        self._try_setting_right(x, p)
        if new is not None:
            self._try_laws(new, p, x @ head)
        for each in others:
            other = self._refit(each.differences[self.trained], p, each.l2, None).weights
            self.gains[each.name] = soft_correctness((each.differences[self.held] @ other)[self.scored]) - self.base

    def _try_leaving_out(self, x: FloatArray, p: FloatArray) -> None:
        margins = self._inner_margins(x, p)
        order = np.argsort(margins)
        lower = [order[max(1, round(share * len(x))) :] for share in READ_SHARES]
        self.without_lowest = np.stack([self._score(self._fit(x[rest], p[rest])) - self.base for rest in lower], axis=1)
        suspected = judge_labels(margins[None], near_zero=self.rows.near_zero).suspected
        kept = ~(suspected & self.rows.open[self.trained])
        self.gains[LEFT_OUT] = self._score(self._fit(x[kept], p[kept])) - self.base

    def _try_fewer(self, x: FloatArray, p: FloatArray) -> None:
        order = self.rng.permutation(len(x))
        counts = [max(2, round(share * len(x))) for share in CURVE_SHARES[:-1]]
        self.curve_sizes = [*counts, len(x)]
        fewer = [self._score(self._fit(x[order[:count]], p[order[:count]])) for count in counts]
        self.curve = np.stack([*fewer, self.base], axis=1)

    def _try_setting_right(self, x: FloatArray, p: FloatArray) -> None:
        """Flip labels, find them by margins, set right those that are found: what is a label set right worth?"""
        flipped = self.rng.random(len(x)) < FLIPPED_SHARE
        noisy = np.where(flipped[:, None], -x, x)
        order = np.argsort(self._inner_margins(noisy, p))
        before = self._score(self._fit(noisy, p))
        shares, gains = [], []
        for share in READ_SHARES:
            read = order[: max(1, round(share * len(x)))]
            righted = noisy.copy()
            righted[read] = x[read]
            shares.append(float(flipped[read].sum()) / len(x))
            gains.append(self._score(self._fit(righted, p)) - before)
        found = np.array(shares)
        self.worth = WORTH_WITHOUT_FLIPS * (found @ np.array(gains)) / max(float(found @ found), 1e-9)

    def _try_laws(self, new: NewRows, p: FloatArray, margins: FloatArray) -> None:
        place = np.full(len(self.rows), -1)
        place[self.trained] = np.arange(len(self.trained))
        mine = place[new.source] >= 0
        source = place[new.source[mine]]
        turn = np.arange(len(source)) - np.searchsorted(source, source)  # which of its source's new pairs each is
        capacity = np.bincount(source, minlength=len(self.trained))
        base, pairs, sure = new.base[self.trained], new.differences[mine], new.confidence[mine]
        for law in new.laws:
            share = spend(margins, new.config, law=law, eligible=new.eligible[self.trained])
            counts = np.minimum(share.budgets, capacity)
            rest = int(share.budgets.sum() - counts.sum())
            counts = counts + allocate_budget(share.probabilities, rest, capacity=capacity - counts)
            taken = turn < counts[source]
            everything = np.vstack([base, pairs[taken]])
            self.before_laws = self._refit(everything, np.concatenate([p, sure[taken]]), self.rows.l2, self.before_laws)
            scored = (new.base[self.held] @ self.before_laws.weights)[self.scored]
            self.gains[law] = soft_correctness(scored) - self.base
            self.new_pairs[law] = float(taken.sum()) * len(self.rows) / len(self.trained)

    def _inner_margins(self, x: FloatArray, p: FloatArray) -> FloatArray:
        prompts = [self.rows.prompts[place] for place in self.trained.tolist()]
        folds = assign_folds(prompts, INNER_FOLDS, self.rng)
        margins = np.zeros(len(x))
        for fold in range(INNER_FOLDS):
            held = folds == fold
            if held.any() and not held.all():
                margins[held] = x[held] @ self._fit(x[~held], p[~held])
        return margins

    def _score(self, head: FloatArray) -> FloatArray:
        return soft_correctness((self.rows.differences[self.held] @ head)[self.scored])

    def _fit(self, x: FloatArray, p: FloatArray) -> FloatArray:
        """Return the head of an exact fit, begun where the last one ended."""
        self.before = self._refit(x, p, self.rows.l2, self.before)
        return self.before.weights

    def _refit(self, x: FloatArray, p: FloatArray, l2: float, before: BradleyTerryFit | None) -> BradleyTerryFit:
        self.fits += 1
        return refit_bradley_terry(x, np.ones(len(x)), p, l2=l2, before=before, tolerance=COARSE)
