"""The method itself on arrays, without a workspace: allocation, triage, the distance gate, composition, the probe."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mars_engine.api.checks import at_least, one_of
from mars_engine.augment.allocation import AllocationSummary, summarize_allocation
from mars_engine.augment.composition import spread_cells
from mars_engine.augment.distance_gate import gate_threshold, is_high
from mars_engine.augment.plan import spend
from mars_engine.augment.quality.text_facts import normalized
from mars_engine.core.config import LAWS, AllocationConfig, AllocationLaw, GateRule, MarginScale
from mars_engine.core.errors import MarsError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import BoolArray, FloatArray, IntArray
from mars_engine.reward_models.bradley_terry import bradley_terry_losses, fit_bradley_terry
from mars_engine.reward_models.triage import TriageJudgement, judge_labels
from mars_engine.stats.metrics import pairwise_accuracy

RULES: tuple[GateRule, ...] = ("mean", "quantile", "fixed")
SCALES: tuple[MarginScale, ...] = ("raw", "standard")


@dataclass(frozen=True, slots=True, eq=False)
class AllocatedBudget(ShownAsTable):
    """A budget spread over n source pairs."""

    law: AllocationLaw
    probabilities: FloatArray
    """Each pair's share q, shape (n,), summing to 1; 0 where a pair was not eligible."""
    counts: IntArray
    """New pairs that each gets, shape (n,)."""
    summary: AllocationSummary
    unspent: int
    """What of the budget nobody could take."""
    why_unspent: str
    """As a sentence; empty where all is spent."""


@dataclass(frozen=True, slots=True, eq=False)
class GatedPairs(ShownAsTable):
    """What the distance gate says of n pairs."""

    threshold: float
    """The semantic distance (1 − cosine) from which on a pair passes."""
    passes: BoolArray
    """Which pairs are far enough apart to be paraphrased as they are, shape (n,); the others are refined first."""
    passed: int
    to_refine: int


@dataclass(frozen=True, slots=True)
class ComposedGrid(ShownAsTable):
    """New pairs of one source's grid, in the order in which they are taken."""

    pairs: tuple[tuple[str, str], ...]
    """Chosen and rejected text of each new pair."""
    dropped: dict[str, int]
    """Texts and cells that gave no new pair, by reason."""
    short: int
    """New pairs that were asked for, but for which the grid had no cell left."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedProbe(ShownAsTable):
    """A linear Bradley–Terry reward model: the reward of an answer is w·φ."""

    weights: FloatArray
    """w, shape (d,)."""
    l2: float
    pairs: int
    training_accuracy: float
    """Share of the pairs with a positive margin, ties 0.5."""
    training_log_loss: float
    """Mean −log σ(Δ) of the pairs, in nats, without the penalty."""

    def margins(self, differences: ArrayLike) -> FloatArray:
        """Return the fitted probe's margins w·Δφ of an array of differences (n, d), in reward units, shape (n,).

        Raises:
            MarsError: the differences have another width, or values that are not finite.
        """
        rows = _array("differences", differences, dimensions=2)
        if rows.shape[1] != len(self.weights):
            raise MarsError(f"differences have shape {rows.shape}", expected=f"(n, {len(self.weights)}), as in the fit")
        return np.asarray(rows @ self.weights, dtype=np.float64)


def allocate(
    margins: ArrayLike,
    budget: int,
    *,
    law: AllocationLaw = "signed",
    tau: float = 0.5,
    scale: MarginScale = "raw",
    cap: int = 0,
    eligible: ArrayLike | None = None,
) -> AllocatedBudget:
    """Spread a budget of new pairs over source pairs by an array of their score margins, without a workspace.

    Args:
        margins: reward of chosen minus reward of rejected, shape (n,), in reward units.
        budget: new pairs in all, at least 1.
        law: "signed" softmax(−tau·margin), "absolute" softmax(−tau·|margin|), "fisher" or "uniform".
        tau: sharpness of the softmax laws, at least 0.
        scale: "raw" margins, or "standard": divided by their standard deviation.
        cap: most new pairs of one source pair; 0 for no cap.
        eligible: which pairs may get a share, shape (n,), of booleans; all where it is None.

    Raises:
        MarsError: the law is unknown, a number out of its range, or an array has a wrong shape or values that are not
            finite.
    """
    values = _array("margins", margins, dimensions=1)
    one_of("law", law, LAWS)
    one_of("scale", scale, SCALES)
    at_least("budget", budget, 1, whole=True)
    at_least("tau", tau, 0)
    at_least("cap", cap, 0, whole=True)
    mask = np.ones(len(values), dtype=bool) if eligible is None else _mask(eligible, len(values))
    config = AllocationConfig(law=law, tau=tau, scale=scale, budget=budget, cap=cap)
    spent = spend(values, config, law=law, eligible=mask)
    unspent = budget - int(spent.budgets.sum())
    why = "" if not unspent else "No pair is eligible." if not mask.any() else "All that are eligible are at the cap."
    summary = summarize_allocation(spent.probabilities, spent.budgets)
    return AllocatedBudget(law, spent.probabilities, spent.budgets, summary, unspent, why)


def triage(margins: ArrayLike, *, near_zero: float = 0.25) -> TriageJudgement:
    """Tell suspected mislabels from hard pairs, by margins of models that never saw the pair.

    Args:
        margins: out-of-fold margins, shape (draws, n), or (n,) for one draw, in reward units.
        near_zero: a mean margin within this many standard deviations of 0 counts as hard, not as suspected.

    Returns:
        A verdict on each pair, "clear", "hard", "suspected" or "indistinct", with the figures it comes from, (n,) each.

    Raises:
        MarsError: the margins have another shape or values that are not finite, or `near_zero` is negative.
    """
    values = np.asarray(margins)
    rows = _array("margins", values[None, :] if values.ndim == 1 else values, dimensions=2)
    at_least("near_zero", near_zero, 0)
    return judge_labels(rows, near_zero=near_zero)


def gate(distances: ArrayLike, *, rule: GateRule = "mean", quantile: float = 0.5, threshold: float = 0.3) -> GatedPairs:
    """Tell which pairs' answers are far enough apart, and which need sharper contrast before they are paraphrased.

    Args:
        distances: semantic distance (1 − cosine, 0 to 2) of each pair's answers, shape (n,).
        rule: the threshold is the "mean" distance, a "quantile" of them, or "fixed".
        quantile: which quantile, from 0 to 1, under the rule "quantile".
        threshold: which distance, under the rule "fixed".

    Raises:
        MarsError: the rule is unknown, or an array has a wrong shape or values that are not finite or out of range.
    """
    values = _array("distances", distances, dimensions=1)
    one_of("rule", rule, RULES)
    for name, value, most in (("quantile", quantile, 1), ("threshold", threshold, 2)):
        if not 0 <= value <= most:
            raise MarsError(f"{name} is {value!r}", expected=f"a number from 0 to {most}")
    if len(values) and (values.min() < -1e-6 or values.max() > 2 + 1e-6):
        raise MarsError(f"distances go from {values.min():.3g} to {values.max():.3g}", expected="1 − cosine, 0 to 2")
    limit = gate_threshold(values, rule, quantile=quantile, fixed=threshold)
    passes = is_high(values, limit)
    return GatedPairs(limit, passes, int(passes.sum()), int((~passes).sum()))


def compose(chosen: Sequence[str], rejected: Sequence[str], *, count: int | None = None) -> ComposedGrid:
    """Make new pairs of one source's approved texts: the cells of the grid of chosen by rejected texts.

    Texts are used about equally often, however many pairs are taken. The source's own pair is none of them.

    Args:
        chosen: the source's own chosen text, then its approved variants.
        rejected: likewise of the rejected side.
        count: how many new pairs to take; all where it is None.

    Raises:
        MarsError: a side has no text, a text is not a string or is empty, or `count` is negative.
    """
    if count is not None:
        at_least("count", count, 0, whole=True)
    dropped: Counter[str] = Counter()
    first, second = (_distinct(name, texts, dropped) for name, texts in (("chosen", chosen), ("rejected", rejected)))
    found: list[tuple[str, str]] = []
    for row, column in spread_cells(len(first) - 1, len(second) - 1):
        if normalized(first[row]) == normalized(second[column]):
            dropped["both sides say the same"] += 1
        else:
            found.append((first[row], second[column]))
    wanted = len(found) if count is None else count
    return ComposedGrid(tuple(found[:wanted]), dict(dropped), max(0, wanted - len(found)))


def fit_probe(
    differences: ArrayLike,
    *,
    l2: float,
    weights: ArrayLike | None = None,
    label_confidence: ArrayLike | None = None,
) -> FittedProbe:
    """Fit a linear Bradley–Terry reward model on features of your own: an exact convex problem.

    Args:
        differences: φ(chosen) − φ(rejected), shape (n, d).
        l2: strength of the penalty l2/2·|w|² beside the mean loss of a pair, above 0.
        weights: weight of each pair in the loss, shape (n,), positive; all equal where it is None.
        label_confidence: probability that `chosen` is the better side, shape (n,), 0 to 1; 1 where it is None.

    Raises:
        MarsError: there are no pairs, a number is out of its range, or an array has a wrong shape or values that are
            not finite.
    """
    rows = _array("differences", differences, dimensions=2)
    if not rows.size:
        raise MarsError(f"differences have shape {rows.shape}", expected="at least one pair and one feature")
    if not (np.isfinite(l2) and l2 > 0):
        raise MarsError(f"l2 is {l2!r}", expected="a number above 0, such as 0.01")
    share = np.ones(len(rows)) if weights is None else _array("weights", weights, dimensions=1, length=len(rows))
    if (share <= 0).any():
        raise MarsError(f"{int((share <= 0).sum())} of the weights are not above 0", remedy="leave those pairs out")
    sure = np.ones(len(rows))
    if label_confidence is not None:
        sure = _array("label_confidence", label_confidence, dimensions=1, length=len(rows))
        if sure.min() < 0 or sure.max() > 1:
            raise MarsError("a label confidence is out of range", expected="probabilities from 0 to 1")
    head = fit_bradley_terry(rows, share, sure, l2=l2)
    margins = rows @ head
    losses = bradley_terry_losses(margins, sure)
    labelled = np.where(sure >= 0.5, margins, -margins)
    return FittedProbe(head, l2, len(rows), pairwise_accuracy(labelled), float(np.average(losses, weights=share)))


# ------------------------------------------------------------------------------------------------------------- checks


def _array(name: str, given: ArrayLike, *, dimensions: int, length: int | None = None) -> FloatArray:
    shape = "(n,)" if dimensions == 1 else "(n, d)"
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MarsError(f"{name} are no numbers: {error}", expected=f"an array of shape {shape}") from error
    if values.ndim != dimensions or (length is not None and len(values) != length):
        raise MarsError(
            f"{name} have shape {values.shape}", expected=shape if length is None else f"({length},), one a pair"
        )
    if not np.isfinite(values).all():
        raise MarsError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} {name} are NaN or infinite",
            expected="finite numbers",
            remedy="leave those pairs out, or find out why they have none",
        )
    return values


def _mask(given: ArrayLike, length: int) -> BoolArray:
    values = np.asarray(given)
    if values.dtype != np.bool_ or values.shape != (length,):
        raise MarsError(f"eligible has shape {values.shape} of {values.dtype}", expected=f"({length},) of booleans")
    return values


def _distinct(name: str, texts: Sequence[str], dropped: Counter[str]) -> list[str]:
    """Return the texts that say different things, the source's own first."""
    if isinstance(texts, str) or not len(texts):
        raise MarsError(f"{name} has no list of texts", expected="the source's own text, then its approved variants")
    kept: dict[str, str] = {}
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise MarsError(f"{name} has {text!r} among its texts", expected="texts that are not empty")
        if kept.setdefault(normalized(text), text) is not text:
            dropped[f"a {name} text that says the same as another"] += 1
    return list(kept.values())
