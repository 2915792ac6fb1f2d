"""The live probe: what a refit shows, that a sample stands for all, and that nothing is read twice."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import Progress
from mars_engine.core.records import BradleyTerryFit, FloatArray, Pair, TrainingSet
from mars_engine.core.review_records import ReviewEvent
from mars_engine.curate.live import LiveFigures, LiveLimits, LiveProbe, live_stamp
from mars_engine.curate.review import review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.stats.metrics import pairwise_accuracy

BASE, HELDOUT = make_pairs(60), make_pairs(40, seed=1, first=1000)
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class CountingTrainer:
    """The real probe's fit; counts what it was asked for."""

    inner: ProbeTrainer
    fits: int = 0
    featured: list[str] = field(default_factory=list)

    is_prepared: bool = True

    @property
    def settings(self):
        return self.inner.settings

    def feature_differences(self, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
        self.featured += [pair.id for pair in pairs]
        return self.inner.feature_differences(pairs, progress=progress)

    def ridge(self, weights: FloatArray) -> float:
        return self.inner.ridge(weights)

    def refit(
        self,
        differences: FloatArray,
        weights: FloatArray,
        label_confidence: FloatArray,
        *,
        before: BradleyTerryFit | None,
    ) -> BradleyTerryFit:
        self.fits += 1
        return self.inner.refit(differences, weights, label_confidence, before=before)


@dataclass
class Scene:
    """A trained workspace with some labels flipped, and people who decide in it."""

    bench: Workbench
    flipped: tuple[str, ...]
    acts: int = 0

    def probe(self, limits: LiveLimits | None = None) -> LiveProbe:
        bench = self.bench
        return LiveProbe(bench.store, bench.trainer, config=bench.config, progress=bench.progress, limits=limits)

    def decide(self, kind, item_id: str, action, annotator: str = "ada") -> None:
        self.acts += 1
        at = START + timedelta(seconds=self.acts)
        self.bench.store.reviews.append([ReviewEvent(kind, item_id, action, annotator, self.acts, at)])

    @property
    def suspects(self) -> list[str]:
        store = self.bench.store
        return [row.pair_id for row in store.models.triage(store.models.latest().id) if row.verdict == "suspected"]


def exchanged(pair: Pair) -> Pair:
    return Pair.of(pair.prompt, pair.rejected, pair.chosen, subset=pair.subset)


def make_scene(*, heldout: bool = True) -> Scene:
    bench = make_bench()
    base = [exchanged(pair) if number % 6 == 0 else pair for number, pair in enumerate(BASE)]
    splits = {"train": base, "heldout": HELDOUT} if heldout else {"train": base}
    for split, pairs in splits.items():
        import_pairs(ListSource(tuple(pairs)), bench.store, split=split, clock=bench.clock, progress=bench.progress)
    score_model(bench, train_warm_up(bench))
    return Scene(bench, tuple(pair.id for pair in base[::6]))


@pytest.fixture
def scene() -> Scene:
    return make_scene()


def test_where_no_probe_was_trained_the_pairs_choose_its_features_when_figures_are_asked_for(scene):
    bench = scene.bench
    trainer = ProbeTrainer(bench.config.probe, bench.encoder)  # of a workspace whose warm-up was a transformer
    figures = LiveProbe(bench.store, trainer, config=bench.config, progress=bench.progress).figures("pair")
    assert trainer.is_prepared
    assert replace(figures, seconds=0.0, unread_margin=0.0) == replace(
        scene.probe().figures("pair"), seconds=0.0, unread_margin=0.0
    )


def test_after_a_newer_warm_up_the_figures_are_made_of_what_it_chose(scene):
    bench = scene.bench
    probe = scene.probe()
    probe.figures("pair")
    more = make_pairs(40, seed=3, first=5000)
    import_pairs(ListSource(more), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    before = bench.trainer.settings
    score_model(bench, train_warm_up(bench))
    assert bench.trainer.settings != before
    after, fresh = probe.figures("pair"), scene.probe().figures("pair")
    assert replace(after, seconds=0.0, unread_margin=0.0) == replace(fresh, seconds=0.0, unread_margin=0.0)


def test_before_any_decision_the_figures_are_those_of_the_warm_up(scene):
    store = scene.bench.store
    figures = scene.probe().figures("pair")
    rewards = store.models.scores(store.models.latest().id)
    margins = np.array([rewards[pair.id][0] - rewards[pair.id][1] for pair in HELDOUT])
    assert figures.heldout_accuracy == pairwise_accuracy(margins)
    assert figures.heldout_pairs == len(HELDOUT)
    assert (figures.decisions, figures.base_pairs, figures.proposals) == (0, len(BASE), 0)
    suspects = scene.suspects
    assert figures.queue_pairs == len(suspects) > 3
    expected = np.mean([rewards[pair_id][0] - rewards[pair_id][1] for pair_id in suspects])
    assert figures.queue_margin == pytest.approx(expected)
    assert figures.curvature.trace == pytest.approx(store.models.latest().metrics["curvature"]["trace"])
    assert (figures.moved, figures.gain, figures.sample) == ({}, None, "")


def test_a_flip_lowers_the_margin_as_labelled_and_leaves_the_queue(scene):
    probe, suspect = scene.probe(), scene.suspects[0]
    before = probe.figures("pair")
    scene.decide("pair", suspect, "flip")
    after = probe.figures("pair")
    assert after.stamp != before.stamp
    assert after.decisions == 1
    assert after.queue_pairs == before.queue_pairs - 1
    moved = after.moved["ada"]
    assert moved.item_id == suspect
    assert moved.after < moved.before < 0


def test_the_refit_is_that_of_the_trainer_on_the_same_treatment(scene):
    flip, drop = scene.suspects[:2]
    scene.decide("pair", flip, "flip")
    scene.decide("pair", drop, "drop")
    figures = scene.probe().figures("pair")
    pairs = [pair for pair in scene.bench.store.pairs.pairs("train") if pair.id != drop]
    confidence = np.array([0.0 if pair.id == flip else 1.0 for pair in pairs])
    model = scene.bench.trainer.train(
        TrainingSet(tuple(pairs), np.ones(len(pairs)), confidence), progress=scene.bench.progress
    )
    margins = model.score(HELDOUT, progress=scene.bench.progress).margins
    assert figures.base_pairs == len(BASE) - 1
    assert figures.heldout_accuracy == pairwise_accuracy(margins)


def test_checking_all_that_was_flipped_helps_and_the_gain_says_so_before(scene):
    probe = scene.probe()
    before = probe.figures("pair")
    suspects = scene.suspects
    for suspect in suspects[:3]:
        scene.decide("pair", suspect, "flip" if suspect in scene.flipped else "label_right")
    figures = probe.figures("pair")
    flips = sum(suspect in scene.flipped for suspect in suspects[:3])
    assert figures.gain.judged == 3
    assert figures.gain.mislabel_rate == flips / 3
    assert figures.gain.open_suspects == len(suspects) - 3
    assert math.isfinite(figures.gain.accuracy)
    for pair_id in scene.flipped:
        scene.decide("pair", pair_id, "flip")
    for suspect in set(suspects) - set(scene.flipped):
        scene.decide("pair", suspect, "label_right")
    done = probe.figures("pair")
    assert done.heldout_accuracy > before.heldout_accuracy
    assert done.gain is None
    assert done.queue_pairs == 0
    assert math.isnan(done.queue_margin)


def test_the_gain_counts_what_was_dropped_as_mislabelled(scene):
    probe = scene.probe()
    for suspect, answer in zip(scene.suspects, ("flip", "label_right", "drop", "ambiguous"), strict=False):
        scene.decide("pair", suspect, answer)
    gain = probe.figures("pair").gain
    assert (gain.judged, gain.mislabel_rate) == (4, 0.5)


def test_each_person_sees_his_or_her_own_last_item(scene):
    probe = scene.probe()
    probe.figures("pair")
    first, second, third = scene.suspects[:3]
    scene.decide("pair", first, "flip", "ada")
    scene.decide("pair", second, "flip", "bert")
    scene.decide("pair", third, "skip", "ada")
    scene.decide("pair", third, "label_right", "policy:none")
    moved = probe.figures("pair").moved
    assert {name: each.item_id for name, each in moved.items()} == {"ada": first, "bert": second}


def test_accepted_proposals_are_learned_from(scene):
    bench = scene.bench
    make_proposals(bench, make_plan(bench, bench.store.models.latest(), round_number=1).plan)
    probe = scene.probe()
    before = probe.figures("proposal")
    proposals = bench.store.proposals.proposals()
    assert before.queue_pairs == len({proposal.source_id for proposal in proposals})
    accepted, rejected = proposals[0], proposals[1]
    scene.decide("proposal", accepted.id, "accept")
    scene.decide("proposal", rejected.id, "reject", "bert")
    after = probe.figures("proposal")
    assert (after.proposals, after.decisions) == (1, 2)
    assert after.moved["ada"].after > after.moved["ada"].before
    assert set(after.moved) == {"ada", "bert"}
    assert after.gain is None
    for proposal in proposals:
        if proposal.source_id == accepted.source_id and proposal.id not in {accepted.id, rejected.id}:
            scene.decide("proposal", proposal.id, "reject")
    assert probe.figures("proposal").queue_pairs == before.queue_pairs - 1


def test_what_a_policy_decided_is_still_unread(scene):
    bench = scene.bench
    make_proposals(bench, make_plan(bench, bench.store.models.latest(), round_number=1).plan)
    proposals = bench.store.proposals.proposals()
    sources = {proposal.source_id for proposal in proposals}
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    by_policy = scene.probe().figures("proposal")
    assert (by_policy.queue_pairs, by_policy.unread_pairs) == (0, len(sources))
    assert math.isnan(by_policy.queue_margin)
    assert math.isfinite(by_policy.unread_margin)
    for proposal in proposals:
        if proposal.source_id == proposals[0].source_id:
            scene.decide("proposal", proposal.id, "reject")
    assert scene.probe().figures("proposal").unread_pairs == len(sources) - 1
    assert scene.probe().figures("pair").unread_pairs == 0


def test_proposals_of_a_dropped_or_later_flipped_source_are_not_learned_from(scene):
    bench = scene.bench
    make_proposals(bench, make_plan(bench, bench.store.models.latest(), round_number=1).plan)
    by_source = {proposal.source_id: proposal for proposal in bench.store.proposals.proposals()}
    dropped, flipped, kept = list(by_source.values())[:3]
    for proposal in (dropped, flipped, kept):
        scene.decide("proposal", proposal.id, "accept")
    scene.decide("pair", dropped.source_id, "drop")
    scene.decide("pair", flipped.source_id, "flip")
    assert scene.probe().figures("proposal").proposals == 1


def test_nothing_is_computed_twice(scene):
    trainer = CountingTrainer(scene.bench.trainer)
    scene.bench = replace(scene.bench, trainer=trainer)
    probe = scene.probe()
    probe.figures("pair")
    assert sorted(trainer.featured) == sorted(
        pair.id for split in ("train", "heldout") for pair in scene.bench.store.pairs.pairs(split)
    )
    again = probe.figures("proposal")
    assert trainer.fits == 1
    scene.decide("pair", scene.suspects[0], "ambiguous")
    assert probe.figures("pair").stamp != again.stamp
    assert trainer.fits == 2
    assert len(trainer.featured) == len(BASE) + len(HELDOUT)


def test_a_sample_says_so_has_every_decided_pair_and_stands_for_the_rest(scene):
    whole = scene.probe().figures("pair")
    limits = LiveLimits(base=20, heldout=15)
    probe = scene.probe(limits)
    first = probe.figures("pair")
    assert (first.base_pairs, first.heldout_pairs) == (20, 15)
    assert "20 of 60 training pairs" in first.sample
    assert "15 of 40 held-out pairs" in first.sample
    assert first.queue_pairs == whole.queue_pairs
    taken = sorted(pair.id for pair in scene.bench.store.pairs.pairs("train"))[:20]
    outside = next(pair_id for pair_id in scene.suspects if pair_id not in taken)
    scene.decide("pair", outside, "flip")
    after = probe.figures("pair")
    assert after.base_pairs == 21
    assert after.moved["ada"].after < after.moved["ada"].before
    weights = probe._fit.examples.weights
    assert weights.sum() == pytest.approx(60)
    assert sorted(set(weights.round(6))) == [1.0, round(59 / 20, 6)]


def test_without_held_out_pairs_the_accuracy_is_unknown_and_the_rest_is_there():
    figures = make_scene(heldout=False).probe().figures("pair")
    assert math.isnan(figures.heldout_accuracy)
    assert figures.heldout_pairs == 0
    assert figures.curvature.trace > 0


def test_without_a_model_it_says_what_to_do():
    bench = make_bench()
    probe = LiveProbe(bench.store, bench.trainer, config=bench.config, progress=bench.progress)
    with pytest.raises(NotReadyError, match="no reward model"):
        probe.figures("pair")


def test_the_stamp_changes_with_a_decision_and_not_by_looking(scene):
    store = scene.bench.store
    before = live_stamp(store)
    scene.probe().figures("pair")
    assert live_stamp(store) == before
    scene.decide("pair", scene.suspects[0], "flip")
    assert live_stamp(store) != before


def test_pairs_imported_meanwhile_are_taken_in(scene):
    probe = scene.probe()
    assert probe.figures("pair").base_pairs == len(BASE)
    more, bench = make_pairs(5, seed=3, first=5000), scene.bench
    import_pairs(ListSource(more), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    figures: LiveFigures = probe.figures("pair")
    assert figures.base_pairs == len(BASE) + 5
