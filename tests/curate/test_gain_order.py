"""The gain order: what adds most to what is accepted comes first, and it follows what people decide."""

from dataclasses import replace

import numpy as np
import pytest
from test_live import CountingTrainer, Scene, make_scene

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import FloatArray, Proposal
from mars_engine.curate.gain_order import Chance, GainLimits, GainOrder, chances_by_kind
from mars_engine.curate.live import LiveProbe, gain_stamp
from mars_engine.reward_models.curvature import fisher_weights


@pytest.fixture
def scene() -> Scene:
    scene = make_scene()
    make_proposals(scene.bench, make_plan(scene.bench, scene.bench.store.models.latest()).plan)
    return scene


def probe_of(scene: Scene, limits: GainLimits | None = None) -> LiveProbe:
    bench = scene.bench
    return LiveProbe(bench.store, bench.trainer, config=bench.config, progress=bench.progress, gain_limits=limits)


def ids_of(order: GainOrder) -> list[str]:
    return [each.decode() for each in order.ids.tolist()]


def proposals_of(scene: Scene) -> dict[str, Proposal]:
    return {each.id: each for each in scene.bench.store.proposals.proposals()}


def features(scene: Scene, proposals: list[Proposal]) -> FloatArray:
    pairs = [each.as_pair() for each in proposals]
    return scene.bench.trainer.feature_differences(pairs, progress=scene.bench.progress)


def brute_force(scene: Scene, accepted: list[Proposal], waiting: list[Proposal], chance: float) -> list[float]:
    """What each waiting proposal adds to the log-determinant, by determinants, after a fit by hand."""
    trainer = scene.bench.trainer
    base = scene.bench.store.pairs.pairs("train")
    rows = trainer.feature_differences(base, progress=scene.bench.progress)
    if accepted:
        rows = np.vstack([rows, features(scene, accepted)])
    ones = np.ones(len(rows))
    w = trainer.fit(rows, ones, ones)
    matrix = (rows * fisher_weights(rows @ w)[:, None]).T @ rows + trainer.ridge(ones) * np.eye(rows.shape[1])
    here = np.linalg.slogdet(matrix)[1]
    new = features(scene, waiting)
    weights = chance * fisher_weights(new @ w)
    return [np.linalg.slogdet(matrix + c * np.outer(v, v))[1] - here for c, v in zip(weights, new, strict=True)]


def test_before_any_decision_all_wait_and_the_first_adds_the_most(scene):
    order = probe_of(scene).gain_order()
    proposals = proposals_of(scene)
    wanted = [each for each in proposals.values() if each.source_id not in scene.suspects]
    assert set(ids_of(order)) == {each.id for each in wanted}, "suspects wait for a person, and get no new pairs"
    assert order.waiting == order.one_by_one == len(wanted)
    assert {chance.chance for chance in order.chances} == {0.5}
    gains = brute_force(scene, [], wanted, 0.5)
    assert ids_of(order)[0] == wanted[int(np.argmax(gains))].id
    assert order.gains[0] == pytest.approx(max(gains), rel=1e-5)
    assert (np.diff(order.gains) <= 1e-7).all()
    assert order.stamp == gain_stamp(scene.bench.store)


@pytest.mark.slow
def test_it_follows_what_is_accepted(scene):
    probe, proposals = probe_of(scene), proposals_of(scene)
    first = probe.gain_order()
    best = ids_of(first)[0]
    scene.decide("proposal", best, "accept")
    then = probe.gain_order()
    assert then.stamp != first.stamp
    assert set(ids_of(then)) == set(ids_of(first)) - {best}
    waiting = [proposals[each] for each in ids_of(then)]
    kinds = {(chance.method, chance.passed_gates): chance.chance for chance in then.chances}
    gains = [brute_force(scene, [proposals[best]], [each], kinds[each.method, not each.flags])[0] for each in waiting]
    assert then.gains[0] == pytest.approx(max(gains), rel=1e-5)
    siblings = [each.id for each in proposals.values() if each.source_id == proposals[best].source_id]
    moved = [ids_of(then).index(each) / len(then.ids) for each in siblings if each != best]
    before = [ids_of(first).index(each) / len(first.ids) for each in siblings if each != best]
    assert np.mean(moved) >= np.mean(before) - 0.05, "the twins of what is accepted do not come forward"


def test_a_decision_closes_a_proposal_and_an_undo_opens_it(scene):
    probe = probe_of(scene)
    before = ids_of(probe.gain_order())
    scene.decide("proposal", before[3], "reject")
    assert before[3] not in ids_of(probe.gain_order())
    scene.decide("proposal", before[3], "undo")
    after = probe.gain_order()
    assert ids_of(after) == before
    assert {chance.decided for chance in after.chances} == {0}


def test_what_people_accept_of_a_kind_weighs_its_others_and_policies_do_not_count(scene):
    probe, proposals = probe_of(scene), proposals_of(scene)
    refined = [each for each in ids_of(probe.gain_order()) if proposals[each].method == "refined"]
    plain = [each for each in ids_of(probe.gain_order()) if proposals[each].method == "paraphrase"]
    assert len(refined) > 4
    assert len(plain) > 4
    for each in plain[:2]:
        scene.decide("proposal", each, "accept", "policy:gates")
    assert {chance.decided for chance in probe.gain_order().chances} == {0}
    for each in refined[:3]:
        scene.decide("proposal", each, "reject")
    for each in plain[2:4]:
        scene.decide("proposal", each, "accept", "bert")
    scene.decide("proposal", plain[4], "flag")
    chances = {}
    for chance in probe.gain_order().chances:
        chances.setdefault(chance.method, []).append(chance)
    assert sum(each.decided for each in chances["refined"]) == 3
    assert sum(each.accepted for each in chances["refined"]) == 0
    assert sum(each.accepted for each in chances["paraphrase"]) == 2
    assert sum(each.decided for each in chances["paraphrase"]) == 2, "a flag is no decision for or against"
    decided = {each.chance for each in chances["refined"] if each.decided}
    assert max(decided) < min(each.chance for each in chances["paraphrase"] if each.decided)


def test_chances_are_by_kind_and_known_kinds_stay_when_none_waits():
    found = chances_by_kind({("refined", True): (8, 10)}, [("paraphrase", False), ("paraphrase", False)])
    overall = 9 / 12
    assert found == {
        ("paraphrase", False): Chance("paraphrase", False, 0, 0, overall),
        ("refined", True): Chance("refined", True, 8, 10, (8 + 10 * overall) / 20),
    }


def test_proposals_of_dropped_or_flipped_sources_are_not_ranked(scene):
    probe, proposals = probe_of(scene), proposals_of(scene)
    order = ids_of(probe.gain_order())
    dropped, flipped = list(dict.fromkeys(proposals[each].source_id for each in order))[:2]
    scene.decide("pair", dropped, "drop")
    scene.decide("pair", flipped, "flip")
    left = {proposals[each].source_id for each in ids_of(probe.gain_order())}
    assert not {dropped, flipped} & left
    make_proposals(scene.bench, make_plan(scene.bench, scene.bench.store.models.latest()).plan)
    ranked = ids_of(probe.gain_order())
    again = [each for each in scene.bench.store.proposals.by_id(ranked).values() if each.source_id == flipped]
    assert again
    assert {each.oriented_id != flipped for each in again} == {True}


def test_limits_keep_those_that_added_most_when_they_were_proposed(scene):
    everything = probe_of(scene).gain_order()
    order = probe_of(scene, GainLimits(candidates=10, one_by_one=4)).gain_order()
    proposals = proposals_of(scene)
    alone = sorted(
        (each for each in proposals.values() if each.id in ids_of(everything)),
        key=lambda each: (-np.float32(each.information_gain), each.id),
    )
    assert set(ids_of(order)) == {each.id for each in alone[:10]}
    assert (order.one_by_one, order.waiting) == (4, everything.waiting)
    assert (np.diff(order.gains[4:]) <= 1e-7).all()


def test_texts_are_read_and_embedded_once(scene):
    trainer = CountingTrainer(scene.bench.trainer)
    scene.bench = replace(scene.bench, trainer=trainer)
    probe = probe_of(scene)
    order = probe.gain_order()
    known = len(trainer.featured)
    probe.gain_order()
    scene.decide("proposal", ids_of(order)[0], "accept")
    probe.gain_order()
    assert len(trainer.featured) == known
    assert trainer.fits == 2


def test_verdicts_that_changed_change_the_stamp_and_the_kinds(scene):
    store, probe = scene.bench.store, probe_of(scene)
    before = probe.gain_order()
    changed = [replace(each, flags=("odd: it is odd",)) for each in store.proposals.proposals()]
    store.proposals.replace_verdicts(changed)
    assert gain_stamp(store) != before.stamp
    after = probe.gain_order()
    assert {chance.passed_gates for chance in after.chances} == {False}
    assert after.stamp == gain_stamp(store)


def test_without_proposals_it_is_empty_and_without_a_model_it_says_what_to_do():
    order = probe_of(make_scene()).gain_order()
    assert (len(order.ids), order.waiting, order.one_by_one, order.chances) == (0, 0, 0, ())
    from fakes import make_bench

    bench = make_bench()
    with pytest.raises(NotReadyError, match="no reward model"):
        LiveProbe(bench.store, bench.trainer, config=bench.config, progress=bench.progress).gain_order()
