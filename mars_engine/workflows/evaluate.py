"""Evaluate: reward models on held-out pairs that none of them saw, with intervals, beside "the longer one wins"."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mars_engine.maths.metrics import MarginMetrics, correctness, longer_wins, summarize_margins
from mars_engine.maths.statistics import Interval, bootstrap_mean, paired_difference
from mars_engine.words.config import EvaluateConfig
from mars_engine.words.errors import NotReadyError
from mars_engine.words.protocols import ModelShelf, Progress, Store
from mars_engine.words.records import FloatArray, ModelRecord, Pair


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """One model on the held-out pairs."""

    model_id: str
    label: str
    training_pairs: int
    metrics: MarginMetrics
    accuracy: Interval
    curvature: Mapping[str, float] = field(default_factory=dict)
    """Of the loss on the model's own training pairs."""
    by_subset: Mapping[str, float] = field(default_factory=dict)
    """Accuracy by subset, where the held-out pairs have subsets."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Accuracy of one model less that of another, on the same pairs."""

    first: str
    second: str
    difference: Interval

    @property
    def verdict(self) -> str:
        """The comparison in plain words; it says so when no difference is shown."""
        if not self.difference.excludes_zero:
            return "no difference shown"
        return f"{self.first} is better" if self.difference.estimate > 0 else f"{self.second} is better"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All models on the same held-out pairs, and each model against those that were given before it."""

    pairs: int
    prompts: int
    models: tuple[ModelEvaluation, ...]
    longer_wins: Interval
    comparisons: tuple[Comparison, ...]


def evaluate(
    store: Store,
    shelf: ModelShelf,
    records: Sequence[ModelRecord],
    *,
    config: EvaluateConfig,
    progress: Progress,
) -> Evaluation:
    """Compare models on the held-out pairs. Intervals resample prompts, since pairs of one prompt are not independent.

    Raises:
        NotReadyError: there are no held-out pairs or no models.
    """
    pairs = store.pairs.pairs("heldout")
    if not pairs:
        raise NotReadyError(
            "there are no held-out pairs to evaluate on", remedy="run 'mars import FILE --split heldout'"
        )
    if not records:
        raise NotReadyError("there is no trained model to evaluate", remedy="run 'mars train' first")
    records = _with_distinct_labels(records)
    rewards = {record.id: _heldout_rewards(store, shelf, record, pairs, progress) for record in records}
    groups = [pair.prompt_id for pair in pairs]
    length_margins = longer_wins([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])
    return Evaluation(
        pairs=len(pairs),
        prompts=len(set(groups)),
        models=tuple(_evaluate_model(record, pairs, groups, *rewards[record.id], config=config) for record in records),
        longer_wins=_interval(correctness(length_margins), groups, config),
        comparisons=tuple(
            Comparison(second.label, first.label, _difference(rewards[second.id], rewards[first.id], groups, config))
            for position, second in enumerate(records)
            for first in records[:position]
        ),
    )


def _with_distinct_labels(records: Sequence[ModelRecord]) -> list[ModelRecord]:
    """Add the beginning of its id to a label that several models share."""
    uses = Counter(record.label for record in records)
    return [
        replace(record, label=f"{record.label} ({record.id[:6]})") if uses[record.label] > 1 else record
        for record in records
    ]


def _heldout_rewards(
    store: Store, shelf: ModelShelf, record: ModelRecord, pairs: Sequence[Pair], progress: Progress
) -> tuple[FloatArray, FloatArray]:
    """The model's rewards of the held-out pairs, from the store where it has scored them already."""
    known = store.models.scores(record.id)
    unscored = [pair for pair in pairs if pair.id not in known]
    if unscored:
        model = shelf.load(record)
        store.models.save_scores(record.id, [pair.id for pair in unscored], model.score(unscored, progress=progress))
        known = store.models.scores(record.id)
    return np.array([known[pair.id][0] for pair in pairs]), np.array([known[pair.id][1] for pair in pairs])


def _evaluate_model(
    record: ModelRecord,
    pairs: Sequence[Pair],
    groups: Sequence[str],
    chosen: FloatArray,
    rejected: FloatArray,
    *,
    config: EvaluateConfig,
) -> ModelEvaluation:
    correct = correctness(chosen - rejected)
    subsets = sorted({pair.subset for pair in pairs} - {""})
    return ModelEvaluation(
        model_id=record.id,
        label=record.label,
        training_pairs=int(record.metrics["training_pairs"]),
        metrics=summarize_margins(chosen, rejected, bins=config.calibration_bins),
        accuracy=_interval(correct, groups, config),
        curvature=record.metrics["curvature"],
        by_subset={subset: float(correct[[pair.subset == subset for pair in pairs]].mean()) for subset in subsets},
    )


def _interval(values: FloatArray, groups: Sequence[str], config: EvaluateConfig) -> Interval:
    rng = np.random.default_rng(config.seed)
    return bootstrap_mean(values, rng=rng, groups=groups, resamples=config.resamples, level=config.confidence)


def _difference(
    first: tuple[FloatArray, FloatArray],
    second: tuple[FloatArray, FloatArray],
    groups: Sequence[str],
    config: EvaluateConfig,
) -> Interval:
    return paired_difference(
        correctness(first[0] - first[1]),
        correctness(second[0] - second[1]),
        rng=np.random.default_rng(config.seed),
        groups=groups,
        resamples=config.resamples,
        level=config.confidence,
    )
