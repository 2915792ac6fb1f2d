"""Rounds with a reward model that is not linear, as a transformer is not: no curvature, no information gain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig
from mars_engine.core.progress import Progress
from mars_engine.core.records import Pair, Rewards, TrainingSet, Truncation
from mars_engine.curate.deck import deal
from mars_engine.curate.deck_cache import DeckCache
from mars_engine.curate.live import LiveProbe
from mars_engine.curate.reading import Reading
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.evaluate.heldout import evaluate
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.reward_models.protocols import LinearRewardModel, RewardModel, RewardModelTrainer, TrainingNotes
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.rounds import RoundReport, run_rounds

CONFIG = MarsConfig.model_validate(
    {"triage": {"policy": "keep", "seeds": 1}, "allocation": {"budget_per_pair": 0.5}, "probe": {"l2": 0.005}}
)


@dataclass(frozen=True)
class OpaqueModel:
    """A probe of which nothing is known but its rewards."""

    probe: Probe

    @property
    def id(self) -> str:
        return f"opaque-{self.probe.id}"

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        return self.probe.score(pairs, progress=progress)

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:
        return self.probe.truncation(pairs, progress=progress)


@dataclass
class OpaqueTrainer:
    """Takes three steps, of which it tells, and keeps an epoch."""

    inner: ProbeTrainer
    trained: list[str] = field(default_factory=list)
    kind: str = "opaque"

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.inner.settings

    def model_id(self, training_set: TrainingSet) -> str:
        return f"opaque-{self.inner.model_id(training_set)}"

    def train(
        self, training_set: TrainingSet, *, progress: Progress, notes: TrainingNotes | None = None
    ) -> OpaqueModel:
        model = OpaqueModel(self.inner.train(training_set, progress=progress))
        for step in (1, 2, 3):
            notes.add_point("training loss", step, 1 / step)
        base = training_set.pairs[: len(training_set.pairs) - sum(place >= 0 for place in training_set.source_of)]
        notes.add_epoch(model.id, 1, {pair.id: 0.5 for pair in base})
        self.trained.append(model.id)
        return model


@dataclass(frozen=True)
class Scene:
    bench: Workbench
    reports: list[RoundReport]
    points: list[tuple[str, int, float]]


def opaque_bench(points: list[tuple[str, int, float]]) -> Workbench:
    bench = make_bench(CONFIG)
    bench = replace(bench, trainer=OpaqueTrainer(bench.trainer), add_point=lambda *point: points.append(point))
    for split, pairs in (("train", make_pairs(24)), ("heldout", make_pairs(8, first=100))):
        import_pairs(ListSource(pairs), bench.store, split=split, clock=bench.clock, progress=bench.progress)
    return bench


@pytest.fixture(scope="module")
def scene() -> Scene:
    points: list[tuple[str, int, float]] = []
    bench = opaque_bench(points)
    return Scene(bench, run_rounds(bench, 2, policy="accept-all"), points)


def test_rounds_run_as_with_the_probe(scene):
    assert [report.model.kind for report in scene.reports] == ["opaque", "opaque"]
    assert [report.model.metrics["curvature"] for report in scene.reports] == [{}, {}]
    assert scene.reports[-1].model.metrics["truncation"]["passages"] > 0
    evaluation = evaluate(scene.bench, scene.bench.store.models.all())
    assert len(evaluation.models) == len(scene.bench.trainer.trained) >= 2


def test_what_a_training_tells_is_kept(scene):
    assert [point for point in scene.points if point[0] == "training loss"] == [
        ("training loss", step, 1 / step) for step in (1, 2, 3)
    ] * len(scene.bench.trainer.trained)
    trained_on = {pair.id for pair in scene.bench.store.pairs.pairs("train")}
    for model_id in scene.bench.trainer.trained:
        assert scene.bench.store.models.trajectories(model_id) == {pair_id: [0.5] for pair_id in trained_on}


def test_the_lineage_of_composed_pairs_reaches_the_trainer(scene):
    from mars_engine.data.sources import load_sources, standing_pairs, training_set

    store = scene.bench.store
    sources = load_sources(store, CONFIG.triage)
    composed = standing_pairs(store, store.compositions.latest().id, sources)
    examples = training_set(sources, composed)
    assert examples.source_of[:24] == (-1,) * 24
    assert [examples.pairs[place].id for place in examples.source_of[24:]] == [row.source_id for row in composed]
    assert training_set(sources).source_of == ()


def test_proposals_have_no_gain_and_its_order_falls_back_to_the_plan_s_and_says_so():
    bench = opaque_bench([])
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)
    assert {proposal.information_gain for proposal in bench.store.proposals.proposals()} == {None}
    index = PairIndexCache(bench.store).current()

    def dealt(order: str, **options):
        reading = Reading("proposal", "ada", order, read_only=True)
        cache = DeckCache(bench.store)
        return deal(cache, index, CONFIG, reading, clock=bench.clock, limit_cards=1000, **options).cards

    by_gain, as_planned = dealt("gain"), dealt("plan")
    assert len(by_gain) > 40
    assert [card.id for card in by_gain] == [card.id for card in as_planned]
    assert "cannot tell its information gain: the order by that asks the live probe" in by_gain[0].why
    gain = next(figure for figure in by_gain[0].figures if figure.label == "information gain, alone")
    assert (gain.before, gain.after) == (None, None)
    probe = LiveProbe(bench.store, bench.probe_trainer, config=CONFIG, progress=bench.progress)
    order = probe.gain_order()
    ranked = dealt("gain", gains=order)
    assert [card.id.encode() for card in ranked] == order.ids.tolist()


def test_only_the_probe_is_linear(scene):
    probe = scene.bench.trainer.inner.train(TrainingSet.plain(make_pairs(4)), progress=scene.bench.progress)
    assert isinstance(probe, LinearRewardModel)
    opaque: RewardModel = OpaqueModel(probe)
    assert not isinstance(opaque, LinearRewardModel)
    trainer: RewardModelTrainer = scene.bench.trainer
    assert trainer.kind == "opaque"
    assert np.isfinite(opaque.score(make_pairs(2), progress=scene.bench.progress).margins).all()
