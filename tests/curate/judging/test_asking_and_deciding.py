"""A judge is asked once, suspects first; where it agrees with the margin a policy decides, and can be undone."""

from datetime import UTC, datetime

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review
from scripted_judge import ScriptedJudge

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import JudgeConfig, MarsConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import ModelRecord, TriageRow
from mars_engine.core.review_state import label_decision
from mars_engine.curate.history import label_history
from mars_engine.curate.judging.asking import forecast_judging, judge_labels
from mars_engine.curate.judging.deciding import JUDGE_POLICY, decide_by_judge, undo_judge_decisions
from mars_engine.curate.judging.judges import Said
from mars_engine.data.import_pairs import import_pairs

PAIRS = make_pairs(8)
IDS = [pair.id for pair in PAIRS]
WRONG, TIE = Said("rejected", "rejected"), Said("tie", "tie")
AWAY = Said("unread", "chosen", "the server is away", retryable=True)
UNREADABLE = Said("unread", "chosen", "it does not say which is better")
VERDICTS = ("clear", "suspected", "hard", "suspected", "clear", "suspected", "indistinct", "clear")
MARGINS = (1.0, -1.0, -0.1, -3.0, 2.0, -2.0, 0.0, 0.5)
SUSPECTS = [IDS[3], IDS[5], IDS[1]]


def triaged(config: MarsConfig | None = None) -> Workbench:
    bench = make_bench(config)
    import_pairs(ListSource(PAIRS), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    model = ModelRecord("m", "probe", "warm-up", {}, {}, "", "", 0, datetime(2026, 11, 29, tzinfo=UTC))
    bench.store.models.add(model)
    rows = [TriageRow(*row) for row in zip(IDS, MARGINS, [0.1] * 8, [1.0] * 8, VERDICTS, strict=True)]
    bench.store.models.save_triage("m", rows)
    return bench


@pytest.fixture
def bench() -> Workbench:
    return triaged()


def decision_on(bench: Workbench, place: int) -> str | None:
    return label_decision(bench.store.reviews.events("pair", [IDS[place]]).get(IDS[place], []))


def test_suspects_are_judged_first_the_lowest_margin_before_all(bench):
    judge = ScriptedJudge()
    judge_labels(bench, judge)
    assert judge.asked == SUSPECTS
    everything = ScriptedJudge(name="other")
    judge_labels(bench, everything, every_pair=True)
    assert everything.asked[:3] == SUSPECTS
    assert sorted(everything.asked) == sorted(IDS)


def test_nothing_is_asked_twice_and_a_limit_is_gone_on_from(bench):
    judge = ScriptedJudge({IDS[3]: WRONG})
    first = judge_labels(bench, judge, limit=1)
    assert (first.judged_now, first.known_before, first.left) == (1, 0, 2)
    assert forecast_judging(bench, judge).to_judge == 2
    second = judge_labels(bench, judge)
    third = judge_labels(bench, judge)
    assert (second.judged_now, second.known_before, second.left) == (2, 1, 0)
    assert third.judged_now == 0
    assert judge.asked == SUSPECTS
    assert third.verdicts == {"chosen": 2, "rejected": 1}
    judge_labels(bench, ScriptedJudge(name="another judge"))
    assert bench.store.opinions.judges() == ["another judge", "scripted"]


def test_what_a_server_failed_of_is_asked_again_and_what_was_unreadable_only_where_that_is_wanted(bench):
    judge = ScriptedJudge({IDS[3]: AWAY, IDS[5]: UNREADABLE})
    report = judge_labels(bench, judge)
    assert report.verdicts == {"unread": 2, "chosen": 1}
    assert report.reasons == {AWAY.note: 1, UNREADABLE.note: 1}
    judge.asked.clear()
    judge.script = {}
    judge_labels(bench, judge)
    assert judge.asked == [IDS[3]]
    judge_labels(bench, judge, ask_again=True)
    assert judge.asked == [IDS[3], IDS[5]]
    assert judge_labels(bench, judge).verdicts == {"chosen": 3}


def test_without_triage_there_are_no_suspects_to_judge():
    bench = make_bench()
    with pytest.raises(NotReadyError, match="no training pairs"):
        judge_labels(bench, ScriptedJudge())
    import_pairs(ListSource(PAIRS), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    with pytest.raises(NotReadyError, match="--all"):
        judge_labels(bench, ScriptedJudge())
    assert judge_labels(bench, ScriptedJudge(), every_pair=True).judged_now == 8
    with pytest.raises(NotReadyError, match="no margin can agree"):
        decide_by_judge(bench, "scripted")


SCRIPT = {IDS[1]: TIE, IDS[3]: WRONG, IDS[4]: WRONG, IDS[2]: WRONG, IDS[0]: Said("chosen", "rejected")}
"""The rest is called right: of the suspect 5, the indistinct 6, and the clear 7."""


def test_the_policy_decides_where_both_agree_and_leaves_the_rest(bench):
    judge_labels(bench, ScriptedJudge(SCRIPT), every_pair=True)
    report = decide_by_judge(bench, "scripted")
    assert (report.flipped, report.confirmed) == (1, 1)
    assert (report.disagreed, report.undecided_judge, report.undecided_margin) == (2, 2, 2)
    assert {place: decision_on(bench, place) for place in range(8)} == {
        **dict.fromkeys(range(8)),
        3: "flip",
        7: "label_right",
    }
    rows = [row for row in label_history(bench.store) if row.item_id == IDS[3]]
    assert [(row.annotator, row.action) for row in rows] == [(JUDGE_POLICY, "flip")]
    assert rows[0].note == "judge:scripted prefers the rejected answer; out-of-fold margin −3.00"


def test_a_negative_margin_is_enough_where_the_setting_says_so():
    bench = triaged(MarsConfig(judge=JudgeConfig(margin="negative")))
    judge_labels(bench, ScriptedJudge(SCRIPT), every_pair=True)
    assert decide_by_judge(bench, "scripted").flipped == 2
    assert decision_on(bench, 2) == "flip"


def test_people_are_never_overruled_and_overrule_the_policy(bench):
    judge_labels(bench, ScriptedJudge(SCRIPT), every_pair=True)
    record_review(bench.store, "pair", IDS[3], "label_right", annotator="ada", clock=bench.clock)
    report = decide_by_judge(bench, "scripted")
    assert (report.flipped, report.decided_before) == (0, 1)
    assert decision_on(bench, 3) == "label_right"
    record_review(bench.store, "pair", IDS[7], "flip", annotator="ada", clock=bench.clock)
    assert decision_on(bench, 7) == "flip"


def test_one_undo_takes_all_of_it_back_and_deciding_again_decides_the_same(bench):
    judge_labels(bench, ScriptedJudge(SCRIPT), every_pair=True)
    decide_by_judge(bench, "scripted")
    assert decide_by_judge(bench, "scripted").decided_before == 2, "what was decided is not decided twice"
    assert undo_judge_decisions(bench) == 2
    assert [decision_on(bench, place) for place in range(8)] == [None] * 8
    assert undo_judge_decisions(bench) == 0
    assert decide_by_judge(bench, "scripted").flipped == 1
    assert decision_on(bench, 3) == "flip"


def test_a_judge_that_said_nothing_decides_nothing(bench):
    with pytest.raises(NotReadyError, match="'nobody' has said nothing yet"):
        decide_by_judge(bench, "nobody")
