"""The method from warm-up to retrained model, on fakes and an in-memory database."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, record_review
from sklearn.linear_model import LogisticRegression

from mars_engine.augment.compose import compose_plan
from mars_engine.augment.plan import compare_laws, make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import (
    AllocationConfig,
    ComposeConfig,
    MarsConfig,
    ProbeConfig,
    ProposeConfig,
    TriageConfig,
)
from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import Progress
from mars_engine.core.records import Pair, Passage, Rewards
from mars_engine.core.review_state import proposal_states
from mars_engine.curate.review import review_by_policy, wait_for_people
from mars_engine.data.export import select_for_export
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.sources import load_sources
from mars_engine.evaluate.heldout import evaluate
from mars_engine.evaluate.status import workspace_status
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.reward_models.score import oriented_margins, score_model
from mars_engine.reward_models.train import train_on, train_warm_up
from mars_engine.workspace.rounds import close_round, open_round, rounds_without_gain, run_rounds

KEEP = TriageConfig(policy="keep", seeds=2, folds=3)


def bench_with_pairs(config: MarsConfig | None = None, count: int = 40, heldout: int = 20) -> Workbench:
    bench = make_bench(config or MarsConfig(triage=KEEP))
    add_pairs(bench, make_pairs(count), "train")
    if heldout:
        add_pairs(bench, make_pairs(heldout, seed=1, first=1000), "heldout")
    return bench


def add_pairs(bench: Workbench, pairs: tuple[Pair, ...], split) -> None:
    import_pairs(ListSource(pairs), bench.store, split=split, clock=bench.clock, progress=bench.progress)


def test_a_budget_is_never_spent_before_labels_were_triaged_and_the_model_has_scored():
    bench = bench_with_pairs(MarsConfig(triage=TriageConfig(policy="leave_out", seeds=2, folds=3)))
    model = train_warm_up(bench)
    with pytest.raises(NotReadyError, match="not triaged yet"):
        make_plan(bench, model)
    score_model(bench, model)
    add_pairs(bench, make_pairs(3, first=700), "train")
    with pytest.raises(NotReadyError, match="has not scored 3 of the 43"):
        make_plan(bench, model)
    assert bench.store.proposals.latest_plan() is None


@dataclass
class CountingTrainer:
    """Trains probes that count how often each pair is scored."""

    inner: ProbeTrainer
    asked: Counter[str] = field(default_factory=Counter)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def train(self, *args: Any, **options: Any) -> Any:
        return CountingProbe(self.inner.train(*args, **options), self.asked)


@dataclass
class CountingProbe:
    inner: Probe
    asked: Counter[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        self.asked.update(f"{self.inner.id} {pair.id}" for pair in pairs)
        return self.inner.score(pairs, progress=progress)


def test_training_stores_the_rewards_of_all_imported_pairs_as_imported_and_none_is_scored_twice():
    bench = bench_with_pairs()
    flipped, dropped = bench.store.pairs.pairs("train")[:2]
    for pair, act in ((flipped, "flip"), (dropped, "drop")):
        record_review(bench.store, "pair", pair.id, act, annotator="ann", clock=bench.clock)
    trainer = CountingTrainer(bench.trainer)
    bench = replace(bench, trainer=trainer)
    model = train_warm_up(bench)
    imported = [*bench.store.pairs.pairs("train"), *bench.store.pairs.pairs("heldout")]
    expected = bench.shelf.load(model).inner.score(imported, progress=bench.progress)
    stored = bench.store.models.scores(model.id)
    for side, rewards in enumerate((expected.chosen, expected.rejected)):
        np.testing.assert_allclose([stored[pair.id][side] for pair in imported], rewards)
    assert stored.keys() == {pair.id for pair in imported}
    score_model(bench, model)
    evaluate(bench, [model])
    assert set(trainer.asked.values()) == {1}


def test_the_budget_is_spent_exactly_and_the_laws_differ():
    bench = bench_with_pairs(MarsConfig(triage=KEEP, allocation=AllocationConfig(tau=2.0, scale="standard")), count=34)
    wrong = make_pairs(6, seed=5, first=500)
    add_pairs(bench, tuple(Pair.of(pair.prompt, pair.rejected, pair.chosen) for pair in wrong), "train")
    model = train_warm_up(bench)
    score_model(bench, model)
    plan = make_plan(bench, model)
    rows = bench.store.proposals.plan_rows(plan.plan.id)
    assert sum(row.budget for row in rows) == 5 * 40
    margins = oriented_margins(bench.store, model, load_sources(bench.store, bench.config.triage))
    laws = compare_laws(margins, bench.config.allocation)
    assert {summary.budget for summary in laws.values()} == {200}
    assert len({round(summary.effective_sample_size, 6) for summary in laws.values()}) == 4
    assert laws["uniform"].effective_sample_size == pytest.approx(40)
    by_margin = [row.budget for row in sorted(rows, key=lambda row: row.margin)]
    assert by_margin == sorted(by_margin, reverse=True)


@pytest.mark.slow
def test_a_whole_round_composes_new_pairs_only_and_each_once():
    bench = bench_with_pairs()
    (report,) = run_rounds(bench, 1, policy="accept-all")
    composed = bench.store.compositions.pairs(report.compose.composition.id)
    base = {pair.id for pair in bench.store.pairs.pairs("train")}
    ids = [row.pair.id for row in composed]
    assert len(ids) == len(set(ids)) == report.compose.new_pairs == 200
    assert not base & set(ids)
    assert report.model.metrics["training_pairs"] == 40 + 200
    assert bench.store.models.latest() == report.model


@pytest.mark.slow
def test_refined_sources_take_the_first_try_that_is_far_enough_and_keep_the_trail():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    plan = make_plan(bench, model)
    report = make_proposals(bench, plan.plan)
    low = {row.pair_id for row in bench.store.proposals.plan_rows(plan.plan.id) if row.gate == "low"}
    refined = [each for each in bench.store.proposals.proposals() if each.method == "refined"]
    assert report.refinements["refined_rejected"] == len(refined) > 0
    for proposal in refined:
        assert proposal.source_id in low
        assert proposal.rejected.startswith("entirely different matter")
        assert proposal.distance_after > proposal.distance_before + bench.config.propose.refine_epsilon
        trail = bench.store.proposals.refine_tries([proposal.source_id])
        assert [(step.side, step.verdict) for step in trail] == [("rejected", "too close still"), ("rejected", "kept")]
        assert trail[-1].text == proposal.rejected
    paraphrased = [each for each in bench.store.proposals.proposals() if each.method == "refined+paraphrase"]
    assert all("entirely different matter" in each.rejected for each in paraphrased)


def test_failures_are_kept_as_values_and_a_text_is_never_passed_off_as_its_paraphrase():
    bench = make_bench(MarsConfig(triage=KEEP))
    stubborn = make_pairs(1, first=99)[0]
    stubborn = Pair.of(stubborn.prompt, stubborn.chosen, f"{stubborn.rejected} untouchable")
    add_pairs(bench, (*make_pairs(12), stubborn), "train")
    model = train_warm_up(bench)
    score_model(bench, model)
    report = make_proposals(bench, make_plan(bench, model).plan)
    assert report.failures["suffix: it is untouchable"] == 1
    (failure,) = [each for each in bench.store.proposals.failures() if each.generator == "suffix"]
    assert (failure.source_id, failure.target) == (stubborn.id, "rejected")
    proposals = bench.store.proposals.proposals(source_ids=[stubborn.id])
    assert proposals
    assert all("rejected" in each.unchanged_sides for each in proposals if each.method == "paraphrase")


def test_what_was_proposed_is_not_generated_again():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    plan = make_plan(bench, model).plan
    make_proposals(bench, plan)
    asked = len(bench.paraphraser.asked)
    report = make_proposals(bench, plan)
    assert len(bench.paraphraser.asked) == asked
    assert report.done_before == report.sources


@pytest.mark.slow
def test_cumulative_rounds_carry_pairs_over_and_replacing_rounds_do_not():
    for cumulative in (True, False):
        config = MarsConfig(triage=KEEP, compose=ComposeConfig(cumulative=cumulative))
        bench = bench_with_pairs(config, count=20)
        first, second = run_rounds(bench, 2, policy="accept-all")
        one = {row.pair.id for row in bench.store.compositions.pairs(first.compose.composition.id)}
        two = {row.pair.id for row in bench.store.compositions.pairs(second.compose.composition.id)}
        assert (one <= two) is cumulative
        assert second.compose.carried_over == (len(one) if cumulative else 0)
        assert len(two) == 100 * (2 if cumulative else 1)
        assert second.model.round == 2


@pytest.mark.slow
def test_rounds_begun_again_end_with_the_same_models():
    """As after a kill in a later round: what that one proposed does not reach into the earlier ones."""
    config = MarsConfig(triage=KEEP, allocation={"budget_per_pair": 1.0, "tau": 5.0}, propose={"variants": 1})
    bench = bench_with_pairs(config, count=60)
    first = run_rounds(bench, 3, policy="accept-all")
    again = run_rounds(bench, 3, policy="accept-all")
    budgeted = [
        {row.pair_id for row in bench.store.proposals.plan_rows(each.plan.plan.id) if row.budget} for each in first
    ]
    assert budgeted[1] - budgeted[0]  # else this shows nothing
    assert first[0].compose.short > 0
    assert [each.compose.composition.id for each in again] == [each.compose.composition.id for each in first]
    assert [each.model.id for each in again] == [each.model.id for each in first]


@pytest.mark.slow
def test_the_excess_over_a_grid_is_handed_on_and_what_remains_is_reported():
    bench = bench_with_pairs(MarsConfig(triage=KEEP), count=10)
    model = train_warm_up(bench)
    score_model(bench, model)
    plan = make_plan(bench, model).plan
    make_proposals(bench, plan)
    review_by_policy(bench.store, "gates", clock=bench.clock)
    for proposal in bench.store.proposals.proposals():
        if proposal.variant > 0:
            record_review(bench.store, "proposal", proposal.id, "reject", annotator="ann", clock=bench.clock)
        else:
            record_review(bench.store, "proposal", proposal.id, "accept", annotator="ann", clock=bench.clock)
    report = compose_plan(bench, plan)
    assert report.new_pairs <= 10 * 3
    assert report.short == plan.budget - report.new_pairs > 0


def test_nothing_approved_is_an_error_that_says_what_to_do():
    bench = bench_with_pairs(count=10)
    model = train_warm_up(bench)
    score_model(bench, model)
    plan = make_plan(bench, model).plan
    make_proposals(bench, plan)
    with pytest.raises(NotReadyError, match="mars review"):
        compose_plan(bench, plan)


def test_asked_about_suspects_get_no_budget_until_a_person_decides():
    bench = bench_with_pairs(MarsConfig(triage=TriageConfig(policy="ask", seeds=2, folds=3, near_zero=0.0)), count=60)
    bad = make_pairs(6, seed=5, first=500)
    add_pairs(bench, tuple(Pair.of(pair.prompt, pair.rejected, pair.chosen) for pair in bad), "train")
    model = train_warm_up(bench)
    score_model(bench, model)
    suspects = [each for each in load_sources(bench.store, bench.config.triage) if each.suspected]
    assert suspects
    before = make_plan(bench, model)
    assert before.forecast.suspects == len(suspects)
    assert before.forecast.suspects_share > 0
    assert before.forecast.suspects_share_spent == 0
    target = suspects[0].pair
    record_review(bench.store, "pair", target.id, "flip", annotator="ann", clock=bench.clock)
    (flipped,) = [each for each in load_sources(bench.store, bench.config.triage) if each.pair.id == target.id]
    assert flipped.flipped
    assert (flipped.oriented.chosen, flipped.oriented.rejected) == (target.rejected, target.chosen)
    after = make_plan(bench, model)
    row = next(row for row in bench.store.proposals.plan_rows(after.plan.id) if row.pair_id == target.id)
    scores = bench.store.models.scores(model.id)[target.id]
    assert row.budget > 0
    assert row.margin == pytest.approx(scores[1] - scores[0])


def test_what_was_proposed_before_a_flip_is_not_composed_after_it():
    bench = bench_with_pairs(count=8)
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)
    target = bench.store.pairs.pairs("train")[0]
    record_review(bench.store, "pair", target.id, "flip", annotator="ann", clock=bench.clock)
    plan = make_plan(bench, model).plan
    make_proposals(bench, plan)
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    composed = bench.store.compositions.pairs(compose_plan(bench, plan).composition.id)
    mine = [row.pair for row in composed if row.source_id == target.id]
    assert mine
    oriented_ids = {each.id: each.oriented_id for each in bench.store.proposals.proposals()}
    flipped_id = Pair.of(target.prompt, target.rejected, target.chosen).id
    used = {each for row in composed if row.source_id == target.id for each in (row.chosen_from, row.rejected_from)}
    assert {oriented_ids[each] for each in used if each} == {flipped_id}


@pytest.mark.slow
def test_leaving_out_suspects_takes_them_out_of_training():
    config = MarsConfig(triage=TriageConfig(policy="leave_out", seeds=2, folds=3, near_zero=0.0))
    bench = bench_with_pairs(config, count=60)
    bad = make_pairs(6, seed=5, first=500)
    add_pairs(bench, tuple(Pair.of(pair.prompt, pair.rejected, pair.chosen) for pair in bad), "train")
    (report,) = run_rounds(bench, 1, policy="accept-all")
    suspects = report.score.verdicts["suspected"]
    assert suspects > 0
    assert report.model.metrics["training_pairs"] == 66 - suspects + report.compose.new_pairs


def test_evaluation_compares_all_models_on_the_same_pairs():
    bench = bench_with_pairs()
    run_rounds(bench, 1, policy="accept-all")
    models = bench.store.models.all()
    report = evaluate(bench, models)
    assert [each.label for each in report.models] == ["warm-up", "signed round 1"]
    assert report.pairs == 20
    assert report.models[0].accuracy.low <= report.models[0].metrics.accuracy <= report.models[0].accuracy.high
    (comparison,) = report.comparisons
    gained = report.models[1].metrics.accuracy - report.models[0].metrics.accuracy
    assert comparison.difference.estimate == pytest.approx(gained)
    assert set(report.models[0].by_subset) == {"s0", "s1"}


def test_evaluating_without_heldout_pairs_says_what_to_do():
    bench = bench_with_pairs(heldout=0)
    train_warm_up(bench)
    with pytest.raises(NotReadyError, match="--split heldout"):
        evaluate(bench, bench.store.models.all())


def test_stored_scores_equal_the_models_own():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    stored = bench.store.models.scores(model.id)
    pairs = bench.store.pairs.pairs("train")
    rewards = bench.shelf.load(model).score(pairs, progress=bench.progress)
    np.testing.assert_array_equal([stored[pair.id][0] for pair in pairs], rewards.chosen)
    np.testing.assert_array_equal([stored[pair.id][1] for pair in pairs], rewards.rejected)


def test_the_same_training_set_is_trained_once():
    bench = bench_with_pairs()
    assert train_warm_up(bench) == train_warm_up(bench)
    assert len(bench.store.models.all()) == 1


def test_pairs_that_come_later_are_triaged_too():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    assert sum(score_model(bench, model).verdicts.values()) == 40
    add_pairs(bench, make_pairs(5, first=700), "train")
    assert sum(score_model(bench, model).verdicts.values()) == 45


def test_a_model_whose_files_are_lost_is_trained_again_under_its_old_record():
    bench = bench_with_pairs()
    record = train_warm_up(bench)
    weights = bench.shelf.models.pop(record.id).weights
    assert train_warm_up(bench) == record
    np.testing.assert_array_equal(bench.shelf.models[record.id].weights, weights)
    assert bench.store.models.all() == [record]


def test_export_tells_lineage_and_leaves_the_dropped_out():
    bench = bench_with_pairs()
    (report,) = run_rounds(bench, 1, policy="accept-all")
    victim = bench.store.pairs.pairs("train")[3]
    record_review(bench.store, "pair", victim.id, "drop", annotator="ann", clock=bench.clock)
    selection = select_for_export(bench.store, "training-set", config=bench.config)
    base = [row for row in selection.rows if row.round == 0]
    assert len(base) == 39
    assert victim.id not in {row.source_id for row in base}
    composed = bench.store.compositions.pairs(report.compose.composition.id)
    assert len(selection.rows) == 39 + sum(row.source_id != victim.id for row in composed)
    assert selection.manifest["composition"] == report.compose.composition.id


def test_status_walks_the_steps_in_their_order():
    bench = make_bench(MarsConfig(triage=KEEP))
    seen = []

    def note() -> None:
        seen.append(workspace_status(bench.store).next_step.split(":")[0])

    note()
    add_pairs(bench, make_pairs(20), "train")
    note()
    model = train_warm_up(bench)
    note()
    score_model(bench, model)
    note()
    plan = make_plan(bench, model).plan
    make_proposals(bench, plan)
    note()
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    note()
    composition = compose_plan(bench, plan).composition
    note()
    train_on(bench, composition)
    note()
    assert seen == [
        "mars import FILE",
        "mars train",
        "mars score",
        "mars propose",
        "mars review",
        "mars compose",
        "mars train",
        "mars evaluate",
    ]
    score_model(bench, bench.store.models.latest())
    status = workspace_status(bench.store)
    assert status.next_step.startswith("mars evaluate")
    counts = {step.name: step.count for step in status.counts}
    assert counts["pairs"] == 20
    assert counts["composed"] == 100
    assert counts["trained"] == 120
    assert counts["accepted"] == counts["proposed"] > 0


def test_exported_margins_equal_a_plain_scikit_learn_refit():
    bench = bench_with_pairs(MarsConfig(triage=KEEP, probe=ProbeConfig(reading="response")))
    model = train_warm_up(bench)
    score_model(bench, model)
    selection = select_for_export(bench.store, "base", config=bench.config)
    pairs = [row.pair for row in selection.rows]
    vectors = bench.encoder.encode(
        [Passage(text) for pair in pairs for text in (pair.chosen, pair.rejected)], progress=bench.progress
    ).vectors.astype(np.float64)
    raw = vectors[0::2] - vectors[1::2]
    differences = raw / (np.sqrt((raw**2).mean(axis=0)) * np.sqrt(raw.shape[1]))
    refit = LogisticRegression(
        C=1 / (2 * model.settings["features"]["l2"] * len(pairs)), fit_intercept=False, tol=1e-12, max_iter=10_000
    ).fit(np.vstack([differences, -differences]), [1] * len(pairs) + [0] * len(pairs))
    np.testing.assert_allclose([row.margin for row in selection.rows], differences @ refit.coef_[0], atol=1e-5)


@pytest.mark.slow
def test_opening_and_closing_a_round_is_the_same_as_taking_its_steps():
    steps, halves = bench_with_pairs(), bench_with_pairs()
    (report,) = run_rounds(steps, 1, policy="gates")
    opened = open_round(halves)
    assert opened.model.label == "warm-up"
    assert (opened.number, opened.plan.plan.id) == (1, report.plan.plan.id)
    review_by_policy(halves.store, "gates", clock=halves.clock)
    closed = close_round(halves)
    assert (closed.number, closed.model.id) == (1, report.model.id)
    assert closed.compose.composition.id == report.compose.composition.id
    assert closed.score == report.score_after
    assert [model.label for model in closed.evaluation.models] == ["warm-up", "signed round 1"]
    second = open_round(halves)
    assert (second.number, second.model.id) == (2, closed.model.id)
    assert close_round_again(halves).compose.carried_over == report.compose.new_pairs


def close_round_again(bench: Workbench):
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    return close_round(bench)


def test_opening_an_open_round_again_adds_nothing():
    bench = bench_with_pairs()
    first, again = open_round(bench), open_round(bench)
    assert again.plan.plan.id == first.plan.plan.id
    assert again.propose.done_before == again.propose.sources == first.propose.sources
    assert again.propose.proposals == first.propose.proposals


def test_a_round_cannot_be_closed_before_it_is_opened_or_where_nothing_was_accepted():
    bench = bench_with_pairs(heldout=0)
    with pytest.raises(NotReadyError, match="no plan"):
        close_round(bench)
    open_round(bench)
    with pytest.raises(NotReadyError, match="no proposal is approved"):
        close_round(bench)
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    assert close_round(bench).evaluation is None, "there are no held-out pairs to evaluate on"


@pytest.mark.slow
def test_each_trained_model_of_the_rounds_has_a_point_on_every_curve():
    points: dict[str, list[tuple[int, float]]] = {}
    bench = replace(
        bench_with_pairs(),
        add_point=lambda metric, step, value: points.setdefault(metric, []).append((step, value)),
    )
    reports = run_rounds(bench, 2, policy="accept-all")
    assert {metric: [step for step, _ in curve] for metric, curve in points.items()} == {
        metric: [0, 1, 2]
        for metric in ("training log-loss", "held-out log-loss", "held-out accuracy", "mean held-out margin")
    }
    assert points["held-out accuracy"][2] == (2, reports[-1].score_after.heldout.accuracy)
    margins = bench.shelf.load(reports[-1].model).score(bench.store.pairs.pairs("heldout"), progress=bench.progress)
    assert points["mean held-out margin"][2][1] == pytest.approx(margins.margins.mean())
    composed = [row.pair for row in bench.store.compositions.pairs(reports[-1].compose.composition.id)]
    trained_on = [*bench.store.pairs.pairs("train"), *composed]
    training = bench.shelf.load(reports[-1].model).score(trained_on, progress=bench.progress).margins
    assert points["training log-loss"][2][1] == pytest.approx(np.logaddexp(0, -training).mean())


@pytest.mark.parametrize(
    ("losses", "without_gain"),
    [([0.7], 0), ([0.7, 0.6], 0), ([0.7, 0.8], 1), ([0.7, 0.5, 0.6, 0.5], 2), ([float("nan"), float("nan")], 0)],
)
def test_rounds_that_did_not_help_are_counted_from_the_best(losses, without_gain):
    assert rounds_without_gain(losses) == without_gain


@pytest.mark.slow
def test_rounds_end_when_they_stop_helping_on_held_out_pairs():
    bench = bench_with_pairs(MarsConfig(triage=KEEP, probe=ProbeConfig(l2=0.005)))
    flipped = [Pair.of(pair.prompt, pair.rejected, pair.chosen) for pair in make_pairs(40, seed=9, first=3000)]
    add_pairs(bench, tuple(flipped), "heldout")  # what the model learns is wrong on most of these
    reports = run_rounds(bench, 5, policy="accept-all", patience=1)
    losses = [report.score_after.heldout.log_loss for report in reports]
    assert len(reports) < 5
    assert losses[-1] >= min([reports[0].score.heldout.log_loss, *losses[:-1]])
    assert len(run_rounds(bench, 2, policy="accept-all", patience=0)) == 2


@pytest.mark.slow
def test_a_round_waits_until_people_have_decided_about_every_proposal():
    bench = bench_with_pairs()
    waited = []

    def decide_some(_seconds: float) -> None:
        states = proposal_states(bench.store.proposals.proposals(), bench.store.reviews.events("proposal"))
        pending = [each for each, state in states.items() if state.status == "pending"]
        waited.append(len(pending))
        for number, proposal_id in enumerate(pending[:30]):
            action = "reject" if number % 3 == 0 else "accept"
            record_review(bench.store, "proposal", proposal_id, action, annotator="ann", clock=bench.clock)

    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)
    report = wait_for_people(bench.store, progress=bench.progress, sleep=decide_some)
    assert len(waited) > 1
    assert waited == sorted(waited, reverse=True)
    assert report.policy == "people"
    assert report.standing == {"accepted": report.accepted_now, "rejected": report.rejected_now}
    assert report.accepted_now > report.rejected_now > 0


def test_a_round_without_a_new_pair_ends_the_rounds_and_is_none():
    bench = bench_with_pairs(MarsConfig(triage=KEEP, propose=ProposeConfig(variants=1)), count=8)
    points: list[tuple[str, int]] = []
    bench = replace(bench, add_point=lambda metric, step, _value: points.append((metric, step)))
    reports = run_rounds(bench, 9, policy="accept-all")
    assert 1 <= len(reports) < 9
    assert all(report.compose.new_pairs for report in reports)
    assert reports[-1].ended.startswith(f"Round {len(reports) + 1} found no new pair")
    assert not any(report.ended for report in reports[:-1])
    assert [step for metric, step in points if metric == "held-out accuracy"] == list(range(len(reports) + 1))


@pytest.mark.parametrize("rounds", [1, 3], ids=["the last round asked for", "an earlier one"])
def test_patience_that_has_run_out_is_said_after_the_last_round_too(rounds, monkeypatch):
    monkeypatch.setattr("mars_engine.workspace.rounds.rounds_without_gain", lambda _losses: 1)
    reports = run_rounds(bench_with_pairs(count=10), rounds, policy="accept-all", patience=1)
    assert [report.ended for report in reports] == ["The last round did not lower the held-out log-loss."]
