"""Results and the overview's figures, from stored scores alone, held to plain recomputation."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, record_by_policy, record_review

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import AllocationConfig, EvaluateConfig, GateConfig, MarsConfig, TriageConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import ModelRecord, Rewards
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndex, PairIndexCache
from mars_engine.evaluate import overview
from mars_engine.evaluate.heldout import Comparison
from mars_engine.evaluate.overview import headline, margin_histogram, margin_plane, say_gain, tell_story
from mars_engine.evaluate.results import (
    compare_models,
    default_models,
    margin_movement,
    results_as_csv,
    results_revision,
    say_accuracy,
    say_comparison,
    say_log_loss,
)
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.stats.intervals import Interval
from mars_engine.workspace.rounds import run_rounds

CONFIG = EvaluateConfig(resamples=400)


def make_trained(*, heldout: int = 30, rounds: int = 1) -> Workbench:
    bench = make_bench(MarsConfig(triage=TriageConfig(policy="keep", seeds=2, folds=3)))
    for split, count, first in (("train", 40, 0), ("heldout", heldout, 1000)):
        if count:
            source = ListSource(make_pairs(count, seed=first, first=first, pairs_a_prompt=2))
            import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    for report in run_rounds(bench, rounds, policy="accept-all"):
        score_model(bench, report.model)
    return bench


@pytest.fixture(scope="module")
def two_rounds() -> Workbench:
    """After two rounds; for tests that only read."""
    return make_trained(rounds=2)


def index_of(bench: Workbench) -> PairIndex:
    return PairIndexCache(bench.store).current()


def stored_margins(bench: Workbench, model_id: str, split: str) -> dict[str, float]:
    scores = bench.store.models.scores(model_id)
    return {pair.id: scores[pair.id][0] - scores[pair.id][1] for pair in bench.store.pairs.pairs(split)}


def test_figures_are_those_of_the_stored_scores(two_rounds):
    bench = two_rounds
    models = bench.store.models.all()
    results = compare_models(bench.store, index_of(bench), models, config=CONFIG)
    assert [each.label for each in results.models] == ["warm-up", "signed round 1", "signed round 2"]
    assert (results.pairs, results.prompts) == (30, 15)
    for model in results.models:
        margins = np.array(list(stored_margins(bench, model.record.id, "heldout").values()))
        accuracy = model.evaluation.accuracy
        assert accuracy.estimate == pytest.approx((margins > 0).mean())
        assert accuracy.low <= accuracy.estimate <= accuracy.high
        assert model.evaluation.metrics.log_loss == pytest.approx(np.log1p(np.exp(-margins)).mean())
        assert sum(each.pairs for each in model.reliability) == 30
        assert {name: each.pairs for name, each in model.evaluation.by_subset.items()} == {"s0": 15, "s1": 15}
        by_subset = [each.accuracy.estimate * each.pairs for each in model.evaluation.by_subset.values()]
        assert sum(by_subset) == pytest.approx(accuracy.estimate * 30)
    lengths = [np.sign(len(pair.chosen) - len(pair.rejected)) for pair in bench.store.pairs.pairs("heldout")]
    assert results.longer_wins.estimate == pytest.approx((np.mean(lengths) + 1) / 2)


def test_each_model_is_compared_with_the_warm_up_and_with_the_one_before(two_rounds):
    bench = two_rounds
    results = compare_models(bench.store, index_of(bench), bench.store.models.all(), config=CONFIG)
    assert [(each.first, each.second) for each in results.comparisons] == [
        ("signed round 1", "warm-up"),
        ("signed round 2", "warm-up"),
        ("signed round 2", "signed round 1"),
    ]
    accuracies = {model.label: model.evaluation.accuracy.estimate for model in results.models}
    for each in results.comparisons:
        assert each.difference.estimate == pytest.approx(accuracies[each.first] - accuracies[each.second])
        assert each.verdict in say_comparison(each)
    assert "30" not in say_accuracy(results.models[0])
    assert "with 95% confidence between" in say_accuracy(results.models[0])


NO_LOSS = Interval(0.0, -0.1, 0.1, 0.95)


def test_log_loss_is_said_with_who_is_surer_where_that_is_shown():
    surer = Comparison("b", "a", NO_LOSS, Interval(-0.09, -0.12, -0.05, 0.95))
    assert say_log_loss(surer) == (
        "Its log-loss on them is 0.090 less than that of “a” (95% interval −0.120 to −0.050): "
        "b is surer of the better answers."
    )
    assert say_log_loss(Comparison("b", "a", NO_LOSS, Interval(0.02, -0.1, 0.1, 0.95))).endswith("no difference shown.")
    assert Comparison("b", "a", NO_LOSS, Interval(0.2, 0.1, 0.3, 0.95)).log_loss_verdict.startswith("a is surer")


def test_a_comparison_is_said_with_its_sign_and_never_as_minus_zero():
    said = {
        estimate: say_comparison(
            Comparison("b", "a", Interval(estimate, estimate - 0.1, estimate + 0.2, 0.95), NO_LOSS)
        )
        for estimate in (0.034, -0.034, -0.0001)
    }
    assert said[0.034].startswith(
        "The reward model “b” ranks 3.4 percentage points more held-out pairs correctly than “a” (95% interval −6.6 to"
    )
    assert said[-0.034].startswith("The reward model “b” ranks 3.4 percentage points fewer")
    assert said[-0.0001].startswith(
        "The reward model “b” ranks as many held-out pairs correctly as “a” (95% interval −10.0 to +20.0 points)"
    )


def test_lineage_names_the_model_whose_margins_the_budget_was_spent_by(two_rounds):
    bench = two_rounds
    warm_up, first, second = compare_models(
        bench.store, index_of(bench), bench.store.models.all(), config=CONFIG
    ).models
    assert (warm_up.lineage.law, warm_up.lineage.parent_label) == ("", "")
    assert (first.lineage.parent_label, first.lineage.budget, first.lineage.new_pairs) == ("warm-up", 200, 200)
    assert (second.lineage.parent_label, second.lineage.carried_over) == ("signed round 1", 200)


def test_a_model_without_all_scores_is_listed_and_compared_with_nothing():
    bench = make_trained()
    late = make_pairs(4, seed=9, first=5000)
    import_pairs(ListSource(late), bench.store, split="heldout", clock=bench.clock, progress=bench.progress)
    models = bench.store.models.all()
    score_model(bench, models[-1])
    results = compare_models(bench.store, index_of(bench), models, config=CONFIG)
    assert [each.label for each in results.models] == ["signed round 1"]
    (unscored,) = results.not_scored
    assert (unscored.record.label, unscored.scored) == ("warm-up", 30)
    assert results.comparisons == ()


def test_without_held_out_pairs_it_says_what_to_do():
    bench = make_trained(heldout=0)
    with pytest.raises(NotReadyError, match="held-out"):
        compare_models(bench.store, index_of(bench), bench.store.models.all(), config=CONFIG)
    assert headline(bench.store, index_of(bench), config=CONFIG).now is None


def test_a_model_without_scores_is_listed_too():
    bench = make_trained()
    bench.store.models.add(replace(bench.store.models.all()[0], id="e" * 24))
    results = compare_models(bench.store, index_of(bench), bench.store.models.all(), config=CONFIG)
    assert [(each.record.id, each.scored) for each in results.not_scored] == [("e" * 24, 0)]


def test_the_newest_warm_up_and_the_newest_retrained_model_are_the_default():
    bench = make_trained(rounds=2)
    train_warm_up(bench)  # makes the warm-up the latest again
    assert [model.label for model in default_models(bench.store.models.all())] == ["warm-up", "signed round 2"]
    assert default_models([]) == []


def test_a_probe_and_a_transformer_are_not_compared_by_default_where_there_are_two_of_a_kind():
    first, checked, fine_tuned, round_1 = (
        ModelRecord(name, kind, name, {}, {}, "", composition, 0, datetime(2026, 11, day, tzinfo=UTC))
        for day, (name, kind, composition) in enumerate(
            (("a", "probe", ""), ("b", "probe", ""), ("c", "transformer", ""), ("d", "transformer", "x")), start=1
        )
    )
    assert default_models([first, checked, fine_tuned]) == [first, checked]
    assert default_models([first, fine_tuned]) == [first, fine_tuned], "there is nothing else to compare with"
    assert default_models([first, fine_tuned, round_1]) == [fine_tuned, round_1]
    assert default_models([fine_tuned]) == [fine_tuned]


def test_a_comparison_of_different_kinds_says_so():
    mixed = Comparison("b", "a", Interval(0.1, 0.05, 0.2, 0.95), NO_LOSS, ("transformer", "probe"))
    assert say_comparison(mixed).endswith(
        "b is better. They are of different kinds, a transformer and a probe: that is part of the difference."
    )


def test_a_tie_stands_between_right_and_wrong_where_margins_moved():
    bench = make_trained()
    before, after = bench.store.models.all()
    pairs = bench.store.pairs.pairs("heldout")[:4]
    for model, margins in ((before, [1.0, 0.0, -1.0, 0.0]), (after, [0.0, 1.0, 0.0, 1e-9])):
        rewards = Rewards(np.array(margins), np.zeros(4))
        bench.store.models.save_scores(model.id, [pair.id for pair in pairs], rewards)
    movement = margin_movement(bench.store, index_of(bench), before, after, "heldout")
    crossed = {pair_id.decode() for pair_id in movement.crossed_ids}
    assert {pair.id for pair in pairs[:3]} <= crossed
    assert pairs[3].id not in crossed
    assert len(crossed) == movement.now_right + movement.now_wrong


@pytest.mark.parametrize("split", ["heldout", "train"])
def test_movement_and_crossings_are_those_of_the_stored_scores(split):
    bench = make_trained()
    before, after = bench.store.models.all()
    # Random rewards, so that many pairs cross.
    rng = np.random.default_rng(0)
    pairs = bench.store.pairs.pairs(split)
    rewards = Rewards(rng.normal(size=len(pairs)), np.zeros(len(pairs)))
    bench.store.models.save_scores(after.id, [pair.id for pair in pairs], rewards)
    movement = margin_movement(bench.store, index_of(bench), before, after, split)
    old, new = (stored_margins(bench, model.id, split) for model in (before, after))
    crossed = {pair_id for pair_id in old if (old[pair_id] > 0) != (new[pair_id] > 0)}
    assert crossed
    ids = [pair_id.decode() for pair_id in movement.crossed_ids]
    assert set(ids) == crossed
    assert len(ids) == movement.now_right + movement.now_wrong
    assert movement.now_right == sum(new[pair_id] > 0 for pair_id in crossed)
    changes = [abs(new[pair_id] - old[pair_id]) for pair_id in ids]
    assert changes == sorted(changes, reverse=True)
    np.testing.assert_allclose(movement.crossed_after, [new[pair_id] for pair_id in ids])
    assert movement.counts_before.sum() == movement.counts_after.sum() == movement.pairs == len(pairs)
    assert np.any(movement.edges == 0)
    below = movement.edges[:-1] < 0
    assert movement.counts_after[below].sum() == movement.mis_ranked_after


def test_the_table_as_csv_has_the_figures_in_full(two_rounds):
    bench = two_rounds
    results = compare_models(bench.store, index_of(bench), bench.store.models.all(), config=CONFIG)
    rows = list(csv.DictReader(io.StringIO(results_as_csv(results))))
    assert [row["model"] for row in rows] == ["warm-up", "signed round 1", "signed round 2"]
    assert float(rows[1]["accuracy"]) == results.models[1].evaluation.accuracy.estimate
    assert "margin" not in rows[0]  # TRL reads a column of that name as a loss margin


def test_the_revision_changes_with_scores_and_not_with_reviews():
    bench = make_trained()
    begin = results_revision(bench.store)
    pair = bench.store.pairs.pairs("train")[0]
    record_review(bench.store, "pair", pair.id, "label_right", annotator="ada", clock=bench.clock)
    assert results_revision(bench.store) == begin
    score = Rewards(np.ones(1), np.zeros(1))
    bench.store.models.save_scores(bench.store.models.all()[0].id, [pair.id], score)
    assert results_revision(bench.store) != begin


# ---------------------------------------------------------------------------------------------------------- overview


def test_the_headline_compares_with_the_first_model(two_rounds):
    bench = two_rounds
    found = headline(bench.store, index_of(bench), config=CONFIG)
    assert (found.now.label, found.before.label) == ("signed round 2", "warm-up")
    assert found.difference.difference.estimate == pytest.approx(
        found.now.evaluation.accuracy.estimate - found.before.evaluation.accuracy.estimate
    )
    margins = stored_margins(bench, found.now.record.id, "train")
    assert found.mis_ranked_now == pytest.approx(np.mean([margin < 0 for margin in margins.values()]))


def test_a_gain_is_told_by_what_is_shown_alone(two_rounds):
    found = headline(two_rounds.store, index_of(two_rounds), config=CONFIG)
    shown, unshown, worse = (
        Interval(estimate, estimate - 0.01, estimate + 0.01, 0.95) for estimate in (0.05, 0.001, -0.05)
    )
    for accuracy, log_loss, title, measure in (
        (shown, worse, "Right more often", "accuracy"),
        (worse, worse, "Right less often", "accuracy"),
        (unshown, worse, "Surer of the better answers; not shown to be right more or less often", "log-loss"),
        (unshown, shown, "Less sure of the better answers; not shown to be right more or less often", "log-loss"),
        (unshown, unshown, "No gain is shown yet", "accuracy"),
    ):
        measured = {"difference": accuracy, "log_loss": log_loss, "log_loss_at_best_scale": log_loss}
        gain = say_gain(replace(found, difference=replace(found.difference, **measured)))
        assert (gain.title, gain.measure, gain.is_shown) == (title, measure, title[:2] != "No")
    first = say_gain(replace(found, difference=None, before=None))
    assert (first.title, first.difference) == ("Where it begins", None)
    assert say_gain(replace(found, now=None)) is None


def test_a_gain_in_the_size_of_margins_alone_is_told_as_calibration(two_rounds):
    found = headline(two_rounds.store, index_of(two_rounds), config=CONFIG)
    unshown, gained = Interval(0.001, -0.01, 0.01, 0.95), Interval(-0.05, -0.06, -0.04, 0.95)
    for scaled, title in (
        (unshown, "Better calibrated; not shown to be right more or less often"),
        (Interval(0.05, 0.04, 0.06, 0.95), "Better calibrated; not shown to be right more or less often"),
        (gained, "Surer of the better answers; not shown to be right more or less often"),
    ):
        comparison = replace(found.difference, difference=unshown, log_loss=gained, log_loss_at_best_scale=scaled)
        gain = say_gain(replace(found, difference=comparison))
        assert gain.title == title
        assert ("size of its margins alone" in gain.words[0]) == comparison.is_scale_alone == (scaled is not gained)
        assert "at their best scale" in " ".join(gain.words)


def test_what_the_newest_step_did_alone_is_told_beside_what_was_gained_since_the_first(two_rounds):
    bench = two_rounds
    models = default_models(bench.store.models.all())
    found = headline(bench.store, index_of(bench), config=CONFIG)
    if len(models) == 2:
        assert found.last_step is None
        assert say_gain(found).last_step == ""
    worse = Comparison("round 1", "checked", Interval(-0.008, -0.03, 0.01, 0.95), Interval(0.016, 0.004, 0.026, 0.95))
    assert say_gain(replace(found, last_step=worse)).last_step == (
        "The newest step alone, from checked to round 1: less sure of the better answers; not shown to be right more "
        "or less often (accuracy −0.8 points, −3.0 to +1.0; log-loss +0.016, +0.004 to +0.026, less is better)."
    )


def test_the_story_counts_what_is_there(two_rounds):
    index = index_of(two_rounds)
    said = " ".join(tell_story(index))
    assert said.startswith("Of 40 training pairs ")
    assert f"{int(index.proposals.sum()):,} augmented pairs were proposed" in said


def test_the_story_tells_decisions_of_people_from_those_of_a_policy():
    bench = make_bench(MarsConfig())
    source = ListSource(make_pairs(6))
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    first, second, third, *_ = bench.store.pairs.pairs("train")
    record_by_policy(bench.store, [first.id, second.id, third.id], "label_right", clock=bench.clock)
    record_review(bench.store, "pair", first.id, "flip", annotator="ada", clock=bench.clock)
    index = index_of(bench)
    assert int(index.decided_by_policy.sum()) == 2
    said = " ".join(tell_story(index))
    assert "3 labels were decided about: 1 by people, 2 by a policy alone; 1 of them turned round." in said
    record_review(bench.store, "pair", first.id, "undo", annotator="ada", clock=bench.clock)
    assert "0 by people, 3 by a policy alone." in " ".join(tell_story(index_of(bench)))


def test_the_histogram_counts_the_training_pairs_alone(two_rounds):
    bench = two_rounds
    histogram = margin_histogram(index_of(bench))
    assert histogram.counts.sum() == histogram.pairs == 40
    assert histogram.counts[histogram.edges[:-1] < 0].sum() == histogram.mis_ranked


def test_the_plane_has_points_or_above_a_size_a_density_and_names_all_pairs(two_rounds, monkeypatch):
    index = index_of(two_rounds)
    points = margin_plane(index, allocation=AllocationConfig(), gate=GateConfig())
    assert len(points.margins) == points.pairs == 40
    assert points.density.size == 0
    monkeypatch.setattr(overview, "MOST_POINTS", 10)
    dense = margin_plane(index, allocation=AllocationConfig(), gate=GateConfig())
    assert len(dense.margins) == 0
    assert dense.density.sum() == dense.pairs == 40
    assert dense.density.shape == (len(dense.distance_edges) - 1, len(dense.margin_edges) - 1)
    assert dense.quadrants == points.quadrants
    assert [quadrant.advice for quadrant in points.quadrants][:2] == ["refine first", "paraphrase"]


def test_the_plane_is_none_before_margins_are_known():
    bench = make_bench()
    import_pairs(ListSource(make_pairs(5)), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    index = index_of(bench)
    assert margin_plane(index, allocation=AllocationConfig(), gate=GateConfig()) is None
    assert margin_histogram(index) is None
