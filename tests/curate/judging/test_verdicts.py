"""What two orders come to, and what judge and margin decide together."""

import numpy as np
import pytest

from mars_engine.augment.quality.protocols import Judgement
from mars_engine.core.records import GeneratorCard, Pair, Turn
from mars_engine.curate.judging.judges import TOO_LONG, AskedJudge, LikelihoodJudge, Said
from mars_engine.curate.judging.verdicts import agreed_decision, label_by_margin, label_by_verdict, merge_orders

PAIR = Pair.of([Turn("user", "which?")], "good", "bad")


@pytest.mark.parametrize(
    ("chosen_first", "rejected_first", "verdict"),
    [
        ("chosen", "chosen", "chosen"),
        ("rejected", "rejected", "rejected"),
        ("tie", "tie", "tie"),
        ("chosen", "rejected", "inconsistent"),
        ("rejected", "chosen", "inconsistent"),
        ("chosen", "tie", "tie"),
        ("tie", "rejected", "tie"),
        ("unread", "chosen", "unread"),
        ("rejected", "unread", "unread"),
    ],
)
def test_an_answer_wins_only_where_both_orders_prefer_it(chosen_first, rejected_first, verdict):
    assert merge_orders(chosen_first, rejected_first) == verdict


@pytest.mark.parametrize(
    ("verdict", "margin", "rule", "says"),
    [
        ("suspected", -1.0, "suspected", "wrong"),
        ("clear", 1.0, "suspected", "right"),
        ("hard", -0.1, "suspected", None),
        ("hard", -0.1, "negative", "wrong"),
        ("suspected", -1.0, "negative", "wrong"),
        ("clear", 0.5, "negative", "right"),
        ("indistinct", 0.0, "negative", None),
    ],
)
def test_what_a_margin_says_of_a_label(verdict, margin, rule, says):
    assert label_by_margin(verdict, margin, rule=rule) == says


@pytest.mark.parametrize(
    ("verdict", "margin", "decision"),
    [
        ("rejected", "wrong", "flip"),
        ("chosen", "right", "label_right"),
        ("rejected", "right", None),
        ("chosen", "wrong", None),
        ("tie", "wrong", None),
        ("inconsistent", "wrong", None),
        ("unread", "wrong", None),
        ("rejected", None, None),
    ],
)
def test_only_agreement_decides(verdict, margin, decision):
    assert agreed_decision(label_by_verdict(verdict), margin) == decision


class OneSided:
    """Prefers whatever stands first, or says what a test says."""

    def __init__(self, *answers: Judgement) -> None:
        self.answers = answers
        self.requests: list[object] = []

    def judge(self, requests):
        self.requests += requests
        return list(self.answers)


def judged_by(*answers: Judgement) -> Said:
    (said,) = AskedJudge("any", OneSided(*answers)).judge([PAIR])
    return said


def test_a_model_that_prefers_what_stands_first_contradicts_itself():
    said = judged_by(Judgement("f", "first"), Judgement("b", "first"))
    assert (said.chosen_first, said.rejected_first) == ("chosen", "rejected")


def test_both_orders_are_asked_and_told_apart():
    model = OneSided(Judgement("f", "second"), Judgement("b", "first"))
    assert AskedJudge("any", model).judge([PAIR]) == [Said("rejected", "rejected")]
    assert [(each.first, each.second) for each in model.requests] == [("good", "bad"), ("bad", "good")]


class Letters:
    """Finds the letter of the shorter answer likelier."""

    card = GeneratorCard("fake", "1", {"model": "tiny"}, stand_in=True, note="")

    def measure(self, texts):
        found = []
        for prompt, letter in texts:
            answers = {each: prompt[0].content.split(f"Answer {each}: ")[1].split("\n\n")[0] for each in "AB"}
            found.append(-float(len(answers[letter])))
        return np.array(found)


def test_a_language_model_prefers_the_answer_whose_letter_is_likelier():
    judge = AskedJudge("any", LikelihoodJudge(Letters()))
    same = Pair.of(PAIR.prompt, "good", "poor")
    long = Pair.of(PAIR.prompt, "good " * 1_000, "bad")
    assert judge.judge([PAIR, same, long]) == [
        Said("rejected", "rejected"),
        Said("tie", "tie"),
        Said("unread", "unread", TOO_LONG),
    ]
    assert judge.judge([long]) == [Said("unread", "unread", TOO_LONG)]


def test_a_tie_is_no_failure_and_a_failure_no_tie():
    assert judged_by(Judgement("f", None), Judgement("b", "first")) == Said("tie", "rejected")
    said = judged_by(Judgement("f", "first"), Judgement("b", None, "the server is away", retryable=True))
    assert said == Said("chosen", "unread", "the server is away", retryable=True)
