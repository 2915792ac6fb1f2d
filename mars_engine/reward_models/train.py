"""Train: the warm-up on base pairs, and later models on what was composed. A trained model is never trained again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import Progress
from mars_engine.core.records import SPLITS, Composition, ModelEvidence, ModelRecord, Rewards, TrainingSet
from mars_engine.data.sources import (
    load_sources,
    refined_sides,
    standing_pairs,
    training_set,
    triage_of_composition,
)
from mars_engine.reward_models.bradley_terry import bradley_terry_losses
from mars_engine.reward_models.choice_summary import CHOICE_METRIC
from mars_engine.reward_models.curvature import hessian, summarize_curvature
from mars_engine.reward_models.protocols import FeatureChoosingModel, LinearRewardModel, RemarkedModel, RewardModel
from mars_engine.reward_models.workbench import AddPoint, ModelWorkbench
from mars_engine.stats.metrics import is_tie, pairwise_accuracy, summarize_margins
from mars_engine.store import Store

WARM_UP, CHECKED_WARM_UP = "warm-up", "warm-up, labels checked"


@dataclass(frozen=True)
class _StoredNotes:
    """Keeps what is told of a training: points where the run keeps its curves, epochs in the store."""

    store: Store
    point: AddPoint

    def add_point(self, metric: str, step: int, value: float) -> None:
        self.point(metric, step, value)

    def add_epoch(self, model_id: str, epoch: int, margins: Mapping[str, float]) -> None:
        self.store.models.save_epoch(model_id, epoch, margins)


def train_warm_up(bench: ModelWorkbench) -> ModelRecord:
    """Train a reward model on the base pairs, before any margin is used, and store its rewards of all imported pairs.

    People's decisions about labels apply; triage's policy does not, since triage needs this model first. What probes
    look at is chosen here, by the pairs as they stand now, for everything that asks one later.

    Raises:
        NotReadyError: there are no training pairs.
    """
    sources = load_sources(bench.store, bench.config.triage, policy="keep")
    examples = training_set(sources)
    if examples.pairs:
        bench.probe_trainer.prepare(examples, progress=bench.progress)
    is_checked = any(source.decided for source in sources)
    return _train(bench, examples, None, label=CHECKED_WARM_UP if is_checked else WARM_UP)


def train_on(bench: ModelWorkbench, composition: Composition) -> ModelRecord:
    """Train a reward model on the base pairs, as triage and people treat them, and on a composition's new pairs.

    Triage's policy is that of the composition's plan. New pairs that no longer stand are left out: those of sources
    that were dropped, or whose label was flipped, since they were written. All imported pairs' rewards are stored.

    Raises:
        NotReadyError: no pair of the composition stands.
    """
    store = bench.store
    sources = load_sources(store, triage_of_composition(store, composition))
    composed = standing_pairs(store, composition.id, sources)
    if not composed:
        raise NotReadyError(
            "the composition has no pairs", remedy="review some proposals ('mars review'), then run 'mars compose'"
        )
    examples = training_set(sources, composed, refined=refined_sides(store, composed))
    return _train(bench, examples, composition, label=f"{composition.settings['law']} round {composition.round}")


def _train(bench: ModelWorkbench, examples: TrainingSet, composition: Composition | None, *, label: str) -> ModelRecord:
    store, trainer, shelf, progress = bench.store, bench.trainer, bench.shelf, bench.progress
    present = store.models.get(trainer.model_id(examples))
    if present is not None:
        # Two compositions of the same pairs make one model: it is that of the one asked for last, which the next step
        # works with.
        made_for = composition.id if composition else ""
        present = replace(present, label=label, composition_id=made_for, round=composition.round if composition else 0)
        if shelf.holds(present):
            store.models.add(present)
            return present
    model = trainer.train(examples, progress=progress, notes=_StoredNotes(store, bench.add_point))
    rewards = model.score(examples.pairs, progress=progress)
    record = ModelRecord(
        id=model.id,
        kind=trainer.kind,
        label=label,
        settings=trainer.settings,
        metrics=_fit_metrics(model, examples, rewards, composed=composition is not None, progress=progress),
        artifact=shelf.save(model),
        composition_id=composition.id if composition else "",
        round=composition.round if composition else 0,
        created_at=bench.clock(),
    )
    store.models.add(record)
    _keep_scores(store, model, examples, rewards, progress=progress)
    shelf.describe(record, _evidence(store, model.id))
    return present or record


def _evidence(store: Store, model_id: str) -> ModelEvidence:
    """What a model was trained on, and its figures on the held-out pairs, by the rewards that are stored."""
    heldout = store.browse.rewards(model_id, "heldout")
    metrics = summarize_margins(heldout.chosen, heldout.rejected)
    return ModelEvidence(tuple(store.pairs.datasets()), len(heldout.chosen), metrics.accuracy, metrics.log_loss)


def _keep_scores(
    store: Store, model: RewardModel, examples: TrainingSet, rewards: Rewards, *, progress: Progress
) -> None:
    """Store the new model's rewards of all imported pairs, as they were imported: those of the pairs it was trained on
    are known already, those left out of it and the held-out ones are asked for."""
    known = {pair.id: index for index, pair in enumerate(examples.pairs)}
    imported = [pair for split in SPLITS for pair in store.pairs.pairs(split)]
    places = [known[pair.id] for pair in imported if pair.id in known]
    rest = [pair for pair in imported if pair.id not in known]
    if places:
        own = Rewards(rewards.chosen[places], rewards.rejected[places])
        store.models.save_scores(model.id, [examples.pairs[place].id for place in places], own)
    if rest:
        store.models.save_scores(model.id, [pair.id for pair in rest], model.score(rest, progress=progress))


def _fit_metrics(
    model: RewardModel, examples: TrainingSet, rewards: Rewards, *, composed: bool, progress: Progress
) -> dict[str, object]:
    """What the model was trained on, how it fits that, the curvature of its loss there where it is linear, and what
    it reads where that was chosen."""
    margins = rewards.margins
    labelled = np.where(examples.label_confidence >= 0.5, margins, -margins)
    curvature = {}
    if isinstance(model, LinearRewardModel):
        differences = model.feature_differences(examples.pairs, progress=progress)
        curvature = asdict(summarize_curvature(hessian(differences, margins, examples.weights)))
    choice = {CHOICE_METRIC: dict(model.feature_choice)} if isinstance(model, FeatureChoosingModel) else {}
    losses = bradley_terry_losses(margins, examples.label_confidence)
    return {
        "training_pairs": len(examples.pairs),
        "includes_composed_pairs": composed,
        "training_accuracy": pairwise_accuracy(labelled),
        "indistinct_pairs": int(is_tie(margins).sum()),
        "training_log_loss": float(np.average(losses, weights=examples.weights)),
        "curvature": curvature,
        "truncation": asdict(model.truncation(examples.pairs, progress=progress)),
        "remarks": list(model.remarks) if isinstance(model, RemarkedModel) else [],
        **choice,
    }
