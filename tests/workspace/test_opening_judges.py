"""Judges by name, and the policy for suspects that asks one before a budget is planned."""

import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import JudgeConfig, MarsConfig, TriageConfig
from mars_engine.core.errors import ConfigError, MarsError
from mars_engine.core.records import TriageRow
from mars_engine.core.review_state import label_decisions
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.sources import load_sources
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.judges import open_judge, settle_suspects

PAIRS = make_pairs(4)


def triaged(*verdicts: str, by: str = "warm-up") -> Workbench:
    bench = make_bench(MarsConfig(triage=TriageConfig(policy="judge"), judge=JudgeConfig(by=by)))
    import_pairs(ListSource(PAIRS), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    model = train_warm_up(bench)
    margins = {"suspected": -1.0, "clear": 1.0}
    rows = [
        TriageRow(pair.id, margins[verdict], 0.1, 1.0, verdict) for pair, verdict in zip(PAIRS, verdicts, strict=True)
    ]
    bench.store.models.save_triage(model.id, rows)
    return bench


def test_the_policy_asks_about_suspects_and_what_it_does_not_settle_waits_for_people():
    bench = triaged("suspected", "suspected", "clear", "clear")
    settle_suspects(bench)
    (judge,) = bench.store.opinions.judges()
    said = bench.store.opinions.of_judge(judge)
    assert set(said) == {PAIRS[0].id, PAIRS[1].id}
    decided = label_decisions(PAIRS, bench.store.reviews.events("pair"))
    assert decided == {pair_id: "flip" for pair_id, each in said.items() if each.verdict == "rejected"}
    waiting = [
        each.pair.id for each in load_sources(bench.store, bench.config.triage) if not each.treatment.gets_budget
    ]
    assert waiting == [pair.id for pair in PAIRS[:2] if pair.id not in decided]


def test_without_suspects_there_is_nothing_to_settle():
    bench = triaged(*["clear"] * 4)
    settle_suspects(bench)
    assert bench.store.opinions.judges() == []
    assert bench.store.reviews.events("pair") == {}


def test_another_policy_asks_nobody():
    bench = make_bench(MarsConfig(judge=JudgeConfig(by="warm-up")))
    settle_suspects(bench)
    assert bench.store.opinions.judges() == []


@pytest.mark.parametrize(
    ("name", "said"), [("", "no judge is named"), ("recorded", "cannot be asked"), ("chat", "no chat model")]
)
def test_a_judge_that_cannot_be_asked_is_refused(name, said):
    with pytest.raises((ConfigError, MarsError), match=said):
        open_judge(make_bench(), name)


def test_a_model_of_the_workspace_is_known_by_id_and_label_and_said_to_have_seen_the_labels():
    bench = triaged(*["clear"] * 4)
    (record,) = bench.store.models.all()
    judge = open_judge(bench, "warm-up")
    assert judge.name == open_judge(bench, record.id).name == f"warm-up {record.id[:8]}"
    assert "trained on the labels" in judge.remarks[0]
