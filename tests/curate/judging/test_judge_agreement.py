"""Agreement of judges, people and margins, by exact cases."""

from datetime import UTC, datetime

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.workbench import Workbench
from mars_engine.core.judge_records import LabelOpinion
from mars_engine.core.records import ModelRecord, TriageRow
from mars_engine.core.review_records import ReviewEvent
from mars_engine.curate.judging.agreement import MARGIN, PEOPLE, judge_agreement
from mars_engine.data.import_pairs import import_pairs

PAIRS = make_pairs(8)
IDS = [pair.id for pair in PAIRS]
AT = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def bench() -> Workbench:
    made = make_bench()
    import_pairs(ListSource(PAIRS), made.store, split="train", clock=made.clock, progress=made.progress)
    return made


def say(bench: Workbench, judge: str, *verdicts: str) -> None:
    opinions = [
        LabelOpinion(judge, pair_id, verdict, "tie", "tie", "", retryable=False, at=AT)
        for pair_id, verdict in zip(IDS, verdicts, strict=False)
    ]
    bench.store.opinions.keep(opinions)


def found(bench: Workbench) -> dict[tuple[str, str], tuple[int, float | None]]:
    report = judge_agreement(bench.store)
    kappas = {(each.first, each.second): (each.items, each.kappa.interval) for each in report.pairs}
    return {pair: (items, interval and round(interval.estimate, 9)) for pair, (items, interval) in kappas.items()}


def test_without_judges_there_is_nothing_to_compare(bench):
    record_review(bench.store, "pair", IDS[0], "flip", annotator="ada", clock=bench.clock)
    assert judge_agreement(bench.store).judges == judge_agreement(bench.store).pairs == ()


def test_kappa_is_of_labels_that_both_call_right_or_wrong(bench):
    say(bench, "chat", "chosen", "chosen", "rejected", "rejected", "tie", "inconsistent", "unread", "chosen")
    for place, action in enumerate(("label_right", "flip", "flip", "flip", "flip", "flip", "flip", "drop")):
        record_review(bench.store, "pair", IDS[place], action, annotator="ada", clock=bench.clock)
    # They agree on 3 of 4; by chance they would on 1/2 · 1/4 + 1/2 · 3/4 = 1/2.
    assert found(bench) == {("judge:chat", PEOPLE): (4, 0.5)}
    (tally,) = judge_agreement(bench.store).judges
    assert (tally.opinions, tally.label_right, tally.label_wrong) == (8, 3, 2)
    assert (tally.ties, tally.inconsistent, tally.unread) == (1, 1, 1)


def test_the_policy_that_followed_the_judge_is_not_people(bench):
    say(bench, "chat", "chosen", "rejected")
    events = [
        ReviewEvent("pair", pair_id, action, "policy:judge", 1, AT)
        for pair_id, action in zip(IDS, ("label_right", "flip"), strict=False)
    ]
    bench.store.reviews.append(events)
    assert found(bench) == {}


def test_judges_are_compared_with_each_other_and_with_the_sign_of_the_margin(bench):
    say(bench, "chat", "chosen", "rejected", "chosen", "rejected")
    say(bench, "recorded", "chosen", "rejected", "rejected", "chosen")
    bench.store.models.add(ModelRecord("m", "probe", "warm-up", {}, {}, "", "", 0, AT))
    margins = (1.0, -1.0, 0.1, -0.1, 0.0)
    verdicts = ("clear", "suspected", "clear", "hard", "indistinct")
    bench.store.models.save_triage(
        "m", [TriageRow(*row) for row in zip(IDS, margins, [0.1] * 5, [1.0] * 5, verdicts, strict=False)]
    )
    assert found(bench) == {
        ("judge:chat", "judge:recorded"): (4, 0.0),
        ("judge:chat", MARGIN): (4, 1.0),
        ("judge:recorded", MARGIN): (4, 0.0),
    }
    assert not any(each.only_suspects for each in judge_agreement(bench.store).judges)


def test_a_judge_of_suspects_alone_is_said_to_be_one(bench):
    bench.store.models.add(ModelRecord("m", "probe", "warm-up", {}, {}, "", "", 0, AT))
    rows = [TriageRow(pair_id, -1.0, 0.1, 1.0, "suspected") for pair_id in IDS[:3]]
    bench.store.models.save_triage("m", rows)
    say(bench, "chat", "rejected", "chosen", "rejected")
    assert [each.only_suspects for each in judge_agreement(bench.store).judges] == [True]
