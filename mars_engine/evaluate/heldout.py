"""Evaluate: reward models on held-out pairs that none of them saw, with intervals, beside "the longer one wins"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import FloatArray, IntArray, ModelRecord, Pair, Rewards
from mars_engine.reward_models.model_labels import with_distinct_labels
from mars_engine.stats.intervals import Interval, bootstrap_mean, paired_difference
from mars_engine.stats.metrics import (
    MarginMetrics,
    correctness,
    log_losses,
    log_losses_at_best_scale,
    summarize_margins,
)


@dataclass(frozen=True, eq=False)
class HeldoutPairs:
    """n held-out pairs as columns: what evaluation asks of them beside a model's rewards."""

    prompts: IntArray
    """A number for each pair's prompt, equal where the prompts are, shape (n,)."""
    subsets: Mapping[str, IntArray]
    """Positions of the pairs of each named subset."""
    length_margins: FloatArray
    """Margins of the baseline that prefers the longer response, in characters, shape (n,)."""

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def prompt_count(self) -> int:
        return len(np.unique(self.prompts))


@dataclass(frozen=True, slots=True)
class SubsetAccuracy:
    """Accuracy on the held-out pairs of one subset."""

    pairs: int
    accuracy: Interval


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
    by_subset: Mapping[str, SubsetAccuracy] = field(default_factory=dict)
    """Where the held-out pairs have subsets."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model less another, on the same pairs."""

    first: str
    second: str
    difference: Interval
    """Of accuracy."""
    log_loss: Interval
    """Of the log-loss, in nats; below 0 where the first is surer of the better answers, or less sure of the worse."""
    kinds: tuple[str, str] | None = None
    """Of the first and the second, where they are of different kinds: that is then part of the difference."""
    log_loss_at_best_scale: Interval | None = None
    """Likewise, each model's margins at the scale that suits the pairs best; None where it is not known."""

    @property
    def caveat(self) -> str:
        """What the difference comes from beside labels and new pairs, as a sentence; empty where nothing is known."""
        if self.kinds is None:
            return ""
        return f"They are of different kinds, a {self.kinds[0]} and a {self.kinds[1]}: that is part of the difference."

    @property
    def verdict(self) -> str:
        """The comparison in plain words; it says so when no difference is shown."""
        if not self.difference.excludes_zero:
            return "no difference shown"
        return f"{self.first} is better" if self.difference.estimate > 0 else f"{self.second} is better"

    @property
    def log_loss_verdict(self) -> str:
        """Likewise, of how sure they are of the better answers."""
        if not self.log_loss.excludes_zero:
            return "no difference shown"
        better = self.first if self.log_loss.estimate < 0 else self.second
        if self.is_scale_alone:
            return f"{better} is better calibrated, by the size of its margins alone"
        return f"{better} is surer of the better answers"

    @property
    def is_scale_alone(self) -> bool:
        """Whether the log-losses differ, and no longer so once each model's margins are at their best scale."""
        scaled = self.log_loss_at_best_scale
        if scaled is None or not self.log_loss.excludes_zero:
            return False
        return not scaled.excludes_zero or (scaled.estimate < 0) != (self.log_loss.estimate < 0)


@dataclass(frozen=True, slots=True)
class Evaluation(ShownAsTable):
    """All models on the same held-out pairs, and each model against those that were given before it."""

    pairs: int
    prompts: int
    models: tuple[ModelEvaluation, ...]
    longer_wins: Interval
    comparisons: tuple[Comparison, ...]


def evaluate(bench: Workbench, records: Sequence[ModelRecord]) -> Evaluation:
    """Compare models on the held-out pairs. Intervals resample prompts, since pairs of one prompt are not independent.

    Raises:
        NotReadyError: there are no held-out pairs or no models.
    """
    config = bench.config.evaluate
    pairs = bench.store.pairs.pairs("heldout")
    if not pairs:
        raise NotReadyError(
            "there are no held-out pairs to evaluate on", remedy="run 'mars import FILE --split heldout'"
        )
    if not records:
        raise NotReadyError("there is no trained model to evaluate", remedy="run 'mars train' first")
    records = with_distinct_labels(records)
    rewards = {record.id: _heldout_rewards(bench, record, pairs) for record in records}
    heldout = _as_columns(pairs)
    return Evaluation(
        pairs=len(pairs),
        prompts=heldout.prompt_count,
        models=tuple(evaluate_model(record, heldout, rewards[record.id], config=config) for record in records),
        longer_wins=accuracy_interval(heldout.length_margins, heldout.prompts, config=config),
        comparisons=tuple(
            compare(second, first, heldout, rewards, config=config)
            for position, second in enumerate(records)
            for first in records[:position]
        ),
    )


def _heldout_rewards(bench: Workbench, record: ModelRecord, pairs: Sequence[Pair]) -> Rewards:
    """The model's rewards of the held-out pairs, from the store where it has scored them already."""
    models = bench.store.models
    known = models.scores(record.id)
    unscored = [pair for pair in pairs if pair.id not in known]
    if unscored:
        rewards = bench.shelf.load(record).score(unscored, progress=bench.progress)
        models.save_scores(record.id, [pair.id for pair in unscored], rewards)
        known = models.scores(record.id)
    chosen, rejected = (np.array([known[pair.id][side] for pair in pairs]) for side in (0, 1))
    return Rewards(chosen, rejected)


def _as_columns(pairs: Sequence[Pair]) -> HeldoutPairs:
    _, prompts = np.unique([pair.prompt_id for pair in pairs], return_inverse=True)
    names = np.array([pair.subset for pair in pairs])
    return HeldoutPairs(
        prompts=prompts,
        subsets={str(name): np.flatnonzero(names == name) for name in np.unique(names) if name},
        length_margins=np.array([len(pair.chosen) - len(pair.rejected) for pair in pairs], dtype=np.float64),
    )


def evaluate_model(
    record: ModelRecord, heldout: HeldoutPairs, rewards: Rewards, *, config: EvaluateConfig
) -> ModelEvaluation:
    """Return a model's figures on the held-out pairs, from its rewards of them."""
    margins = rewards.margins
    return ModelEvaluation(
        model_id=record.id,
        label=record.label,
        training_pairs=int(record.metrics["training_pairs"]),
        metrics=summarize_margins(rewards.chosen, rewards.rejected, bins=config.calibration_bins),
        accuracy=accuracy_interval(margins, heldout.prompts, config=config),
        curvature=record.metrics.get("curvature", {}),
        by_subset={
            name: SubsetAccuracy(
                len(places), accuracy_interval(margins[places], heldout.prompts[places], config=config)
            )
            for name, places in heldout.subsets.items()
        },
    )


def compare(
    first: ModelRecord,
    second: ModelRecord,
    heldout: HeldoutPairs,
    rewards: Mapping[str, Rewards],
    *,
    config: EvaluateConfig,
) -> Comparison:
    """Return accuracy and log-loss of the first model less those of the second, on the same pairs."""
    accuracy, log_loss, at_best_scale = (
        paired_difference(
            one,
            other,
            rng=np.random.default_rng(config.seed),
            groups=heldout.prompts,
            resamples=config.resamples,
            level=config.confidence,
        )
        for one, other in zip(
            _measures(rewards[first.id].margins, heldout.prompts),
            _measures(rewards[second.id].margins, heldout.prompts),
            strict=True,
        )
    )
    kinds = (first.kind, second.kind) if first.kind != second.kind else None
    return Comparison(first.label, second.label, accuracy, log_loss, kinds, at_best_scale)


def _measures(margins: FloatArray, prompts: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what two models are compared by: whether each pair is ranked right, its loss, that at the best scale."""
    return correctness(margins), log_losses(margins), log_losses_at_best_scale(margins, prompts)


def accuracy_interval(margins: FloatArray, prompts: IntArray, *, config: EvaluateConfig) -> Interval:
    """Return the accuracy of margins, with an interval that draws the pairs of one prompt together."""
    return bootstrap_mean(
        correctness(margins),
        rng=np.random.default_rng(config.seed),
        groups=prompts,
        resamples=config.resamples,
        level=config.confidence,
    )
