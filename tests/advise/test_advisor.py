"""The advisor on fakes: flips make checking the right advice, few pairs make more labels the right one."""

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, record_by_policy, record_review

from mars_engine.advise.advisor import DEFAULT_SECONDS, advise, seconds_a_decision
from mars_engine.advise.kept import kept_advice, newest_advice, outcomes, standing_of, why_out_of_date
from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.core.config import MarsConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import Pair
from mars_engine.curate.review import review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up


def bench_of(pairs, heldout=()):
    bench = make_bench(MarsConfig())
    for split, given in (("train", pairs), ("heldout", heldout)):
        if given:
            import_pairs(ListSource(tuple(given)), bench.store, split=split, clock=bench.clock, progress=bench.progress)
    return bench


def flipped(pairs, share, seed=0):
    wrong = np.random.default_rng(seed).random(len(pairs)) < share
    return [
        Pair.of(pair.prompt, pair.rejected, pair.chosen) if flip else pair
        for pair, flip in zip(pairs, wrong, strict=True)
    ], wrong


def kind_of_first(advice):
    return advice.first.kind


@pytest.mark.slow
def test_flipped_labels_make_checking_the_advice_and_their_share_is_known():
    pairs, wrong = flipped(make_pairs(200), 0.2)
    advice = advise(bench_of(pairs))
    assert kind_of_first(advice) == "check"
    assert advice.first.helps
    assert "Expected to gain +" in advice.first.sentence
    assert advice.wrong_low <= wrong.mean() <= advice.wrong_high
    assert advice["stop"].gain == 0


def test_few_pairs_with_right_labels_make_more_labels_the_advice():
    pairs = make_pairs(45, seed=3)
    advice = advise(bench_of(pairs))
    assert kind_of_first(advice) == "label"
    checks = [step for step in advice.steps if step.kind == "check"]
    assert all(step.gain < advice.first.gain / 2 for step in checks)


@pytest.mark.slow
def test_the_same_pairs_and_seed_give_the_same_advice_and_it_is_kept_once():
    bench = bench_of(make_pairs(80))
    first, second = advise(bench), advise(bench)
    assert [(step.name, step.gain, step.low) for step in first.steps if step.is_known] == [
        (step.name, step.gain, step.low) for step in second.steps if step.is_known
    ]
    assert len(kept_advice(bench.store)) == 1


@pytest.mark.slow
def test_held_out_pairs_are_never_looked_at():
    pairs = make_pairs(80)
    alone = advise(bench_of(pairs))
    beside = advise(bench_of(pairs, flipped(make_pairs(60, first=900), 0.5)[0]))
    assert [step.gain for step in alone.steps if step.is_known] == [step.gain for step in beside.steps if step.is_known]


@pytest.mark.slow
def test_labels_that_people_confirmed_are_no_suspects():
    pairs, _ = flipped(make_pairs(120), 0.2)
    bench = bench_of(pairs)
    before = [step for step in advise(bench).steps if step.kind == "check"]
    for pair in pairs:
        record_review(bench.store, "pair", pair.id, "label_right", annotator="ada", clock=bench.clock, seconds=12.0)
    advice = advise(bench)
    assert before
    assert not [step for step in advice.steps if step.kind == "check"]
    assert seconds_a_decision(bench.store)[0] == 12.0
    step = next(step for step in advice.steps if step.kind == "label")
    assert step.minutes == pytest.approx(step.count * 12 / 60)


def test_minutes_are_by_default_until_somebody_has_decided():
    assert seconds_a_decision(bench_of(make_pairs(40)).store) == (DEFAULT_SECONDS, "by default")


@pytest.mark.slow
def test_augmenting_is_not_known_until_proposals_are_there_and_measured_then():
    bench = bench_of(make_pairs(60))
    step = next(step for step in advise(bench).steps if step.kind == "augment")
    assert not step.is_known
    assert step.command == "mars propose"
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model, law="uniform").plan)
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    step = next(step for step in advise(bench).steps if step.kind == "augment")
    assert step.is_known
    assert step.count > 60
    assert "accepted proposals" in step.sentence


def test_decisions_of_a_policy_are_told_from_those_of_people():
    bench = bench_of(make_pairs(60))
    advice = advise(bench)
    first, second, third, *_ = bench.store.pairs.pairs("train")
    record_review(bench.store, "pair", first.id, "label_right", annotator="ada", clock=bench.clock)
    record_by_policy(bench.store, [second.id, third.id], "label_right", clock=bench.clock)
    now = standing_of(bench.store, PairIndexCache(bench.store).current())
    assert (now.decided, now.by_policy) == (3, 2)
    assert why_out_of_date(advice, now) == "3 more labels were decided, 2 of them by a policy alone"


def test_too_few_pairs_are_refused():
    with pytest.raises(NotReadyError, match="20 training pairs of 20 prompts, too few"):
        advise(bench_of(make_pairs(20)))
    with pytest.raises(NotReadyError, match="60 training pairs of 3 prompts"):
        advise(bench_of(make_pairs(60, pairs_a_prompt=20)))


@pytest.mark.slow
def test_what_then_happened_is_told_beside_what_was_expected():
    pairs, wrong = flipped(make_pairs(120), 0.25)
    bench = bench_of(pairs, make_pairs(80, first=900, seed=5))
    score_model(bench, train_warm_up(bench))
    advice = advise(bench)
    index = PairIndexCache(bench.store)
    assert why_out_of_date(advice, standing_of(bench.store, index.current())) == ""
    (untouched,) = outcomes(bench.store, index.current(), config=bench.config.evaluate)
    assert (untouched.done, untouched.verdict) == ("", "not known yet")
    for pair in [pair for pair, is_wrong in zip(pairs, wrong, strict=True) if is_wrong][:25]:
        record_review(bench.store, "pair", pair.id, "flip", annotator="ada", clock=bench.clock)
    score_model(bench, train_warm_up(bench))
    assert why_out_of_date(advice, standing_of(bench.store, index.current())) == "25 more labels were decided"
    (told,) = outcomes(bench.store, index.current(), config=bench.config.evaluate)
    assert told.done == "25 more labels were decided"
    assert told.expected == pytest.approx(advice["check 25 labels"].gain)
    assert told.happened is not None
    heldout = bench.store.pairs.pairs("heldout")
    accuracies = []
    for model in bench.store.models.all():
        rewards = bench.store.models.scores(model.id)
        accuracies.append(np.mean([rewards[pair.id][0] > rewards[pair.id][1] for pair in heldout]))
    assert told.happened.estimate == pytest.approx(accuracies[-1] - accuracies[0])
    assert told.verdict in ("as expected, within both intervals", "less than expected", "more than expected")
    assert newest_advice(bench.store).first.name == advice.first.name
