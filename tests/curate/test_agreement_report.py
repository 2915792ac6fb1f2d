"""Agreement of people over the events of a store, and adjudication of what they dispute."""

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig, TriageConfig
from mars_engine.core.errors import MarsError
from mars_engine.core.records import Turn
from mars_engine.core.review_state import label_decision, proposal_states
from mars_engine.curate.agreement import adjudicate, agreement
from mars_engine.curate.review import Decision, review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import DECISION_CODES, PairIndexCache
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up


@pytest.fixture
def bench() -> Workbench:
    made = make_bench(MarsConfig(triage=TriageConfig(policy="keep", seeds=2, folds=3)))
    import_pairs(ListSource(make_pairs(12)), made.store, split="train", clock=made.clock, progress=made.progress)
    return made


def pair_ids(bench: Workbench) -> list[str]:
    return [pair.id for pair in bench.store.pairs.pairs("train")]


def say(bench: Workbench, answers: dict[str, str], *, kind="pair", ids=None) -> None:
    """Record each annotator's answers, one letter an item: r(ight), f(lip), d(rop), a(ccept), x (reject), s(kip)."""
    words = {"r": "label_right", "f": "flip", "d": "drop", "a": "accept", "x": "reject", "s": "skip"}
    for name, letters in answers.items():
        for item, letter in zip(ids or pair_ids(bench), letters, strict=False):
            if letter != ".":
                record_review(bench.store, kind, item, words[letter], annotator=name, clock=bench.clock)


def test_without_decisions_everything_is_empty_and_undefined(bench):
    report = agreement(bench.store, "pair")
    assert (report.decided, report.overlap, report.pairs, report.disputed) == ({}, 0, (), ())
    assert not report.alpha.defined
    assert "two people" in report.alpha.reason


def test_the_report_counts_what_stands_of_people(bench):
    say(bench, {"ada": "rrrrffd.s", "bob": "rrrf.fdd", "eve": "r"})
    record_review(bench.store, "pair", pair_ids(bench)[7], "undo", annotator="bob", clock=bench.clock)
    report = agreement(bench.store, "pair")
    assert report.decided == {"ada": 7, "bob": 6, "eve": 1}
    assert report.overlap == 6
    # Of ten pairs of answers to shared items (three on the first item) one differs.
    assert report.raw.interval.estimate == pytest.approx(1 - 2 / (6 + 5 * 2))
    assert [(each.first, each.second, each.items) for each in report.pairs] == [
        ("ada", "bob", 6),
        ("ada", "eve", 1),
        ("bob", "eve", 1),
    ]
    first = report.pairs[0]
    assert first.raw.interval.estimate == pytest.approx(5 / 6)
    # Answers r r r r f d and r r r f f d: 5/6 observed, (4·3 + 1·2 + 1·1)/36 by chance.
    assert first.kappa.interval.estimate == pytest.approx((5 / 6 - 15 / 36) / (1 - 15 / 36))
    assert not report.pairs[1].kappa.defined
    assert 0 < report.alpha.interval.estimate < 1
    assert [(each.item_id, dict(each.answers)) for each in report.disputed] == [
        (pair_ids(bench)[3], {"ada": "label_right", "bob": "flip"})
    ]


def test_an_adjudicator_settles_a_dispute_and_can_take_it_back(bench):
    say(bench, {"ada": "rr", "bob": "rf"})
    disputed = pair_ids(bench)[1]
    event = adjudicate(
        bench.store, "pair", disputed, Decision("drop", note="neither"), annotator="zoe", clock=bench.clock
    )
    assert (event.annotator, event.note) == ("adjudicator:zoe", "neither")
    report = agreement(bench.store, "pair")
    assert (report.disputed, report.adjudicated, report.overlap) == ((), 1, 2)
    assert set(report.decided) == {"ada", "bob"}
    assert label_decision(bench.store.reviews.events("pair")[disputed]) == "drop"
    index = PairIndexCache(bench.store).current()
    assert DECISION_CODES[index.decision[index.positions([disputed])[0]]] == "drop"
    adjudicate(bench.store, "pair", disputed, Decision("undo"), annotator="zoe", clock=bench.clock)
    assert [each.item_id for each in agreement(bench.store, "pair").disputed] == [disputed]
    assert label_decision(bench.store.reviews.events("pair")[disputed]) is None


def test_what_nobody_disputes_is_not_adjudicated(bench):
    say(bench, {"ada": "r"})
    for item in pair_ids(bench)[:2]:
        with pytest.raises(MarsError, match="nothing to settle"):
            adjudicate(bench.store, "pair", item, Decision("drop"), annotator="zoe", clock=bench.clock)
    with pytest.raises(MarsError, match="no annotator's name"):
        adjudicate(bench.store, "pair", pair_ids(bench)[0], Decision("drop"), annotator="", clock=bench.clock)


def test_names_that_are_reserved_cannot_be_typed(bench):
    for name in ("adjudicator:ada", "policy:gates"):
        with pytest.raises(MarsError, match="no annotator's name"):
            record_review(bench.store, "pair", pair_ids(bench)[0], "drop", annotator=name, clock=bench.clock)


def test_policies_have_no_say_in_agreement_and_edits_are_compared_by_their_texts(bench):
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    alike, apart, prompts, mixed, _ = ids = [each.id for each in bench.store.proposals.proposals()][:5]
    for name, text, prompt in (("ada", "one", "Why?"), ("bob", "another", "How?")):

        def edit(item: str, name=name, **texts) -> None:
            record_review(bench.store, "proposal", item, "edit", annotator=name, clock=bench.clock, **texts)

        edit(alike, chosen="the same")
        edit(apart, chosen=text)
        edit(prompts, prompt=(Turn("user", prompt),))
    say(bench, {"ada": "a", "bob": "x"}, kind="proposal", ids=[mixed])
    report = agreement(bench.store, "proposal")
    assert report.decided == {"ada": 4, "bob": 4}
    assert [each.item_id for each in report.disputed] == [apart, prompts, mixed]
    states = proposal_states(bench.store.proposals.proposals(), bench.store.reviews.events("proposal"))
    assert {item for item in ids if states[item].status == "disputed"} == {apart, prompts, mixed}
    adjudicate(
        bench.store, "proposal", apart, Decision("edit", chosen="in between"), annotator="zoe", clock=bench.clock
    )
    states = proposal_states(bench.store.proposals.proposals(), bench.store.reviews.events("proposal"))
    assert (states[apart].status, states[apart].chosen) == ("accepted", "in between")
