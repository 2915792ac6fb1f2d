"""The forecast says what the steps then do."""

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.plan import draft_plan
from mars_engine.augment.training_forecast import base_pairs, budget_outlook, most_chat_requests, new_pairs
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import (
    AllocationConfig,
    ChatConfig,
    ComposeConfig,
    MarsConfig,
    ProposeConfig,
    QualityConfig,
    TriageConfig,
)
from mars_engine.core.records import Pair
from mars_engine.curate.review import review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.data.sources import load_sources, training_set
from mars_engine.workspace.rounds import close_round, open_round

POLICIES = ("ask", "keep", "leave_out", "smooth", "flip")


def config_with(policy: str) -> MarsConfig:
    return MarsConfig(
        triage=TriageConfig(policy=policy, seeds=2, folds=3), allocation=AllocationConfig(scale="standard", tau=1.0)
    )


def bench_with_suspects(policy: str) -> Workbench:
    """Forty pairs, ten of them labelled the wrong way round, of which some are decided about."""
    bench = make_bench(config_with(policy))
    right, wrong = make_pairs(30), make_pairs(10, seed=5, first=500)
    pairs = (*right, *(Pair.of(pair.prompt, pair.rejected, pair.chosen) for pair in wrong))
    import_pairs(ListSource(pairs), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    held = ListSource(make_pairs(10, seed=1, first=900))
    import_pairs(held, bench.store, split="heldout", clock=bench.clock, progress=bench.progress)
    return bench


def decide(bench: Workbench) -> None:
    pairs = bench.store.pairs.pairs("train")
    for pair, action in zip(pairs[-4:], ("flip", "drop", "ambiguous", "label_right"), strict=True):
        record_review(bench.store, "pair", pair.id, action, annotator="ann", clock=bench.clock)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_base_pairs_and_budget_are_those_of_the_steps(policy):
    bench = bench_with_suspects(policy)
    opened = open_round(bench)
    decide(bench)
    index = PairIndexCache(bench.store).current()
    base = base_pairs(index, policy)
    sources = load_sources(bench.store, bench.config.triage)
    assert base.imported == 40
    assert base.suspects > 0, "the test has suspects that nobody decided about"
    assert base.trained_on == len(training_set(sources).pairs)
    assert base.flipped == sum(source.flipped for source in sources)
    confidences = [source.treatment.label_confidence for source in sources if source.treatment.trained_on]
    assert base.softened == sum(0 < confidence < 1 for confidence in confidences)
    plan = draft_plan(bench, opened.model).report
    outlook = budget_outlook(index, bench.config)
    assert outlook.budget == plan.summary.budget == 200
    assert outlook.receivers == plan.summary.pairs - plan.summary.zeros
    assert outlook.effective_sample_size == pytest.approx(plan.summary.effective_sample_size, rel=1e-4)
    assert outlook.suspects_share == pytest.approx(plan.forecast.suspects_share, rel=1e-4)
    assert outlook.suspects_share_spent == pytest.approx(plan.forecast.suspects_share_spent)


def test_nothing_is_foretold_of_the_budget_before_the_margins_are_read():
    bench = bench_with_suspects("ask")
    assert budget_outlook(PairIndexCache(bench.store).current(), bench.config) is None
    assert new_pairs(bench.store, PairIndexCache(bench.store).current(), bench.config) is None


@pytest.mark.slow
@pytest.mark.parametrize("cumulative", [True, False])
def test_new_pairs_are_at_most_what_closing_composes(cumulative, monkeypatch):
    bench = bench_with_suspects("keep")
    index = PairIndexCache(bench.store)
    opened = open_round(bench)
    before = new_pairs(bench.store, index.current(), bench.config)
    assert (before.round, before.accepted, before.at_most, before.carried_over) == (1, 0, 0, 0)
    assert before.pending == opened.propose.proposals
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    coming = new_pairs(bench.store, index.current(), bench.config)
    assert coming.accepted == opened.propose.proposals
    monkeypatch.setattr("mars_engine.augment.training_forecast.MOST_COUNTED", 1)
    loose = new_pairs(bench.store, index.current(), bench.config)
    monkeypatch.undo()
    closed = close_round(bench)
    assert 0 < closed.compose.new_pairs <= coming.at_most <= loose.at_most <= coming.budget
    open_round(bench)
    config = bench.config.model_copy(update={"compose": ComposeConfig(cumulative=cumulative)})
    second = new_pairs(bench.store, index.current(), config)
    assert (second.round, second.carried_over) == (2, closed.compose.new_pairs if cumulative else 0)


def test_one_accepted_side_and_equal_texts_make_no_room():
    bench = bench_with_suspects("keep")
    open_round(bench)
    proposal = bench.store.proposals.proposals()[0]
    record_review(bench.store, "proposal", proposal.id, "accept_chosen", annotator="ann", clock=bench.clock)
    coming = new_pairs(bench.store, PairIndexCache(bench.store).current(), bench.config)
    assert (coming.accepted, coming.at_most) == (1, 1)


def test_the_most_that_a_chat_model_is_asked_is_counted_by_texts_and_parts():
    chat = ProposeConfig(paraphraser="chat", refiner="chat", variants=5, refine_tries=3)
    assert most_chat_requests(10, MarsConfig(propose=chat)) == 10 * (3 + 2)
    assert most_chat_requests(10, MarsConfig(propose=chat, chat=ChatConfig(candidates=2))) == 10 * (3 * 3 + 2 * 2)
    assert most_chat_requests(10, MarsConfig(propose=ProposeConfig(refiner="chat"))) == 20
    assert most_chat_requests(10, MarsConfig(quality=QualityConfig(judge_by="chat"))) == 10 * 2 * (5 + 1)
    assert most_chat_requests(10, MarsConfig()) == 0
