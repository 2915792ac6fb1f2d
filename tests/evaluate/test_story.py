"""The story in plain words: no gain that is not shown, every missing part says what would be there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.core.config import EvaluateConfig, MarsConfig, TriageConfig
from mars_engine.core.records import Run
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.evaluate.costs import sum_up_costs
from mars_engine.evaluate.heldout import Comparison
from mars_engine.evaluate.report import ReportContent, gather_report
from mars_engine.evaluate.story import TITLES, say_gain, say_time, tell
from mars_engine.stats.intervals import Interval
from mars_engine.workspace.rounds import run_rounds

CONFIG = MarsConfig(
    triage=TriageConfig(policy="keep", seeds=2, folds=3),
    evaluate=EvaluateConfig(resamples=200),
    database_url="sqlite://",
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def content_of(bench) -> ReportContent:
    index = PairIndexCache(bench.store).current()
    return gather_report(bench.store, index, workspace="w", config=CONFIG, versions={}, clock=bench.clock)


def a_bench(*, heldout: int = 0):
    bench = make_bench(CONFIG)
    for split, count, first in (("train", 12, 0), ("heldout", heldout, 100)):
        if count:
            source = ListSource(make_pairs(count, first=first, seed=first), name=split)
            import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    return bench


@pytest.fixture(scope="module")
def told() -> ReportContent:
    bench = a_bench(heldout=12)
    run_rounds(bench, 1, policy="accept-all")
    proposal = bench.store.proposals.proposals()[0]
    record_review(bench.store, "proposal", proposal.id, "reject", annotator="ada", clock=bench.clock, seconds=90)
    record_review(bench.store, "proposal", proposal.id, "undo", annotator="ada", clock=bench.clock)
    return content_of(bench)


def says(content: ReportContent, key: str) -> str:
    return " ".join(next(step for step in tell(content) if step.key == key).says)


@pytest.mark.parametrize(
    ("low", "estimate", "high", "expected"),
    [
        (-0.02, 0.03, 0.08, "No difference shown between new and old"),
        (0.0, 0.03, 0.08, "No difference shown between new and old"),
        (0.01, 0.05, 0.09, "new ranks about 5 in 100 more held-out pairs right than old (95% sure: between +1 and +9"),
        (-0.09, -0.05, -0.01, "new ranks about 5 in 100 fewer held-out pairs right than old"),
    ],
)
def test_a_gain_is_said_only_where_the_interval_misses_zero(low, estimate, high, expected):
    difference, log_loss = Interval(estimate, low, high, 0.95), Interval(0.0, -0.1, 0.1, 0.95)
    sentence = say_gain(Comparison("new", "old", difference, log_loss))
    assert sentence.startswith(expected)
    assert ("more" in sentence) == (low > 0)


def test_a_whole_workspace_has_each_step_but_the_map(told):
    steps = tell(told)
    assert [step.key for step in steps] == list(TITLES)
    assert [step.key for step in steps if step.missing] == ["map"]
    assert "1 person made 1 decision: 0 about labels, 1 about proposals. 1 decision was taken back." in says(
        told, "people"
    )
    assert "People read for 90 seconds, 90 seconds a decision." in says(told, "cost")
    assert "12 pairs to learn from, and 12 pairs that it never learns from" in says(told, "story")


def test_reading_whose_time_was_not_kept_is_not_said_to_have_taken_none(told):
    content = replace(told, costs=replace(told.costs, read_seconds=0.0))
    assert "How long people read was not kept" in says(content, "cost")
    assert "0 seconds" not in says(content, "cost")


def test_without_a_model_each_step_says_what_would_be_there():
    steps = {step.key: step for step in tell(content_of(a_bench()))}
    assert [key for key, step in steps.items() if step.missing] == ["map", "margins", "pairs", "gain", "people"]
    assert "there are no held-out pairs" in steps["gain"].missing
    assert steps["cost"].says[0] == "No person's reading time yet: nobody has decided anything."


def test_a_language_models_decisions_are_not_a_persons(told):
    judged = replace(told.reviewers[0], name="judge:recorded", labels=7)
    content = replace(told, reviewers=(*told.reviewers, judged))
    assert "1 person made 1 decision" in says(content, "people")
    assert "a judge, or a recording of one, decided about 7 labels" in says(content, "people")


def test_what_a_policy_decided_is_told_beside_what_people_did(told):
    policy = replace(told.reviewers[0], name="policy:judge", is_policy=True, labels=7, proposals=2)
    person = next(each for each in told.reviewers if not each.is_policy)
    content = replace(told, reviewers=(person, policy))
    assert "A policy, a fixed rule, decided about 7 labels and 2 proposals" in says(content, "people")
    assert "0 about labels" in says(content, "people")


def a_run(name: str, kind: str, start: int, end: int | None) -> Run:
    begun = NOON + timedelta(seconds=start)
    ended = None if end is None else NOON + timedelta(seconds=end)
    state = "running" if end is None else "finished"
    return Run(name, kind, state, {}, {}, "", 1, 0.0, begun, begun, ended)


def test_machine_time_counts_a_moment_once_and_leaves_out_what_has_not_ended():
    bench = make_bench(CONFIG)
    for run in (a_run("a", "demo", 0, 100), a_run("b", "train", 20, 50), a_run("c", "map", 90, 130)):
        bench.store.runs.start(run)
        bench.store.runs.finish(run.id, "finished", run.ended_at, summary={}, error="")
    bench.store.runs.start(a_run("d", "train", 200, None))
    costs = sum_up_costs(bench.store)
    assert costs.machine_seconds == pytest.approx(130)
    assert [(each.kind, each.runs, each.seconds) for each in costs.by_kind] == [
        ("demo", 1, 100),
        ("map", 1, 40),
        ("train", 1, 30),
    ]


def test_times_have_the_unit_that_fits():
    assert [say_time(each) for each in (1, 99, 120, 5_940, 36_000)] == [
        "1 second",
        "99 seconds",
        "2 minutes",
        "99 minutes",
        "10.0 hours",
    ]
