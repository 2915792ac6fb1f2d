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

Variant = Literal["v1", "no gamed runs", "minimal"]
"""The package's length_controlled_v1, length_controlled_noreg and length_controlled_minimal."""
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
    variant: Variant
    length_weight: float
    """φ; negative where the judge prefers the longer answer."""
    difficulty_weight: float
    """ψ; 0 where difficulties are not known."""
    policy_weight: float
    """θ."""
    predictions: FloatArray
    """σ(ψ·difficulty + θ) of every prompt, those without a judgement included, shape (n,)."""

    @property
    def label(self) -> str:
        return LABELS[self.variant]


def why_not_controlled(preferences: FloatArray, length_differences: FloatArray) -> str:
    """Return why there is no length-controlled win rate, as a clause; empty where there is one."""
    judged = preferences[~np.isnan(preferences)]
    if len(judged) < FEWEST_PROMPTS:
        return f"{len(judged)} prompts were judged, and {FOLDS}-fold cross-validation needs {FEWEST_PROMPTS}"
    if not length_differences.std():
        return "all answers differ from the baseline's by the same length"
    return ""


def control_length(
    preferences: FloatArray,
    length_differences: FloatArray,
    *,
    difficulties: FloatArray | None = None,
    gamed: GamedRuns | None = None,
) -> LengthControlled:
    """Return the length-controlled win rate of n preferences. `why_not_controlled` must have nothing to say.

    Args:
        preferences: probability that the policy wins, NaN where the judge failed, shape (n,).
        length_differences: characters of the baseline's answer minus the policy's, shape (n,).
        difficulties: of the prompts, shape (n,); None where they are not known.
        gamed: the gamed runs; used with difficulties only.
    """
    variant: Variant = "minimal" if difficulties is None else "no gamed runs" if gamed is None else "v1"
    lengths = np.tanh(length_differences / length_differences.std(ddof=1))
    others = [np.ones(len(preferences))] if difficulties is None else [difficulties, np.ones(len(preferences))]
    design = np.column_stack([lengths, *others])
    rows, targets, weights = design, preferences, np.ones(len(preferences))
    if variant == "v1" and gamed is not None:
        of_gamed = np.column_stack(
            [np.tanh(gamed.length_differences), gamed.difficulties, np.zeros(len(gamed.preferences))]
        )
        rows = np.vstack([of_gamed, design])
        targets = np.concatenate([gamed.preferences, preferences])
        weights = np.concatenate([np.full(len(of_gamed), GAMED_WEIGHT / GAMED_RUNS), weights])
    judged = ~np.isnan(targets)
    coefficients = _fit(rows[judged], targets[judged], weights[judged])
    same_length = design.copy()
    same_length[:, 0] = 0.0
    predictions = np.exp(-np.logaddexp(0.0, -(same_length @ coefficients)))
    return LengthControlled(
        win_rate=PERCENT * float(predictions.mean()),
        spread=PERCENT * float(predictions.std(ddof=1) / np.sqrt(len(predictions))),
        variant=variant,
        length_weight=float(coefficients[0]),
        difficulty_weight=float(coefficients[1]) if difficulties is not None else 0.0,
        policy_weight=float(coefficients[-1]),
        predictions=predictions,
    )


def _fit(design: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the coefficients of the logistic regression, shape (d,).

    A target p counts as two rows: one that is won, of weight p, and one that is lost, of weight 1 − p. Both stay in one
    fold.
    """
    import sklearn
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GroupKFold

    is_win = np.repeat([1, 0], len(targets))
    shares = np.concatenate([targets, 1.0 - targets])
    twice = np.concatenate([weights, weights])
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
            np.vstack([design, design]),
            is_win,
            sample_weight=shares * twice,
            groups=np.tile(np.arange(len(targets)), 2),
            shares=shares,
            weights=twice,
        )
    return np.asarray(model.coef_[0], dtype=np.float64)


def _log_loss(is_win: BoolArray, predicted: FloatArray, *, shares: FloatArray, weights: FloatArray) -> float:
    """Return the weighted log loss of predictions of soft targets; the scorer passes what is won as 0 or 1."""
    predicted = np.clip(predicted, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    targets = np.where(is_win == 1, shares, 1.0 - shares)
    return -float(np.mean(weights * (targets * np.log(predicted) + (1 - targets) * np.log(1 - predicted))))
