"""The order of the advisor's steps, and what each says of its gain."""

from dataclasses import replace
from math import nan

import pytest

from benchmarks.advisor import _first_choice
from mars_engine.advise.advice import Step, best_first
from mars_engine.advise.steps import say_gain, stop


def step(name: str, gain: float, low: float, high: float, *, minutes: float = 1.0) -> Step:
    said = say_gain(gain, low, high)
    return Step(name, "check", 10, said, gain, low, high, minutes, "a minute", "trials", "mars app")


HOPED_FOR = step("hoped for", 2.0, -0.5, 4.5)
SURE = step("sure", 0.3, 0.1, 0.5)
SURER = step("surer", 0.4, 0.2, 0.6)
TINY = step("tiny", 0.04, 0.01, 0.07)
LOST = step("lost", -0.2, -0.4, 0.1)
UNKNOWN = step("unknown", nan, nan, nan)


def test_the_larger_expected_gain_stands_first_and_what_is_not_known_last():
    given = [UNKNOWN, LOST, stop(), TINY, HOPED_FOR, SURE, SURER]
    names = [each.name for each in best_first(given)]
    assert names == ["hoped for", "surer", "sure", "tiny", "stop", "lost", "unknown"]


def test_of_equals_the_cheaper_stands_first():
    cheaper = replace(SURE, name="cheaper", minutes=0.5)
    assert best_first([SURE, cheaper])[0] is cheaper


@pytest.mark.parametrize(
    ("given", "prospect", "said"),
    [
        (SURE, "expected to gain", "Expected to gain +0.3 points (+0.1 to +0.5)"),
        (HOPED_FOR, "may gain, not shown", "May gain +2.0 points (−0.5 to +4.5), not shown: the interval reaches down"),
        (TINY, "may gain, not shown", "May gain +0.0 points (+0.0 to +0.1), not shown"),
        (LOST, "not expected to gain", "Not expected to gain, −0.2 points (−0.4 to +0.1)"),
        (step("worse", -1.0, -1.5, -0.5), "not expected to gain", "Not expected to gain, but to lose: −1.0 points"),
    ],
)
def test_each_step_says_in_words_what_to_expect(given, prospect, said):
    assert given.prospect == prospect
    assert given.sentence.startswith(said)


def test_the_benchmark_takes_the_advisors_order():
    rows = [
        {"name": each.name, "kind": each.kind, "count": each.count, "expected": each.gain, "low": each.low}
        | {"high": each.high, "real": 0.0}
        for each in (HOPED_FOR, SURE)
    ]
    assert _first_choice(rows)["name"] == "hoped for"
