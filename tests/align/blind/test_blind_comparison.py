"""Blind comparison: sides drawn by a seed, votes kept as events and never twice, the win rate, votes as pairs."""

import json
from dataclasses import replace

import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.align.alpaca.formats import ModelOutputs, Output
from mars_engine.align.blind.as_pairs import NOT_DECIDED, TIE, add_votes_as_pairs
from mars_engine.align.blind.comparing import (
    EMPTY_ANSWER,
    NO_PARTNER,
    NOT_DRAWN,
    SAME_ANSWER,
    AnswerSheet,
    begin_comparison,
    first_is_left,
    sheet_of,
)
from mars_engine.align.blind.dealing import deal_comparison
from mars_engine.align.blind.votes import comparison_result, has_seen_result, standing_votes, take_votes
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import ConfigError, LoadError, MarsError, NotReadyError
from mars_engine.core.records import Turn
from mars_engine.data.import_pairs import import_pairs

CONFIG = EvaluateConfig(resamples=200)
FIRST, SECOND = "the reference policy", "the trained policy"


def prompt(number):
    return (Turn("user", f"question {number}"),)


def sheets(count=10):
    return (
        AnswerSheet(FIRST, {prompt(number): f"plain {number}" for number in range(count)}),
        AnswerSheet(SECOND, {prompt(number): f"better {number}" for number in range(count)}),
    )


@pytest.fixture
def bench():
    made = make_bench()
    yield made
    made.store.close()


def begin(bench, first=None, second=None, **options):
    given = {"source": "two files", "seed": 3, "made_by": "ann"} | options
    one, other = sheets()
    return begin_comparison(bench.store, first or one, second or other, clock=bench.clock, **given)


def entry(comparison, sequence, number, action, annotator="ann"):
    return {
        "comparison": comparison.id, "annotator": annotator, "sequence": sequence, "number": number, "action": action,
        "seconds": 1.5,
    }  # fmt: skip


def side_of_second(comparison, number, annotator="ann"):
    return "right" if first_is_left(comparison, number, annotator) else "left"


def other_side(side):
    return {"left": "right", "right": "left"}[side]


def take(bench, comparison, *entries, annotator="ann"):
    return take_votes(bench.store, comparison, annotator=annotator, log=list(entries), clock=bench.clock)


def result(bench, comparison):
    prompts = len(bench.store.comparisons.answers(comparison.id))
    return comparison_result(comparison, bench.store.comparisons.votes(comparison.id), prompts, config=CONFIG)


# ------------------------------------------------------------------------------------------------------- setting up


def test_prompts_that_cannot_be_compared_are_left_out_and_counted(bench):
    first, second = sheets(6)
    one = dict(first.answers) | {prompt(0): "better 0 ", prompt(1): "  ", prompt(7): "alone"}
    comparison = begin(bench, replace(first, answers=one), second, most_prompts=3)
    assert comparison.left_out == {SAME_ANSWER: 1, EMPTY_ANSWER: 1, NO_PARTNER: 1, NOT_DRAWN: 1}
    assert len(bench.store.comparisons.answers(comparison.id)) == 3


def test_the_same_comparison_is_kept_once_with_its_votes(bench):
    comparison = begin(bench)
    take(bench, comparison, entry(comparison, 1, 0, "tie"))
    assert begin(bench).id == comparison.id
    assert begin(bench, seed=4).id != comparison.id
    assert len(bench.store.comparisons.all()) == 2
    assert len(bench.store.comparisons.votes(comparison.id)) == 1


def test_files_of_alpaca_eval_are_sheets():
    found = sheet_of(ModelOutputs("gpt", (Output("say a", "a"), Output("say b", "b"))))
    assert found == AnswerSheet("gpt", {(Turn("user", "say a"),): "a", (Turn("user", "say b"),): "b"})


def test_nothing_to_compare_is_refused(bench):
    first, second = sheets()
    with pytest.raises(ConfigError, match="both policies are called 'the reference policy'"):
        begin(bench, first, replace(second, name=FIRST))
    with pytest.raises(LoadError, match="10 × both gave the same answer"):
        begin(bench, first, replace(first, name="copy"))


def test_sides_are_shuffled_and_what_the_browser_gets_names_nobody(bench):
    comparison = begin(bench, *sheets(60))
    answers = bench.store.comparisons.answers(comparison.id)
    dealt = deal_comparison(comparison, answers, [], annotator="ann")
    told = json.dumps(dealt)
    assert FIRST not in told
    assert SECOND not in told
    lefts = sum(card["left"].startswith("plain") for card in dealt["cards"])
    assert 15 < lefts < 45, "each policy stands on either side"
    other = deal_comparison(comparison, answers, [], annotator="ben")
    assert [card["left"] for card in other["cards"]] != [card["left"] for card in dealt["cards"]]


# ------------------------------------------------------------------------------------------------------------ votes


def test_a_log_that_is_sent_again_is_stored_once_and_acknowledged_again(bench):
    comparison = begin(bench)
    log = [entry(comparison, number + 1, number, "left") for number in range(3)]
    assert take(bench, comparison, *log).acknowledged == (1, 2, 3)
    assert take(bench, comparison, *log, entry(comparison, 9, 3, "skip")).acknowledged == (1, 2, 3, 9)
    events = bench.store.comparisons.votes(comparison.id)
    assert [event.sequence for event in events] == [1, 2, 3, 9]
    assert len({event.at for event in events[:3]}) == 1
    assert events[2].at < events[3].at
    assert {event.seconds for event in events} == {1.5}


def test_what_can_never_be_stored_is_refused_with_its_reason(bench):
    comparison = begin(bench)
    take(bench, comparison, entry(comparison, 1, 0, "left"))
    other = begin(bench, seed=8)
    wrong = [
        (entry(comparison, 1, 0, "tie"), "made in another window"),
        (entry(comparison, 2, 99, "left"), "its prompt is gone"),
        (entry(comparison, 3, 0, "accept"), "no such vote"),
        (entry(other, 4, 0, "left"), "another comparison"),
        (entry(comparison, 5, 0, "left", annotator="ben"), "another name"),
        (entry(comparison, 6, 0, "left") | {"seconds": float("nan")}, "no time"),
    ]
    taken = take(bench, comparison, *(each for each, _ in wrong), "rubbish", {"sequence": True})
    assert taken.acknowledged == ()
    assert len(taken.refused) == len(wrong)
    for (_, reason), (each, expected) in zip(taken.refused, wrong, strict=True):
        assert expected in reason, each
    assert len(bench.store.comparisons.votes(comparison.id)) == 1
    with pytest.raises(MarsError, match="under a name"):
        take(bench, comparison, annotator=" ")


def test_undo_takes_the_newest_vote_on_a_prompt_back(bench):
    comparison = begin(bench)
    log = [("left", 0), ("right", 0), ("tie", 1), ("undo", 0), ("undo", 1), ("undo", 2)]
    take(
        bench, comparison, *(entry(comparison, place + 1, number, action) for place, (action, number) in enumerate(log))
    )
    standing = standing_votes(bench.store.comparisons.votes(comparison.id))["ann"]
    assert [(each.number, each.sequence) for each in standing.values()] == [(0, 1)]
    dealt = deal_comparison(comparison, [], bench.store.comparisons.votes(comparison.id), annotator="ann")
    assert dealt["votes"] == [{"number": 0, "action": "left"}]
    assert dealt["last_sequence"] == 6


def test_after_the_result_was_seen_votes_are_refused_and_others_still_vote(bench):
    comparison = begin(bench)
    asked = {"comparison": comparison.id, "annotator": "ann", "sequence": 5, "action": "reveal"}
    taken = take(bench, comparison, entry(comparison, 6, 3, "left"), asked, entry(comparison, 1, 0, "left"))
    assert taken.acknowledged == (1, 5)
    assert [sequence for sequence, _ in taken.refused] == [6], "it was made after the result was asked for"
    votes = bench.store.comparisons.votes(comparison.id)
    assert has_seen_result(votes, "ann")
    assert not has_seen_result(votes, "ben")
    late = take(bench, comparison, entry(comparison, 1, 0, "left"), entry(comparison, 7, 1, "left"))
    assert late.acknowledged == (1,)
    assert late.refused == ((7, "you have seen whose answers they are, so it would not be blind"),)
    ben = take(bench, comparison, entry(comparison, 1, 0, "tie", "ben"), annotator="ben")
    assert ben.acknowledged == (1,)


# ------------------------------------------------------------------------------------------------------- the result


def vote_by_plan(bench, comparison, plan, annotator="ann"):
    """Vote on prompts 0, 1, … by a word a prompt: + the second wins, - the first, = a tie, s put off."""
    log = []
    for number, wish in enumerate(plan):
        side = side_of_second(comparison, number, annotator)
        action = {"+": side, "-": other_side(side), "=": "tie", "s": "skip"}[wish]
        log.append(entry(comparison, number + 1, number, action, annotator))
    take(bench, comparison, *log, annotator=annotator)


def test_the_win_rate_is_of_the_second_policy_over_prompts(bench):
    comparison = begin(bench)
    vote_by_plan(bench, comparison, "+++++-==s")
    found = result(bench, comparison)
    assert found.wins.win_rate == pytest.approx(100 * (5 + 1) / 8)
    assert (found.wins.n_wins, found.wins.n_wins_base, found.wins.n_draws) == (5, 1, 2)
    assert found.wins.interval.low < found.wins.win_rate < found.wins.interval.high
    assert (found.prompts, found.votes, found.skipped, found.people) == (10, 8, 1, ("ann",))


def test_of_several_people_the_mean_counts_and_agreement_is_told(bench):
    comparison = begin(bench)
    vote_by_plan(bench, comparison, "++-")
    vote_by_plan(bench, comparison, "+-", annotator="ben")
    found = result(bench, comparison)
    assert found.wins.win_rate == pytest.approx(100 * (1 + 0.5 + 0) / 3)
    assert (found.decided_by_several, found.agreed, found.people) == (2, 1, ("ann", "ben"))


def test_who_always_says_left_is_seen_to(bench):
    comparison = begin(bench)
    take(bench, comparison, *(entry(comparison, number + 1, number, "left") for number in range(10)))
    assert result(bench, comparison).left_side.win_rate == 100


# ------------------------------------------------------------------------------------------------------ as pairs


def test_votes_become_pairs_with_ties_left_out_and_counted(bench):
    comparison = begin(bench)
    vote_by_plan(bench, comparison, "+-=s")
    report = add_votes_as_pairs(bench.store, comparison, clock=bench.clock, progress=bench.progress)
    assert (report.kept, report.dropped, report.split) == (2, {NOT_DECIDED: 7, TIE: 1}, "train")
    (dataset,) = bench.store.pairs.datasets()
    assert dataset.name == f"{SECOND} against {FIRST}, by people"
    assert dataset.location == f"blind comparison {comparison.id}"
    pairs = {pair.chosen.split()[0]: pair for pair in bench.store.pairs.pairs("train")}
    assert set(pairs) == {"better", "plain"}
    assert pairs["better"].attributes == {
        "chosen_model": SECOND, "rejected_model": FIRST, "comparison": comparison.id, "people": 1,
        "share_for_chosen": 1.0,
    }  # fmt: skip
    assert pairs["plain"].rejected.startswith("better")


def test_adding_again_adds_only_what_was_voted_since(bench):
    comparison = begin(bench)
    vote_by_plan(bench, comparison, "+")
    options = {"clock": bench.clock, "progress": bench.progress}
    add_votes_as_pairs(bench.store, comparison, **options)
    vote_by_plan(bench, comparison, "+-")
    again = add_votes_as_pairs(bench.store, comparison, **options)
    assert (again.kept, again.already_present) == (1, 1)
    assert bench.store.pairs.count("train") == 2


def test_prompts_of_held_out_pairs_are_told_of(bench):
    heldout = make_pairs(3)
    import_pairs(ListSource(heldout), bench.store, split="heldout", clock=bench.clock, progress=bench.progress)
    sides = [AnswerSheet(name, {pair.prompt: f"{name} says" for pair in heldout}) for name in (FIRST, SECOND)]
    comparison = begin(bench, *sides)
    vote_by_plan(bench, comparison, "+++")
    report = add_votes_as_pairs(bench.store, comparison, clock=bench.clock, progress=bench.progress)
    assert report.prompts_in_other_split == 3


def test_without_a_preference_there_are_no_pairs(bench):
    comparison = begin(bench)
    vote_by_plan(bench, comparison, "==")
    with pytest.raises(NotReadyError, match="no vote of this comparison prefers"):
        add_votes_as_pairs(bench.store, comparison, clock=bench.clock, progress=bench.progress)
