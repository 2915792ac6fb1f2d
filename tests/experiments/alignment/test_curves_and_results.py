"""Where policies are compared: equal KL and equal steps worked by hand, and what is said of them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from mars_engine.align.answers import Answer, AnsweredPrompt
from mars_engine.align.best_of_n import GoldRewards
from mars_engine.align.training.guards import Look
from mars_engine.align.training.rewards import RewardSource
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import Rewards, Turn
from mars_engine.experiments.alignment.curves import PolicyCurve, at_kl, at_step, shared_kl, shared_step
from mars_engine.experiments.alignment.page import alignment_html
from mars_engine.experiments.alignment.plan import AlignmentPlan
from mars_engine.experiments.alignment.policies import judged_looks, judged_picks
from mars_engine.experiments.alignment.results import (
    EQUAL_KL,
    EQUAL_N,
    EQUAL_STEPS,
    REFERENCE,
    AlignmentCell,
    alignment_as_csv,
    summarize_alignment,
    win_rate_rows,
)
from mars_engine.experiments.results import say_how_many, say_verdict

PROMPTS = tuple((Turn("user", text),) for text in ("one", "two", "three", "four"))


class WordCount:
    """Rewards each word, so that the judge's verdicts are seen at a glance."""

    id = "words"

    def score(self, pairs, *, progress):  # noqa: ARG002
        chosen, rejected = (np.array([float(len(text.split())) for text in side]) for side in _sides(pairs))
        return Rewards(chosen, rejected)


def _sides(pairs):
    return [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]


JUDGE = GoldRewards("the word counter", WordCount())


def curve(kl, shares, steps=None, prompts=4):
    """A curve whose win rate at each look is `shares`: that share of its prompts is won."""
    wins = tuple(tuple(1.0 if place < share * prompts else 0.0 for place in range(prompts)) for share in shares)
    places = tuple(steps or range(0, 10 * len(kl), 10))
    return PolicyCurve(tuple("abcdefgh"[:prompts]), places, tuple(kl), wins, tuple(10.0 + each for each in kl))


def test_equal_kl_is_the_greatest_that_all_reached_and_is_read_between_looks():
    near, far = curve((0.0, 1.0, 2.0), (0, 0.5, 0.75)), curve((0.0, 4.0, 3.0), (0, 1, 1))
    assert shared_kl((near, far)) == 2.0
    assert at_kl(near, 2.0).tolist() == [0, 0, 1]
    assert at_kl(far, 2.0).tolist() == [0.5, 0.5, 0], "halfway between 0 and 4 nats, where it first passes 2"
    assert at_kl(near, 0.25).tolist() == [0.75, 0.25, 0]
    assert at_kl(near, 0.0).tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match=r"reached 2\.0 nats, not 3\.0"):
        at_kl(near, 3.0)


def test_equal_steps_are_the_last_at_which_all_were_looked_at():
    whole, stopped = curve((0, 1, 2, 3), (0, 0, 0, 1)), curve((0, 5, 9), (0, 1, 1), steps=(0, 10, 15))
    assert shared_step((whole, stopped)) == 10
    assert at_step(whole, 10).tolist() == [0, 1, 0, 0]


def test_a_trained_policy_is_judged_against_its_first_look():
    texts = (("a b", "a b", "a", "a"), ("a b c", "a", "a", "a b"))
    looks = [Look(step, said, np.zeros(4), np.full(4, 0.5 * step)) for step, said in zip((0, 4), texts, strict=True)]
    found = judged_looks(looks, PROMPTS, JUDGE)
    assert found.wins == ((0.5,) * 4, (1.0, 0.0, 0.5, 1.0))
    assert (found.steps, found.kl) == ((0, 4), (0.0, 2.0))
    assert found.words == (1.5, 1.75)


def test_best_of_n_is_worth_its_expected_win_against_an_answer_at_random():
    answers = tuple(Answer(text, "policy") for text in ("a", "a b", "a b c", "a b c d"))
    found = judged_picks([AnsweredPrompt(PROMPTS[0], answers)], RewardSource("words", WordCount()), JUDGE)
    assert found.steps == (1, 2, 4)
    # Against one of the four at random the answers of 1 to 4 words win 1/8, 3/8, 5/8 and 7/8 of the time.
    # Of two drawn, the longest has 2, 3 or 4 words in 1, 2 or 3 of 6 draws.
    np.testing.assert_allclose(np.ravel(found.wins), [0.5, (3 / 8 + 2 * 5 / 8 + 3 * 7 / 8) / 6, 7 / 8])
    np.testing.assert_allclose(found.kl, [0, np.log(2) - 1 / 2, np.log(4) - 3 / 4])
    np.testing.assert_allclose(found.words, [2.5, (2 + 2 * 3 + 3 * 4) / 6, 4])


def plan(**changes):
    usual = {"name": "a <b>plan</b>", "judge": "other", "methods": ("none", "mars_signed"), "seeds": (0, 1)}
    return AlignmentPlan(**(usual | {"evaluate": EvaluateConfig(resamples=200)} | changes))


def cells(way="rloo", **curves):
    return [
        AlignmentCell(way, seed, method, 0.6, each)
        for method, by_seed in curves.items()
        for seed, each in enumerate(by_seed)
    ]


EVEN = (0.5, 0.5, 0.5)


def test_a_policy_that_only_moved_further_wins_at_equal_steps_and_not_at_equal_kl():
    # Both win 1/4 of the prompts more for each nat; mars_signed goes twice as far in the same steps.
    none, mars = curve((0.0, 1.0, 2.0), (0, 0.25, 0.5)), curve((0.0, 2.0, 4.0), (0, 0.5, 1))
    found = summarize_alignment(
        plan(), cells(none=(none, none), mars_signed=(mars, mars)), judge="the judge", prompts="held-out prompts"
    )
    (comparison,) = found.comparisons
    at_kl_, at_steps = comparison.readings
    assert (at_kl_.at, at_kl_.kl, at_kl_.steps) == (EQUAL_KL, 2.0, 15.0)
    assert (at_steps.at, at_steps.kl, at_steps.steps) == (EQUAL_STEPS, 3.0, 20.0)
    assert [each.win_rate.estimate for each in at_kl_.methods] == [0.5, 0.5]
    assert [each.win_rate.estimate for each in at_steps.methods] == [0.5, 1.0]
    assert [each.words for each in at_kl_.methods] == [12.0, 12.0]
    same, apart = at_kl_.methods[1].against("none"), at_steps.methods[1].against("none")
    assert same.verdict == "the same as none: nothing was compared"
    assert (apart.interval.estimate, apart.over_seeds.values) == (0.5, (0.5, 0.5))
    assert at_steps.methods[1].against(REFERENCE).interval.estimate == 0.5
    assert "mars_signed: better than the reference (+50.00 points" in say_verdict(at_steps.methods[1], found.level)
    assert found.differences == 5, "each against the reference, twice, and one another once, where they differ"
    assert say_how_many(found).startswith("5 comparisons were made")


def test_best_of_n_is_read_once_at_equal_n():
    each = curve((0.0, 0.2, 0.6), EVEN, steps=(1, 2, 4))
    found = summarize_alignment(
        plan(ways=("best-of-n",)), cells("best-of-n", none=(each,) * 2, mars_signed=(each,) * 2), judge="j", prompts="p"
    )
    (reading,) = found.comparisons[0].readings
    assert (reading.at, reading.steps, reading.kl) == (EQUAL_N, 4.0, 0.6)
    row = win_rate_rows(found)[1]
    assert row.pop("low") < 50.0 < row.pop("high")
    assert row == {
        "policy": "packaged-lm by best-of-n, mars_signed",
        "baseline": "packaged-lm",
        "judge": "j, at equal n (0.6 nats)",
        "prompts": "p",
        "judged": 4,
        "missing": 0,
        "win_rate": 50.0,
    }


def test_a_seed_counts_once_all_its_methods_are_finished_and_the_report_says_so():
    each, stayed = curve((0.0, 1.0), (0, 1)), curve((0.0, -0.1), (0, 1))
    some = cells(none=(each, each), mars_signed=(stayed,))
    found = summarize_alignment(plan(), some, judge="<i>judge</i>", prompts="p", remarks=("The judge knows them.",))
    assert (found.comparisons[0].seeds, found.finished, found.cells) == ((0,), 3, 4)
    assert any("a policy stayed at the reference" in remark for remark in found.remarks)
    html = alignment_html(found, plan(), made_at=datetime(2026, 11, 29, tzinfo=UTC))
    assert "The comparison is not finished" in html
    assert "The judge knows them." in html
    assert "&lt;i&gt;judge&lt;/i&gt;" in html
    assert "<b>plan</b>" not in html
    assert html.count("<svg") == 3
    assert alignment_as_csv(found).count("\n") == 5
    with pytest.raises(NotReadyError, match="no seed of the plan is finished"):
        summarize_alignment(plan(), some[:2], judge="j", prompts="p")
