"""AlpacaEval's length-controlled win rate: the win rate if both answers were equally long.

Source: Dubois, Galambosi, Liang & Hashimoto 2024, arXiv 2404.04475, as the package alpaca_eval 0.6.6 computes it:
a logistic regression, P(policy wins) = σ(φ·tanh((len_base − len_policy)/sd) + ψ·difficulty + θ), without another
intercept, with an L1 penalty whose strength is found by 5-fold cross-validation. The figure is the mean prediction with
the length term left out.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mars_engine.align.alpaca.win_rate import PERCENT
from mars_engine.core.records import BoolArray, FloatArray
from mars_engine.stats.intervals import Interval
from mars_engine.stats.metrics import sigmoid

Variant = Literal["v1", "no gamed runs", "minimal"]
LABELS: dict[Variant, str] = {
    "v1": "AlpacaEval's length_controlled_v1",
    "no gamed runs": "AlpacaEval's formula without the gamed runs (its length_controlled_noreg)",
    "minimal": "AlpacaEval's formula without gamed runs and difficulties (its length_controlled_minimal)",
}
FOLDS = 5
FEWEST_PROMPTS = 2 * FOLDS
GAMED_WEIGHT = 0.2
"""Of all gamed runs together; the package has two, each with half of it."""
GAMED_RUNS = 2
SEED = 123
"""The package's; the solver draws the order of coordinates by it."""
SMALLEST_PROBABILITY = 1e-15


@dataclass(frozen=True, slots=True)
class GamedRuns:
    """Judgements of the baseline asked to be concise and verbose, which show what length alone does; m rows."""

    preferences: FloatArray
    length_differences: FloatArray
    """Baseline minus policy, in standard deviations."""
    difficulties: FloatArray


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """A length-controlled win rate, in percent."""

    win_rate: float
    spread: float
    """Standard error of the predictions over prompts, the package's lc_standard_error: no error of the estimate."""
    interval: Interval
    """Percentile bootstrap over prompts; the penalty stays what cross-validation found; gamed runs stay."""
    variant: Variant
    length_weight: float
    """φ; negative where the judge prefers the longer answer."""
    difficulty_weight: float
    """ψ; 0 where difficulties are not known."""
    policy_weight: float
    """θ."""

    @property
    def label(self) -> str:
        return LABELS[self.variant]

    def predict(self, difficulties: FloatArray) -> FloatArray:
        """Return σ(ψ·difficulty + θ), the probability that the policy wins at equal lengths, shape (n,)."""
        return sigmoid(self.difficulty_weight * difficulties + self.policy_weight)


def why_not_controlled(preferences: FloatArray, length_differences: FloatArray, *, has_gamed_runs: bool) -> str:
    """Return why there is no length-controlled win rate, as a clause; empty where there is one.

    Gamed runs are won and lost, so that with them a policy may win or lose everything.
    """
    judged = preferences[~np.isnan(preferences)]
    if len(judged) < FEWEST_PROMPTS:
        return f"{len(judged)} prompts were judged, and {FOLDS}-fold cross-validation needs {FEWEST_PROMPTS}"
    not_won, not_lost = int((judged < 1).sum()), int((judged > 0).sum())
    if min(not_won, not_lost) < FOLDS and not has_gamed_runs:
        side = f"all but {not_won} were won" if not_won < not_lost else f"all but {not_lost} were lost"
        return f"{side} of {len(judged)} prompts, and {FOLDS}-fold cross-validation needs {FOLDS} others"
    if not length_differences.std():
        return "all answers differ from the baseline's by the same length"
    return ""


def control_length(
    preferences: FloatArray,
    length_differences: FloatArray,
    *,
    rng: np.random.Generator,
    difficulties: FloatArray | None = None,
    gamed: GamedRuns | None = None,
    resamples: int = 500,
    level: float = 0.95,
) -> LengthControlled:
    """Return the length-controlled win rate of n preferences. `why_not_controlled` must have nothing to say.

    Args:
        preferences: probability that the policy wins, NaN where the judge failed, shape (n,).
        length_differences: characters of the baseline's answer minus the policy's, shape (n,).
        rng: draws the resamples.
        difficulties: of the prompts, shape (n,); None where they are not known.
        gamed: the gamed runs; used with difficulties only.
        resamples: of prompts, for the interval.
        level: level of the interval.
    """
    known = np.zeros(len(preferences)) if difficulties is None else difficulties
    judged = ~np.isnan(preferences)
    lengths = np.tanh(length_differences / length_differences.std(ddof=1))
    of_policy = _rows_of(lengths[judged], known[judged], preferences[judged], is_policy=True, weight=1.0)
    used_runs = None if difficulties is None else gamed
    rows = of_policy if used_runs is None else _rows_of_gamed(used_runs).with_rows(of_policy)
    strength = _choose_strength(rows)
    coefficients = _fit(rows, rows.weights, strength)
    predictions = _predict(coefficients, known)
    win_rate = PERCENT * float(predictions.mean())
    low, high = PERCENT * np.quantile(
        _resampled(rows, of_policy, strength, rng, resamples), [(1 - level) / 2, (1 + level) / 2]
    )
    return LengthControlled(
        win_rate=win_rate,
        spread=PERCENT * float(predictions.std(ddof=1) / np.sqrt(len(predictions))),
        interval=Interval(win_rate, float(low), float(high), level),
        variant="minimal" if difficulties is None else "no gamed runs" if used_runs is None else "v1",
        length_weight=float(coefficients[0]),
        difficulty_weight=float(coefficients[1]),
        policy_weight=float(coefficients[2]),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the regression is fitted to; m rows."""

    design: FloatArray
    """Length, difficulty and whether it is the policy's, shape (m, 3)."""
    targets: FloatArray
    weights: FloatArray

    @property
    def known(self) -> BoolArray:
        """Which columns say anything: unknown difficulties do not, and the solver ends a little elsewhere with them."""
        columns: BoolArray = np.asarray(self.design.any(axis=0), dtype=np.bool_)
        return columns

    @property
    def won_and_lost(self) -> FloatArray:
        """The known columns of every row twice, as a target p counts: won with weight p, and lost with 1 − p."""
        return np.tile(self.design[:, self.known], (2, 1))

    def with_rows(self, others: "_Rows") -> "_Rows":
        return _Rows(
            np.vstack([self.design, others.design]),
            np.concatenate([self.targets, others.targets]),
            np.concatenate([self.weights, others.weights]),
        )


def _rows_of(
    lengths: FloatArray, difficulties: FloatArray, targets: FloatArray, *, is_policy: bool, weight: float
) -> _Rows:
    design = np.column_stack([lengths, difficulties, np.full(len(targets), float(is_policy))])
    return _Rows(design, targets, np.full(len(targets), weight))


def _rows_of_gamed(gamed: GamedRuns) -> _Rows:
    lengths = np.tanh(gamed.length_differences)
    weight = GAMED_WEIGHT / GAMED_RUNS
    return _rows_of(lengths, gamed.difficulties, gamed.preferences, is_policy=False, weight=weight)


def _resampled(rows: _Rows, of_policy: _Rows, strength: float, rng: np.random.Generator, resamples: int) -> FloatArray:
    """Return win rates in [0, 1] of the policy's judged prompts drawn anew; its rows are the last of all rows."""
    prompts = len(of_policy.targets)
    win_rates = np.empty(resamples)
    for number in range(resamples):
        drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts))
        weights = np.concatenate([rows.weights[:-prompts], drawn])
        won = float((weights * rows.targets).sum() / weights.sum())
        if won in (0.0, 1.0):  # nothing to fit: all that was drawn was lost, or won
            win_rates[number] = won
            continue
        coefficients = _fit(rows, weights, strength)
        win_rates[number] = _predict(coefficients, np.repeat(of_policy.design[:, 1], drawn)).mean()
    return win_rates


def _predict(coefficients: FloatArray, difficulties: FloatArray) -> FloatArray:
    return sigmoid(coefficients[1] * difficulties + coefficients[2])


def _fit(rows: _Rows, weights: FloatArray, strength: float) -> FloatArray:
    """Return the coefficients, shape (3,); 0 for what is not known."""
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(
        C=strength, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=SEED
    )
    model.fit(
        rows.won_and_lost,
        np.repeat([1, 0], len(rows.targets)),
        sample_weight=np.concatenate([weights * rows.targets, weights * (1 - rows.targets)]),
    )
    coefficients = np.zeros(rows.design.shape[1])
    coefficients[rows.known] = model.coef_[0]
    return coefficients


def _choose_strength(rows: _Rows) -> float:
    """Return the inverse strength of the penalty that predicts left-out prompts best; both rows of a target stay in one
    fold."""
    import sklearn
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GroupKFold

    shares = np.concatenate([rows.targets, 1.0 - rows.targets])
    weights = np.tile(rows.weights, 2)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(_log_loss, response_method="predict_proba", greater_is_better=False)
        model: Any = LogisticRegressionCV(
            cv=GroupKFold(FOLDS),
            scoring=scorer.set_score_request(shares=True, weights=True),
            l1_ratios=(1.0,),
            solver="liblinear",
            fit_intercept=False,
            random_state=SEED,
            use_legacy_attributes=False,
        )
        model.set_fit_request(sample_weight=True)
        model.fit(
            rows.won_and_lost,
            np.repeat([1, 0], len(rows.targets)),
            sample_weight=shares * weights,
            groups=np.tile(np.arange(len(rows.targets)), 2),
            shares=shares,
            weights=weights,
        )
    return float(model.C_)


def _log_loss(is_win: BoolArray, predicted: FloatArray, *, shares: FloatArray, weights: FloatArray) -> float:
    """Return the weighted log loss of predictions of soft targets; the scorer passes what is won as 0 or 1."""
    predicted = np.clip(predicted, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    targets = np.where(is_win == 1, shares, 1.0 - shares)
    return -float(np.mean(weights * (targets * np.log(predicted) + (1 - targets) * np.log(1 - predicted))))
