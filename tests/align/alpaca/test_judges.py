"""Judges asked in both orders, and what their verdicts say of themselves."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.align.alpaca.judge_bias import measure_length_bias, measure_position_bias
from mars_engine.align.alpaca.judges import NO_NUMBER, AnswerPair, BothOrders, RewardJudge, Verdict
from mars_engine.augment.quality.protocols import Judgement, JudgeRequest
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import GeneratorCard, Pair, Rewards, Truncation, Turn

Says = Callable[[JudgeRequest], Judgement]


class ScriptedJudge:
    """A judge that does as it is told, and remembers what it was asked."""

    def __init__(self, says: Says) -> None:
        self.says, self.asked = says, []

    @property
    def card(self) -> GeneratorCard:
        return GeneratorCard("scripted", "1", {}, stand_in=True, note="a scripted judge")

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        self.asked += requests
        return [self.says(each) for each in requests]


class LengthRewards:
    """A reward model whose reward is the answer's length in tens; "broken" has none."""

    id = "lengths"

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:
        del progress
        rewards = [[np.nan if text == "broken" else len(text) / 10 for text in (p.chosen, p.rejected)] for p in pairs]
        return Rewards(*np.array(rewards, dtype=np.float64).T)

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:
        raise NotImplementedError


def pair(baseline: str, policy: str) -> AnswerPair:
    return AnswerPair((Turn("user", "Which?"),), baseline, policy)


def prefer(place: str) -> Says:
    return lambda request: Judgement(request.key, place)


def prefer_longer(request: JudgeRequest) -> Judgement:
    return Judgement(request.key, "first" if len(request.first) > len(request.second) else "second")


def test_a_judge_is_asked_with_either_answer_first() -> None:
    judge = ScriptedJudge(prefer_longer)

    (verdict,) = BothOrders(judge, "scripted").judge([pair("short", "much longer")])

    assert [(each.first, each.second) for each in judge.asked] == [("short", "much longer"), ("much longer", "short")]
    assert verdict == Verdict(1.0, 1.0)
    assert verdict.probability == 1.0


def test_always_the_first_is_a_tie_by_both_orders() -> None:
    verdicts = BothOrders(ScriptedJudge(prefer("first")), "A").judge([pair("a", "b"), pair("c", "d")])

    assert [each.probability for each in verdicts] == [0.5, 0.5]
    bias = measure_position_bias(*by_order(verdicts))
    assert (bias.n_prompts, bias.n_contradicting, bias.n_decided) == (2, 2, 4)
    assert bias.first_wins is not None
    assert bias.first_wins.estimate == 1.0


def test_a_tie_and_one_that_cannot_be_read() -> None:
    def says(request: JudgeRequest) -> Judgement:
        return Judgement(request.key, None, "" if request.first == "base" else "garbage")

    (verdict,) = BothOrders(ScriptedJudge(says), "x").judge([pair("base", "policy")])

    assert verdict == Verdict(0.5, None, "garbage")
    assert verdict.probability is None


def test_equal_answers_tie_without_being_asked_about() -> None:
    judge = ScriptedJudge(prefer("first"))

    verdicts = BothOrders(judge, "x").judge([pair("same", "same"), pair("a", "b")])

    assert verdicts[0].probability == 0.5
    assert len(judge.asked) == 2


def test_a_reward_model_judges_by_the_difference_of_its_rewards() -> None:
    judge = RewardJudge(LengthRewards(), "lengths", SilentProgress())

    longer, tie, broken = judge.judge([pair("x" * 10, "x" * 30), pair("ab", "cd"), pair("broken", "x")])

    assert longer.probability == pytest.approx(1 / (1 + np.exp(-2)))
    assert tie.probability == 0.5
    assert broken == Verdict(None, None, NO_NUMBER)
    assert not judge.sees_order


def by_order(verdicts: Sequence[Verdict]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array([[each.baseline_first, each.policy_first] for each in verdicts], dtype=np.float64)
    return table[:, 0], table[:, 1]


PROBABILITIES = st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, np.nan])] * 2), min_size=1, max_size=30)


@given(PROBABILITIES)
def test_changing_the_models_places_changes_no_position_bias(table: list[tuple[float, float]]) -> None:
    baseline_first, policy_first = np.array(table).T

    one = measure_position_bias(baseline_first, policy_first)
    other = measure_position_bias(1 - policy_first, 1 - baseline_first)

    assert one == other


def test_position_bias_by_hand() -> None:
    """The policy wins both, the second place wins both, a tie and the first place, and one that failed once."""
    baseline_first = np.array([1.0, 1.0, 0.5, np.nan])
    policy_first = np.array([1.0, 0.0, 1.0, 1.0])

    bias = measure_position_bias(baseline_first, policy_first)

    assert (bias.n_prompts, bias.n_contradicting, bias.n_decided) == (3, 1, 5)
    assert bias.first_wins is not None
    assert bias.first_wins.estimate == pytest.approx(2 / 5)
    assert not bias.is_biased


def test_length_bias_leaves_out_ties_and_equal_lengths() -> None:
    preferences = np.array([1.0, 0.0, 1.0, 0.5, np.nan, 1.0])
    differences = np.array([-5.0, 3.0, 4.0, -9.0, -9.0, 0.0])

    bias = measure_length_bias(preferences, differences)

    assert bias.n_prompts == 3
    assert bias.longer_wins is not None
    assert bias.longer_wins.estimate == pytest.approx(2 / 3)


def test_a_taste_for_length_shows() -> None:
    preferences = np.tile([1.0, 0.0], 20)

    assert measure_length_bias(preferences, np.tile([-5.0, 5.0], 20)).is_biased
    assert not measure_length_bias(preferences, np.tile([-5.0, 5.0, 5.0, -5.0], 10)).is_biased
