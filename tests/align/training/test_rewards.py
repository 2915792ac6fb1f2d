"""Rewards of completions by reward models, one or several, and what is said where that fails."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from mars_engine.align.training.rewards import PolicyReward, RewardSource
from mars_engine.core.errors import ModelError
from mars_engine.core.progress import Progress
from mars_engine.core.records import Pair, Prompt, Rewards, Truncation, Turn

HERE: Prompt = (Turn("user", "here"),)
THERE: Prompt = (Turn("user", "there"),)


@dataclass
class LengthModel:
    """Rewards characters; keeps what it was asked; whatever says "nan" has no reward."""

    id: str = "length"
    asked: list[Pair] = field(default_factory=list)

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:  # noqa: ARG002
        self.asked += pairs
        return Rewards(
            np.array([self.rate(pair.chosen) for pair in pairs]), np.array([self.rate(pair.rejected) for pair in pairs])
        )

    def rate(self, text: str) -> float:
        return float("nan") if "nan" in text else float(len(text))

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:  # noqa: ARG002
        return Truncation(len(pairs), 0, 0)


def test_completions_of_one_prompt_share_a_pair() -> None:
    model = LengthModel()
    reward = PolicyReward((RewardSource("length", model),))
    found = reward([HERE, THERE, HERE, HERE], ["a", "bb", "ccc", "dddd"])
    assert found == [1.0, 2.0, 3.0, 4.0]
    asked = {(pair.prompt, pair.chosen, pair.rejected) for pair in model.asked}
    assert asked == {(HERE, "a", "ccc"), (THERE, "bb", "bb"), (HERE, "dddd", "dddd")}


def test_an_empty_completion_gets_the_lowest_reward_and_is_counted() -> None:
    model = LengthModel()
    found = PolicyReward((RewardSource("length", model),)).score([HERE] * 3, ["aa", " \n", "bbb"])
    assert found.rewards.tolist() == [2.0, 2.0, 3.0]
    assert found.empty == 1
    assert all(pair.chosen.strip() and pair.rejected.strip() for pair in model.asked)


def test_completions_that_are_all_empty_are_told() -> None:
    with pytest.raises(ModelError, match=r"all 2 completions are empty.*max_new_tokens"):
        PolicyReward((RewardSource("length", LengthModel()),)).score([HERE] * 2, ["", "  "])


def test_a_reward_that_is_no_number_is_told_with_its_model_and_its_text() -> None:
    with pytest.raises(ModelError, match=r"'length' returned nan for 1 of 2 completions, such as 'a nan'"):
        PolicyReward((RewardSource("length", LengthModel()),)).score([HERE] * 2, ["fine", "a nan"])


def test_several_models_come_to_their_mean_or_minimum_on_one_scale() -> None:
    long = RewardSource("long", LengthModel("long"), mean=2.0, deviation=2.0)
    plain = RewardSource("plain", LengthModel("plain"))
    texts = ["aaaa", "aaaaaaaa"]
    # long: (4 - 2) / 2 = 1 and (8 - 2) / 2 = 3; plain: 4 and 8
    mean, minimum = (PolicyReward((long, plain), how).score([HERE] * 2, texts) for how in ("mean", "minimum"))
    assert mean.rewards.tolist() == [2.5, 5.5]
    assert minimum.rewards.tolist() == [1.0, 3.0]
    # deviations of (1, 4) and of (3, 8)
    assert mean.disagreement.tolist() == [1.5, 2.5]
    assert PolicyReward((long,)).score([HERE] * 2, texts).disagreement is None
