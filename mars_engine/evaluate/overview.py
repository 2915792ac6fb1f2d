"""Overview: what the first page shows of a workspace, from columns and counts; no text is read."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mars_engine.augment.quadrants import PlaneBorders, Quadrant, part_plane
from mars_engine.core.columns import Int32Array
from mars_engine.core.config import AllocationConfig, EvaluateConfig, GateConfig
from mars_engine.core.records import Float32Array, FloatArray, IntArray, ModelRecord
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex
from mars_engine.evaluate.heldout import Comparison
from mars_engine.evaluate.results import (
    ModelResult,
    compare_models,
    default_models,
    say_accuracy,
    say_change,
    say_comparison,
    say_last_step,
    say_log_loss,
)
from mars_engine.evaluate.series import MOST_POINTS
from mars_engine.evaluate.status import count_open_suspects
from mars_engine.reward_models.score import stored_rewards
from mars_engine.stats.intervals import Interval
from mars_engine.stats.metrics import TIE, margin_bin_edges
from mars_engine.store import Store

MARGIN_BINS = 40
DENSITY_BINS = (120, 80)
"""Columns (margin) and rows (distance)."""


@dataclass(frozen=True, slots=True, eq=False)
class MarginHistogram:
    """How many training pairs have a margin in each bin; a bin edge lies at 0, so no bin mixes right and wrong."""

    model_label: str
    edges: FloatArray
    counts: IntArray
    mis_ranked: int
    pairs: int


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Score margin against semantic distance of the training pairs: as points, or as a density where they are many."""

    margins: Float32Array
    """In reward units; empty where there is a density."""
    distances: Float32Array
    density: Int32Array
    """Pairs in each cell, shape (rows, columns); empty where there are points."""
    margin_edges: FloatArray
    distance_edges: FloatArray
    borders: PlaneBorders
    quadrants: tuple[Quadrant, ...]

    @property
    def pairs(self) -> int:
        return sum(quadrant.pairs for quadrant in self.quadrants)


@dataclass(frozen=True, slots=True)
class Headline:
    """The newest model beside the first that was trained; what is not known is None."""

    now: ModelResult | None
    before: ModelResult | None
    difference: Comparison | None
    mis_ranked_now: float
    """Share of the training pairs with a negative margin under the newest model; NaN where it has no scores."""
    mis_ranked_before: float
    last_step: Comparison | None = None
    """The newest less the one before it, where that is not the first."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What has been gained since the first model, as far as held-out pairs show it."""

    title: str
    measure: Literal["accuracy", "log-loss"]
    """What it is told by."""
    difference: Interval | None
    """Of the measure, the newest model less the first; None where there is one model alone."""
    is_shown: bool
    """Whether the interval misses 0."""
    words: tuple[str, ...]
    """Sentences that need no statistics."""
    last_step: str = ""
    """What the newest step alone did, as a sentence; empty where there was one step."""


def margin_histogram(index: PairIndex) -> MarginHistogram | None:
    """Return the margins of the training pairs under the newest model that has scored any; None where none has."""
    margins = index.by_present_labels(index.margin.astype(np.float64))
    margins = margins[(index.split == SPLIT_CODES.index("train")) & ~np.isnan(margins)]
    if index.model is None or not len(margins):
        return None
    edges = margin_bin_edges(margins, MARGIN_BINS)
    counts, _ = np.histogram(margins, bins=edges)
    return MarginHistogram(index.model.label, edges, counts, int((margins < -TIE).sum()), len(margins))


def margin_plane(index: PairIndex, *, allocation: AllocationConfig, gate: GateConfig) -> Plane | None:
    """Return the overview's plane of margin and distance for the training pairs that have both; None if none has."""
    borders = part_plane(index, allocation=allocation, gate=gate)
    if borders is None:
        return None
    signed = index.by_present_labels(index.margin)
    known = (index.split == SPLIT_CODES.index("train")) & ~np.isnan(signed) & ~np.isnan(index.distance)
    margins, distances = signed[known], index.distance[known]
    is_dense = len(margins) > MOST_POINTS
    counts, margin_edges, distance_edges = np.histogram2d(margins, distances, bins=DENSITY_BINS)
    return Plane(
        margins=margins[:0] if is_dense else margins,
        distances=distances[:0] if is_dense else distances,
        density=(counts.T if is_dense else counts[:0]).astype(np.int32),
        margin_edges=margin_edges,
        distance_edges=distance_edges,
        borders=borders,
        quadrants=borders.quadrants(margins, distances),
    )


def headline(store: Store, index: PairIndex, *, config: EvaluateConfig) -> Headline:
    """Return the newest model's figures beside those of the first: what all that was done since has gained.

    Of one kind where there are such, see `default_models`.
    """
    models = default_models(store.models.all())
    if not models:
        return Headline(None, None, None, float("nan"), float("nan"))
    newest, before = models[-1], models[0] if len(models) > 1 else None
    shares = [_mis_ranked_share(store, index, model) for model in (newest, before)]
    pair = [model for model in (before, newest) if model is not None]
    if not (index.split == SPLIT_CODES.index("heldout")).any():
        return Headline(None, None, None, shares[0], shares[1])
    results = compare_models(store, index, pair, config=config)
    last = compare_models(store, index, models[-2:], config=config).comparisons if len(models) > 2 else ()
    scored = {result.record.id: result for result in results.models}
    return Headline(
        now=scored.get(newest.id),
        before=scored.get(before.id) if before else None,
        difference=results.comparisons[0] if results.comparisons else None,
        mis_ranked_now=shares[0],
        mis_ranked_before=shares[1],
        last_step=next(iter(last), None),
    )


def say_gain(found: Headline) -> Gain | None:
    """Return what was gained by the evidence there is; None where no model has scored the held-out pairs.

    Accuracy is told where its difference is shown, else the log-loss where that is; never what chance explains.
    """
    if found.now is None:
        return None
    difference, now, before = found.difference, found.now, found.before
    if difference is None or before is None:
        words = (say_accuracy(now), "It is the first model: nothing was done yet that could have gained something.")
        return Gain("Where it begins", "accuracy", None, is_shown=False, words=words)
    words = (say_comparison(difference), say_log_loss(difference))
    title = say_change(difference)
    last = say_last_step(found.last_step) if found.last_step else ""
    if difference.difference.excludes_zero:
        return Gain(title, "accuracy", difference.difference, is_shown=True, words=words, last_step=last)
    if difference.log_loss.excludes_zero:
        then, today = (each.evaluation.metrics.typical_probability for each in (before, now))
        typical = (
            f"On a typical pair (geometric mean) it gives the better answer a probability of {today:.0%}; the first "
            f"gave {then:.0%}."
        )
        if difference.is_scale_alone:
            typical += (
                " That is the size of its margins alone: with both models' margins at their best scale, it is not "
                "shown to know the better answer any better."
            )
        told = (typical, *reversed(words))
        return Gain(title, "log-loss", difference.log_loss, is_shown=True, words=told, last_step=last)
    return Gain("No gain is shown yet", "accuracy", difference.difference, is_shown=False, words=words, last_step=last)


def tell_story(index: PairIndex) -> tuple[str, ...]:
    """Return the story so far in plain words: what the reward model is unsure about, and what was done about it."""
    training = np.equal(index.split, SPLIT_CODES.index("train"))
    if not training.any():
        return ()
    verdicts = Counter(VERDICT_CODES[code] for code in index.verdict[training])
    decisions = Counter(DECISION_CODES[code] for code in index.decision[training])
    told = []
    if index.triaged_by is not None:
        told.append(
            f"Of {int(training.sum()):,} training pairs {verdicts['hard']:,} are hard to tell apart for models that "
            f"never saw them, and {verdicts['suspected']:,} look mislabelled to them; nobody has decided about "
            f"{count_open_suspects(index):,} of these."
        )
    decided = sum(decisions.values()) - decisions[""]
    if decided:
        by_policy = int(index.decided_by_policy[training].sum())
        turned = f"; {decisions['flip']:,} of them turned round" if decisions["flip"] else ""
        told.append(
            f"{decided:,} labels were decided about: {decided - by_policy:,} by people, {by_policy:,} by a policy alone"
            f"{turned}."
        )
    proposed, accepted, waiting = (int(each.sum()) for each in (index.proposals, index.accepted, index.pending))
    if proposed:
        told.append(f"{proposed:,} augmented pairs were proposed: {accepted:,} accepted, {waiting:,} wait to be read.")
    return tuple(told)


def _mis_ranked_share(store: Store, index: PairIndex, model: ModelRecord | None) -> float:
    if model is None:
        return float("nan")
    if index.model is not None and index.model.id == model.id:
        margins = index.margin[index.split == SPLIT_CODES.index("train")].astype(np.float64)
    else:
        margins = stored_rewards(store, index, model.id, "train").margins
    if not len(margins) or np.isnan(margins).any():
        return float("nan")
    everywhere = np.full(len(index), np.nan)
    everywhere[index.split == SPLIT_CODES.index("train")] = margins
    counted = index.by_present_labels(everywhere)
    counted = counted[~np.isnan(counted)]
    return float((counted < -TIE).mean()) if len(counted) else float("nan")
