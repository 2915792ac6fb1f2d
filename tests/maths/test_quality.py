"""Quality gates: which proposals fail, and for what reasons."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.maths.quality import GateLimits, SideChange, failed_gates, normalized

LIMITS = GateLimits(min_fidelity=0.8, max_contrast_loss=0.05, max_margin_loss=1.0)


def reasons(*sides: SideChange, distances=(0.4, 0.4), margins=(2.0, 2.0)) -> tuple[str, ...]:
    return failed_gates(
        list(sides),
        distance_before=distances[0],
        distance_after=distances[1],
        margin_before=margins[0],
        margin_after=margins[1],
        limits=LIMITS,
    )


def test_a_faithful_paraphrase_passes():
    assert reasons(SideChange("chosen", "It costs 3.50 euros.", "The price is 3.50 euros.", 0.9)) == ()
    assert reasons() == ()


def test_drift_is_judged_against_the_limit():
    assert reasons(SideChange("prompt", "Where is Rome?", "Where lies Rome?", 0.8)) == ()
    assert reasons(SideChange("prompt", "Where is Rome?", "What is Rome?", 0.79)) == (
        "prompt drifted from its source: similarity 0.79",
    )


@pytest.mark.parametrize(
    ("base", "new", "changed"),
    [
        ("5 apples", "6 apples", True),
        ("5 apples", "five apples", True),
        ("apples", "5 apples", True),
        ("3.50 euros", "3,50 euros", True),
        ("1,000 pairs", "1000 pairs", True),
        ("5 apples", "5 apples, all 5", True),
        ("from 2 to 10", "up to 10, from 2", False),
        ("about 10.", "roughly 10", False),
        ("no number", "none at all", False),
    ],
)
def test_numbers_must_survive(base, new, changed):
    found = reasons(SideChange("chosen", base, new, 1.0))
    assert found == (("chosen changed a number",) if changed else ())


@pytest.mark.parametrize("new", ["", "  \n\t"])
@pytest.mark.parametrize("refined", [True, False])
def test_an_empty_text_fails_for_that_reason_alone(new, refined):
    assert reasons(SideChange("rejected", "12 words", new, 0.0, refined=refined)) == ("rejected is empty",)


def test_a_side_that_did_not_change_is_not_judged():
    assert reasons(SideChange("chosen", "Rome, 753", "rome,\n 753", 0.0)) == ()


def test_a_refined_side_may_drift_and_change_facts():
    assert reasons(SideChange("rejected", "It was 1969.", "Nobody knows when.", 0.1, refined=True)) == ()


def test_contrast_may_shrink_by_the_limit_and_no_further():
    assert reasons(distances=(0.5, 0.46)) == ()
    assert reasons(distances=(0.5, 0.9)) == ()
    assert reasons(distances=(0.5, 0.44)) == ("contrast lost: distance 0.50 to 0.44",)


def test_margin_may_shrink_by_the_limit_and_no_further():
    assert reasons(margins=(2.0, 1.0)) == ()
    assert reasons(margins=(-1.0, -1.5)) == ()
    assert reasons(margins=(0.5, -0.75)) == ("label in doubt: margin +0.50 to -0.75",)


def test_every_reason_is_given():
    found = reasons(
        SideChange("prompt", "1 question", "2 questions", 0.1),
        SideChange("chosen", "an answer", "", 0.1),
        distances=(0.5, 0.1),
        margins=(2.0, 0.0),
    )
    assert [reason.split(":")[0] for reason in found] == [
        "prompt drifted from its source",
        "prompt changed a number",
        "chosen is empty",
        "contrast lost",
        "label in doubt",
    ]


@given(st.text())
def test_normalizing_drops_white_space_and_case_and_is_stable(text: str):
    once = normalized(text)
    assert normalized(f"\n {text}\t") == once
    assert normalized(re.sub(r"\s", "  ", text)) == once
    assert normalized(once) == once


def test_normalizing_keeps_what_matters():
    assert normalized("Don't  stop.\n") == "don't stop."
    assert normalized("a b") != normalized("ab")
    assert normalized("STRASSE") == normalized("straße")
