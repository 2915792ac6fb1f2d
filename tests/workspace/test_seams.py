"""Between the steps: settings that change back, decisions that come late, pairs that were composed before them."""

import re

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.compose import compose_plan
from mars_engine.augment.plan import draft_plan, make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import AllocationConfig, GateConfig, MarsConfig, TriageConfig
from mars_engine.core.errors import MarsError
from mars_engine.curate.review import review_by_policy
from mars_engine.data.export import select_for_export
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.data.sources import load_sources, standing_pairs, training_set
from mars_engine.evaluate.overview import margin_histogram
from mars_engine.evaluate.status import workspace_status
from mars_engine.explore.actions import put_together
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_on, train_warm_up
from mars_engine.workspace.rounds import compose_newest_plan, run_rounds

KEEP = TriageConfig(policy="keep", seeds=2, folds=3)


def bench_with_pairs(config: MarsConfig | None = None, count: int = 12) -> Workbench:
    bench = make_bench(config or MarsConfig(triage=KEEP))
    add_pairs(bench, make_pairs(count))
    return bench


def add_pairs(bench: Workbench, pairs) -> None:
    source = ListSource(pairs)
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)


def decide(bench: Workbench, pair_id: str, action) -> None:
    record_review(bench.store, "pair", pair_id, action, annotator="ann", clock=bench.clock)


def test_a_plan_that_is_made_again_is_the_latest_again():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    uniform = make_plan(bench, model, law="uniform").plan
    signed = make_plan(bench, model, law="signed").plan
    assert bench.store.proposals.latest_plan().id == signed.id
    make_plan(bench, model, law="uniform")
    assert bench.store.proposals.latest_plan().id == uniform.id


def test_a_model_or_composition_that_is_made_again_is_the_latest_again():
    bench = bench_with_pairs()
    (report,) = run_rounds(bench, 1, policy="accept-all")
    warm_up = train_warm_up(bench)
    assert bench.store.models.latest().id == warm_up.id
    other = compose_plan(bench, make_plan(bench, warm_up, law="uniform").plan).composition
    assert bench.store.compositions.latest().id == other.id
    compose_plan(bench, report.plan.plan)
    assert bench.store.compositions.latest().id == report.compose.composition.id


def test_two_laws_that_come_to_the_same_pairs_share_a_model_that_is_the_later_ones():
    config = MarsConfig(
        triage=KEEP, allocation=AllocationConfig(budget_per_pair=1000)
    )  # more than the grids hold, under any law
    bench = bench_with_pairs(config)
    warm_up = train_warm_up(bench)
    score_model(bench, warm_up)
    trained = []
    for law in ("uniform", "signed"):
        plan = make_plan(bench, warm_up, law=law).plan
        make_proposals(bench, plan)
        review_by_policy(bench.store, "accept-all", clock=bench.clock)
        composition = compose_plan(bench, plan).composition
        trained.append(train_on(bench, composition))
        assert trained[-1].composition_id == composition.id
    assert trained[0].id == trained[1].id
    assert [model.label for model in trained] == ["uniform round 1", "signed round 1"]
    assert bench.store.models.latest().label == "signed round 1"
    score_model(bench, trained[-1])
    status = workspace_status(bench.store)
    assert status.step == "evaluate"
    (note,) = [step.note for step in status.counts if step.name == "composed"]
    assert re.fullmatch(r"round 1: all that the approved variants give, [\d,]+ short of the budget", note)


def test_a_drafted_plan_is_not_stored():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    assert draft_plan(bench, model).report.summary.budget == 60
    assert bench.store.proposals.latest_plan() is None


def test_a_plan_for_a_set_of_pairs_spends_its_whole_budget_there():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    wanted = [pair.id for pair in bench.store.pairs.pairs("train")][:4]
    made = put_together(bench.store, wanted, name="mine", annotator="ann", clock=bench.clock)
    everywhere = {row.pair_id: row.gate for row in _rows(bench, make_plan(bench, model).plan)}
    plan = make_plan(bench, model, pair_set=made.id).plan
    rows = _rows(bench, plan)
    assert plan.budget == sum(row.budget for row in rows) == 20
    assert {row.pair_id for row in rows if row.budget} <= set(wanted)
    assert {row.pair_id: row.gate for row in rows} == everywhere
    proposed = make_proposals(bench, plan)
    assert proposed.proposals
    assert {each.source_id for each in bench.store.proposals.proposals()} <= set(wanted)


def test_a_plan_for_a_set_is_added_to_the_open_round_and_proposes_for_the_set_alone():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    ids = [pair.id for pair in bench.store.pairs.pairs("train")]

    def propose_for(some: list[str], name: str):
        made = put_together(bench.store, some, name=name, annotator="ann", clock=bench.clock)
        plan = make_plan(bench, model, pair_set=made.id).plan
        return plan, make_proposals(bench, plan)

    first, _ = propose_for(ids[:4], "first")
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    second, report = propose_for(ids[2:6], "second")
    assert report.sources <= 4
    budgets = {row.pair_id: row.budget for row in _rows(bench, second)}
    before = {row.pair_id: row.budget for row in _rows(bench, first)}
    assert all(budgets[pair_id] == before[pair_id] for pair_id in ids[:2])
    assert all(budgets[pair_id] >= before[pair_id] for pair_id in ids[2:4])
    assert sum(budgets.values()) == second.budget > first.budget
    assert sum(row.probability for row in _rows(bench, second)) == pytest.approx(1)
    composed = compose_newest_plan(bench)
    rows = bench.store.compositions.pairs(composed.composition.id)
    assert {row.source_id for row in rows} & set(ids[:2]), "what was accepted before is composed too"
    model = train_on(bench, composed.composition)
    score_model(bench, model)
    made = put_together(bench.store, ids[:2], name="third", annotator="ann", clock=bench.clock)
    afresh = make_plan(bench, model, pair_set=made.id, round_number=2).plan
    assert {row.pair_id for row in _rows(bench, afresh) if row.budget} <= set(ids[:2]), "another round, another plan"


def test_a_plan_for_a_set_that_is_gone_says_so():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    with pytest.raises(MarsError, match="no training pair is in the set 'gone'"):
        make_plan(bench, model, pair_set="gone")


def _rows(bench: Workbench, plan):
    return bench.store.proposals.plan_rows(plan.id)


@pytest.mark.parametrize("action", ["drop", "flip"])
def test_composed_pairs_of_a_source_that_is_decided_about_later_no_longer_stand(action):
    bench = bench_with_pairs()
    (report,) = run_rounds(bench, 1, policy="accept-all")
    composition = report.compose.composition
    target = report.compose and bench.store.compositions.pairs(composition.id)[0].source_id
    decide(bench, target, action)
    sources = load_sources(bench.store, KEEP)
    standing = standing_pairs(bench.store, composition.id, sources)
    assert target not in {row.source_id for row in standing}
    assert 0 < len(standing) < report.compose.new_pairs
    retrained = train_on(bench, composition)
    assert retrained.metrics["training_pairs"] == len(standing) + (11 if action == "drop" else 12)
    exported = select_for_export(bench.store, "composed", config=bench.config)
    assert target not in {row.source_id for row in exported.rows}
    again = compose_plan(bench, report.plan.plan)
    composed = bench.store.compositions.pairs(again.composition.id)
    assert target not in {row.source_id for row in composed}, "no budget after a drop, no variants after a flip"


def test_undoing_the_decision_lets_them_stand_again():
    bench = bench_with_pairs()
    (report,) = run_rounds(bench, 1, policy="accept-all")
    composition = report.compose.composition
    target = bench.store.compositions.pairs(composition.id)[0].source_id
    decide(bench, target, "drop")
    decide(bench, target, "undo")
    standing = standing_pairs(bench.store, composition.id, load_sources(bench.store, KEEP))
    assert len(standing) == report.compose.new_pairs


def test_triage_follows_its_settings():
    bench = bench_with_pairs(count=30)
    bad = make_pairs(4, seed=5, first=500)
    add_pairs(bench, tuple(type(pair).of(pair.prompt, pair.rejected, pair.chosen) for pair in bad))
    model = train_warm_up(bench)
    strict = score_model(bench, model).verdicts
    lenient = TriageConfig(policy="keep", seeds=2, folds=3, near_zero=100.0)
    loose = Workbench(**{**vars(bench), "config": bench.config.model_copy(update={"triage": lenient})})
    assert strict["suspected"] > score_model(loose, model).verdicts["suspected"] == 0


def test_another_gate_asks_for_other_proposals():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    refined = []
    for threshold in (0.0, 2.0):
        gate = GateConfig(rule="fixed", threshold=threshold)
        other = Workbench(**{**vars(bench), "config": bench.config.model_copy(update={"gate": gate})})
        plan = make_plan(other, model)
        report = make_proposals(other, plan.plan)
        refined.append((plan.forecast.needs_refining, report.refinements.get("refined_rejected", 0)))
    assert refined[0] == (0, 0)
    assert refined[1][0] == 12
    assert refined[1][1] > 0


def test_a_smoothed_label_stays_smoothed_in_what_is_composed_of_it():
    bench = bench_with_pairs()
    run_rounds(bench, 1, policy="accept-all")
    composition = bench.store.compositions.latest()
    target = bench.store.compositions.pairs(composition.id)[0].source_id
    decide(bench, target, "ambiguous")
    sources = load_sources(bench.store, KEEP)
    rows = standing_pairs(bench.store, composition.id, sources)
    examples = training_set(sources, rows)
    mine = np.array([row.source_id == target for row in rows])
    np.testing.assert_array_equal(examples.label_confidence[len(sources) :][mine], 0.5)
    np.testing.assert_array_equal(examples.label_confidence[len(sources) :][~mine], 1.0)


def test_what_follows_a_plan_keeps_to_the_triage_policy_of_the_plan():
    bench = bench_with_pairs(MarsConfig(triage=TriageConfig(policy="flip", seeds=2, folds=3, near_zero=0.0)), count=40)
    bad = make_pairs(6, seed=5, first=500)
    add_pairs(bench, tuple(type(pair).of(pair.prompt, pair.rejected, pair.chosen) for pair in bad))
    (report,) = run_rounds(bench, 1, policy="accept-all")
    assert report.score.verdicts["suspected"] > 0
    asking = Workbench(**{**vars(bench), "config": MarsConfig(triage=TriageConfig(policy="ask"))})
    assert train_on(asking, report.compose.composition).id == report.model.id
    rows = select_for_export(bench.store, "training-set", config=asking.config).rows
    orientation = {row.source_id: row.pair for row in rows if row.round == 0}
    assert len(rows) == report.model.metrics["training_pairs"]
    assert len(orientation) == 46


def test_status_and_the_page_notice_pairs_without_scores_and_models_without_triage():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    add_pairs(bench, make_pairs(3, first=700))
    assert workspace_status(bench.store).next_step.startswith("mars score")
    (report,) = run_rounds(bench, 1, policy="accept-all")
    assert bench.store.models.latest() == report.model
    add_pairs(bench, make_pairs(3, first=800))
    assert train_warm_up(bench) == bench.store.models.latest()
    assert margin_histogram(PairIndexCache(bench.store).current()).model_label == "warm-up"
    assert workspace_status(bench.store).next_step.startswith("mars score")


@pytest.mark.parametrize("annotator", ["", "  ", "policy:me"])
def test_a_review_needs_a_persons_name(annotator):
    bench = bench_with_pairs()
    pair = bench.store.pairs.pairs("train")[0]
    with pytest.raises(MarsError, match="annotator"):
        record_review(bench.store, "pair", pair.id, "drop", annotator=annotator, clock=bench.clock)


def test_an_edit_with_twice_the_same_answer_is_refused():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)
    review_by_policy(bench.store, "gates", clock=bench.clock)
    proposal = bench.store.proposals.proposals()[0]
    with pytest.raises(MarsError, match="the same"):
        record_review(
            bench.store,
            "proposal",
            proposal.id,
            "edit",
            annotator="ann",
            clock=bench.clock,
            chosen="one",
            rejected="one",
        )


def test_where_all_proposals_are_rejected_no_step_sends_back_to_the_one_before():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)
    for proposal in bench.store.proposals.proposals():
        record_review(bench.store, "proposal", proposal.id, "reject", annotator="anna", clock=bench.clock)
    status = workspace_status(bench.store)
    assert status.step == "propose otherwise"
    assert "nothing was accepted" in status.next_step
    with pytest.raises(MarsError) as raised:
        compose_newest_plan(bench)
    assert "'mars status' says what helps" in raised.value.remedy
    first = bench.store.proposals.proposals()[0]
    record_review(bench.store, "proposal", first.id, "accept", annotator="anna", clock=bench.clock)
    assert workspace_status(bench.store).step == "compose"
