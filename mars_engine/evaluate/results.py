"""Results: trained models beside each other, from the scores that are stored alone; no model is loaded.

A model that has not scored every held-out pair is listed as not scored yet, and compared with nothing.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mars_engine.core.columns import IdArray
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import MarsError, NotReadyError
from mars_engine.core.records import FloatArray, IntArray, ModelRecord, Rewards, Split
from mars_engine.data.pair_index import SPLIT_CODES, PairIndex, positions_of
from mars_engine.evaluate.heldout import (
    Comparison,
    HeldoutPairs,
    ModelEvaluation,
    accuracy_interval,
    compare,
    evaluate_model,
)
from mars_engine.reward_models.model_labels import with_distinct_labels
from mars_engine.reward_models.score import stored_rewards
from mars_engine.stats.intervals import Interval
from mars_engine.stats.metrics import ReliabilityBin, correctness, margin_bin_edges, reliability
from mars_engine.store import Store

MOVEMENT_BINS = 48
RESULT_SUBJECTS = ("pairs", "models", "scores", "plans", "compositions")
"""Subjects of the store's revisions that the figures here are made of."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a model was trained on, and by whose margins that was chosen. Counts are 0 for a warm-up."""

    law: str
    """Allocation law of the model's plan; "" for a warm-up, which is trained on base pairs alone."""
    parent_id: str
    parent_label: str
    """The model whose margins the budget was spent by; "" for a warm-up, or where it is gone."""
    budget: int
    new_pairs: int
    carried_over: int
    """New pairs of earlier rounds, where rounds are cumulative."""


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model's figures on the held-out pairs, and where it comes from."""

    record: ModelRecord
    lineage: Lineage
    evaluation: ModelEvaluation
    reliability: tuple[ReliabilityBin, ...]

    @property
    def label(self) -> str:
        return self.record.label


@dataclass(frozen=True, slots=True)
class UnscoredModel:
    """A model that cannot be compared yet."""

    record: ModelRecord
    scored: int
    """Held-out pairs that it has scored."""


@dataclass(frozen=True, slots=True)
class Results:
    """Models on the same held-out pairs, warm-ups first."""

    pairs: int
    prompts: int
    level: float
    """Of all intervals."""
    models: tuple[ModelResult, ...]
    not_scored: tuple[UnscoredModel, ...]
    longer_wins: Interval
    """Accuracy of the baseline that prefers the longer response."""
    comparisons: tuple[Comparison, ...]
    """Each model against the first of them, and against the one before it."""


@dataclass(frozen=True, eq=False, slots=True)
class Movement:
    """How the margins of one split's pairs moved from one model to another; labels as they were imported."""

    split: Split
    before: str
    after: str
    pairs: int
    edges: FloatArray
    """Bin edges that both histograms share, one of them 0, in reward units."""
    counts_before: IntArray
    counts_after: IntArray
    mean_before: float
    mean_after: float
    mis_ranked_before: int
    mis_ranked_after: int
    now_right: int
    """Pairs that count for more now: right where they were a tie or wrong, or a tie where they were wrong."""
    now_wrong: int
    """Pairs that count for less now."""
    crossed_ids: IdArray
    """The pairs that crossed 0, the greatest change first."""
    crossed_before: FloatArray
    crossed_after: FloatArray


def results_revision(store: Store) -> str:
    """Return what differs whenever the figures here may differ: the key for caching them."""
    return store.browse.revision_of(*RESULT_SUBJECTS)


def default_models(models: Sequence[ModelRecord]) -> list[ModelRecord]:
    """Return the first model, the newest warm-up and the newest model that was trained on new pairs, in this order.

    Models of one kind where there are such: between a probe and a transformer more differs than what was done.
    """
    warm_ups = [model for model in models if not model.composition_id]
    retrained = [model for model in models if model.composition_id]
    alike = [model for first in first_model(models) for model in warm_ups if model.kind == first.kind]
    newest_warm_up = (alike if len(alike) > 1 else warm_ups)[-1:]
    kinds = {model.kind for model in (retrained or newest_warm_up)[-1:]}
    of_the_kind = [model for model in models if model.kind in kinds]
    chosen = [*first_model(of_the_kind if len(of_the_kind) > 1 else models), *newest_warm_up, *retrained[-1:]]
    return list({model.id: model for model in chosen}.values())


def first_model(models: Sequence[ModelRecord]) -> list[ModelRecord]:
    """Return the model that results start from, as a list: the first trained, even if it was asked for again since."""
    return sorted(models, key=lambda model: model.created_at)[:1]


def compare_models(store: Store, index: PairIndex, models: Sequence[ModelRecord], *, config: EvaluateConfig) -> Results:
    """Compare models on the held-out pairs, by their stored scores; warm-ups first, then in the order given.

    Raises:
        NotReadyError: there are no held-out pairs.
    """
    places = np.flatnonzero(index.split == SPLIT_CODES.index("heldout"))
    if not len(places):
        raise NotReadyError(
            "there are no held-out pairs to compare models on", remedy="import some with the split 'held-out'"
        )
    models = sorted(models, key=lambda model: bool(model.composition_id))
    heldout = _heldout_columns(store, index, places)
    rewards = {model.id: stored_rewards(store, index, model.id, "heldout") for model in models}
    missing = {model_id: int(np.isnan(each.chosen).sum()) for model_id, each in rewards.items()}
    scored = with_distinct_labels([model for model in models if missing[model.id] == 0])
    return Results(
        pairs=len(heldout),
        prompts=heldout.prompt_count,
        level=config.confidence,
        models=tuple(
            ModelResult(
                record=model,
                lineage=trace_lineage(store, model),
                evaluation=evaluate_model(model, heldout, rewards[model.id], config=config),
                reliability=reliability(rewards[model.id].margins, bins=config.calibration_bins),
            )
            for model in scored
        ),
        not_scored=tuple(
            UnscoredModel(model, len(heldout) - missing[model.id]) for model in models if missing[model.id]
        ),
        longer_wins=accuracy_interval(heldout.length_margins, heldout.prompts, config=config),
        comparisons=_comparisons(scored, heldout, rewards, config),
    )


def margin_movement(store: Store, index: PairIndex, before: ModelRecord, after: ModelRecord, split: Split) -> Movement:
    """Return how the margins of a split's pairs moved, for the pairs that both models have scored.

    Raises:
        NotReadyError: there are none.
    """
    places = np.flatnonzero(index.split == SPLIT_CODES.index(split))
    first, second = (stored_rewards(store, index, model.id, split).margins for model in (before, after))
    both = ~(np.isnan(first) | np.isnan(second))
    if not both.any():
        raise NotReadyError(
            f"no {split} pair has been scored by both {before.label} and {after.label}", remedy="run 'mars score'"
        )
    places, first, second = places[both], first[both], second[both]
    edges = margin_bin_edges(np.concatenate([first, second]), MOVEMENT_BINS)
    right_before, right_after = correctness(first), correctness(second)
    crossed = np.flatnonzero(right_before != right_after)
    crossed = crossed[np.argsort(-np.abs(second - first)[crossed], kind="stable")]
    return Movement(
        split=split,
        before=before.label,
        after=after.label,
        pairs=len(places),
        edges=edges,
        counts_before=np.histogram(first, bins=edges)[0],
        counts_after=np.histogram(second, bins=edges)[0],
        mean_before=float(first.mean()),
        mean_after=float(second.mean()),
        mis_ranked_before=int((right_before == 0).sum()),
        mis_ranked_after=int((right_after == 0).sum()),
        now_right=int((right_after > right_before).sum()),
        now_wrong=int((right_after < right_before).sum()),
        crossed_ids=index.ids[places[crossed]],
        crossed_before=first[crossed],
        crossed_after=second[crossed],
    )


def trace_lineage(store: Store, model: ModelRecord) -> Lineage:
    """Return the lineage that results give a model: what it was trained on beside base pairs."""
    composition = store.compositions.get(model.composition_id) if model.composition_id else None
    if composition is None:
        return Lineage("", "", "", 0, 0, 0)
    plan = store.proposals.plan(composition.plan_id)
    parent = store.models.get(plan.model_id) if plan else None
    return Lineage(
        law=str(composition.settings.get("law", "")),
        parent_id=parent.id if parent else "",
        parent_label=parent.label if parent else "",
        budget=plan.budget if plan else 0,
        new_pairs=int(composition.summary.get("new_pairs", 0)),
        carried_over=int(composition.summary.get("carried_over", 0)),
    )


def _heldout_columns(store: Store, index: PairIndex, places: IntArray) -> HeldoutPairs:
    # Pairs that were imported since the index was read come last, and are not in it.
    _, prompts = np.unique(store.browse.prompt_ids("heldout")[: len(places)], return_inverse=True)
    subset = index.subset[places]
    named = [(code, name) for code, name in enumerate(index.subset_names) if name]
    positions = {name: np.flatnonzero(subset == code) for code, name in sorted(named, key=lambda each: each[1])}
    return HeldoutPairs(
        prompts=prompts,
        subsets={name: found for name, found in positions.items() if len(found)},
        length_margins=_length_margins(store, index)[places],
    )


def _length_margins(store: Store, index: PairIndex) -> FloatArray:
    """By how many characters the chosen answer of each held-out pair is longer; 0 for other pairs."""
    read = store.browse.lengths("heldout")
    places = positions_of(index.ids, index.id_order, read.pair_ids)
    margins = np.zeros(len(index))
    margins[places[places >= 0]] = (read.chosen - read.rejected)[places >= 0]
    return margins


def _comparisons(
    models: Sequence[ModelRecord], heldout: HeldoutPairs, rewards: Mapping[str, Rewards], config: EvaluateConfig
) -> tuple[Comparison, ...]:
    against_first = [(model, models[0]) for model in models[1:]]
    against_previous = [(model, before) for before, model in pairwise(models[1:])]
    return tuple(compare(*each, heldout, rewards, config=config) for each in [*against_first, *against_previous])


# ------------------------------------------------------------------------------------------------------ in plain words


def say_accuracy(result: ModelResult) -> str:
    """Say how often a model is right, in words that need no statistics."""
    accuracy = result.evaluation.accuracy
    return (
        f"The reward model “{result.label}” ranks {accuracy.estimate:.1%} of held-out pairs correctly; "
        f"with {accuracy.level:.0%} confidence between {accuracy.low:.1%} and {accuracy.high:.1%}."
    )


def say_comparison(comparison: Comparison) -> str:
    """Say how two models differ, and whether that is more than chance."""
    difference = comparison.difference
    points = signed_points(difference.estimate)
    more_or_fewer = "more" if difference.estimate > 0 else "fewer"
    change, than = f"{points[1:]} percentage points {more_or_fewer}", "than"
    if points == "0.0":
        change, than = "as many", "as"
    return (
        f"The reward model “{comparison.first}” ranks {change} held-out pairs correctly {than} "
        f"“{comparison.second}” ({difference.level:.0%} interval {signed_points(difference.low)} to "
        f"{signed_points(difference.high)} points): {comparison.verdict}. {comparison.caveat}".rstrip()
    )


def say_log_loss(comparison: Comparison) -> str:
    """Say how much surer of the better answers one model is than another, and whether that is more than chance."""
    difference = comparison.log_loss
    less_or_more = "less" if difference.estimate < 0 else "more"
    return (
        f"Its log-loss on them is {abs(difference.estimate):.3f} {less_or_more} than that of “{comparison.second}” "
        f"({difference.level:.0%} interval {signed_nats(difference.low)} to {signed_nats(difference.high)}): "
        f"{comparison.log_loss_verdict}."
        + (f" {say_best_scale(scaled)}" if (scaled := comparison.log_loss_at_best_scale) is not None else "")
    )


def say_best_scale(difference: Interval) -> str:
    """Say how much of a difference of log-losses is more than the size of the margins."""
    shown = "" if difference.excludes_zero else ": no difference shown"
    return (
        f"With each model's margins at their best scale the difference is {signed_nats(difference.estimate)} "
        f"({signed_nats(difference.low)} to {signed_nats(difference.high)}){shown}."
    )


def say_change(comparison: Comparison) -> str:
    """Say in a few words how one model differs from another, as far as that is shown."""
    if comparison.difference.excludes_zero:
        return "Right more often" if comparison.difference.estimate > 0 else "Right less often"
    if comparison.log_loss.excludes_zero:
        is_better = comparison.log_loss.estimate < 0
        if comparison.is_scale_alone:
            return f"{'Better' if is_better else 'Worse'} calibrated; not shown to be right more or less often"
        return (
            f"{'Surer' if is_better else 'Less sure'} of the better answers; not shown to be right more or less often"
        )
    return "No difference is shown"


def say_last_step(comparison: Comparison) -> str:
    """Say what the newest step alone did: what was gained since the first model may be an earlier step's."""
    points, nats = comparison.difference, comparison.log_loss
    return (
        f"The newest step alone, from {comparison.second} to {comparison.first}: {say_change(comparison).lower()} "
        f"(accuracy {signed_points(points.estimate)} points, {signed_points(points.low)} to "
        f"{signed_points(points.high)}; log-loss {signed_nats(nats.estimate)}, {signed_nats(nats.low)} to "
        f"{signed_nats(nats.high)}, less is better)."
    )


def signed_nats(nats: float) -> str:
    """Return a difference of held-out log-losses as results and reports print it, with a true minus sign."""
    return f"{nats:+.3f}".replace("-", "−")


def signed_points(share: float) -> str:
    """Return a difference of two shares as results and reports print it: signed percentage points, never "−0.0"."""
    points = round(share * 100, 1)
    return "0.0" if points == 0 else f"{points:+.1f}".replace("-", "−")


# ------------------------------------------------------------------------------------------------------------ as a file


def results_as_csv(results: Results) -> str:
    """Return the table of models as CSV, with figures in full."""
    rows = [_csv_row(model) for model in results.models]
    if not rows:
        raise MarsError("there is no scored model to write", remedy="run 'mars score'")
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _csv_row(model: ModelResult) -> dict[str, Any]:
    evaluation, metrics = model.evaluation, model.evaluation.metrics
    return {
        "model": model.label,
        "model_id": model.record.id,
        "kind": model.record.kind,
        "round": model.record.round,
        "law": model.lineage.law,
        "training_pairs": evaluation.training_pairs,
        "heldout_pairs": metrics.pairs,
        "accuracy": evaluation.accuracy.estimate,
        "accuracy_low": evaluation.accuracy.low,
        "accuracy_high": evaluation.accuracy.high,
        "interval_level": evaluation.accuracy.level,
        "log_loss_nats": metrics.log_loss,
        "calibration_error": metrics.calibration_error,
        "mean_score_margin": metrics.margin_mean,
        "auc": metrics.auc,
        "trained_at": model.record.created_at.isoformat(),
    }
