"""PPO's arithmetic against a completion of two tokens that is worked by hand here."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.align.training.ppo import (
    KlController,
    RewardScale,
    estimate_advantages,
    policy_loss,
    sequence_kl,
    token_rewards,
    value_loss,
    whiten,
)

# One completion of two tokens, and a third place that is padding. What stands at the padding must not count.
#
#              token 1   token 2   padding
#   log π       -1.0      -2.0      -9.0
#   log π_ref   -1.5      -1.8      -1.0
#   V            0.5       1.0       7.0        score of the completion 2.0, β 0.1, γ 1, λ 0.95
LOGPROBS = torch.tensor([[-1.0, -2.0, -9.0]])
REFERENCE = torch.tensor([[-1.5, -1.8, -1.0]])
VALUES = torch.tensor([[0.5, 1.0, 7.0]])
MASK = torch.tensor([[1.0, 1.0, 0.0]])
SCORES = torch.tensor([2.0])


def close(found: torch.Tensor, expected: object) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


def test_kl_of_two_tokens() -> None:
    # (-1.0 + 1.5) + (-2.0 + 1.8) = 0.5 - 0.2 = 0.3 nats
    close(sequence_kl(LOGPROBS, REFERENCE, MASK), [0.3])


def test_rewards_of_two_tokens() -> None:
    # token 1: -0.1 · 0.5 = -0.05;  token 2: -0.1 · (-0.2) + 2.0 = 2.02
    close(token_rewards(SCORES, LOGPROBS, REFERENCE, MASK, kl_weight=0.1), [[-0.05, 2.02, 0.0]])


def test_advantages_of_two_tokens() -> None:
    rewards = torch.tensor([[-0.05, 2.02, 0.0]])
    found = estimate_advantages(rewards, VALUES, MASK, discount=1.0, smoothing=0.95)
    # δ_2 = 2.02 + 0 - 1.0 = 1.02;  δ_1 = -0.05 + 1.0 - 0.5 = 0.45
    # A_2 = 1.02;  A_1 = 0.45 + 0.95 · 1.02 = 1.419;  returns: 1.419 + 0.5 = 1.919 and 1.02 + 1.0 = 2.02
    close(found.advantages, [[1.419, 1.02, 0.0]])
    close(found.returns, [[1.919, 2.02, 0.0]])


def test_a_discount_weighs_what_comes_later() -> None:
    rewards = torch.tensor([[-0.05, 2.02, 0.0]])
    found = estimate_advantages(rewards, VALUES, MASK, discount=0.5, smoothing=0.8)
    # δ_2 = 1.02;  δ_1 = -0.05 + 0.5 · 1.0 - 0.5 = -0.05;  A_1 = -0.05 + 0.5 · 0.8 · 1.02 = 0.358
    close(found.advantages, [[0.358, 1.02, 0.0]])


def test_clipped_objective_of_two_tokens() -> None:
    # ratios 1.5 and 0.9, advantages 1.419 and -1.02, ε 0.2:
    # token 1: max(-1.5 · 1.419, -1.2 · 1.419) = -1.7028, the clipped one
    # token 2: max(0.9 · 1.02, 0.9 · 1.02) = 0.918, within the bounds
    # mean (-1.7028 + 0.918) / 2 = -0.3924
    now = LOGPROBS + torch.tensor([[math.log(1.5), math.log(0.9), 3.0]])
    found = policy_loss(now, LOGPROBS, torch.tensor([[1.419, -1.02, 5.0]]), MASK, clip=0.2)
    close(found.loss, -0.3924)
    close(found.clipped_share, 0.5)


def test_clipping_never_hides_what_went_wrong() -> None:
    # ratio 1.5 where the advantage is negative: the plain branch is the larger, max(1.5, 1.2) = 1.5
    found = policy_loss(
        torch.tensor([[math.log(1.5)]]), torch.zeros(1, 1), -torch.ones(1, 1), torch.ones(1, 1), clip=0.2
    )
    close(found.loss, 1.5)
    close(found.clipped_share, 0.0)


def test_clipped_values_of_two_tokens() -> None:
    # V was 0.5 and 1.0, is 1.0 and 1.1, may move by 0.2: kept 0.7 and 1.1; returns 1.919 and 2.02
    # token 1: ½ max((1.0 - 1.919)², (0.7 - 1.919)²) = ½ · 1.485961 = 0.7429805
    # token 2: ½ (1.1 - 2.02)² = ½ · 0.8464 = 0.4232;  mean 0.58309025
    found = value_loss(torch.tensor([[1.0, 1.1, 9.0]]), VALUES, torch.tensor([[1.919, 2.02, 0.0]]), MASK, clip=0.2)
    close(found.loss, 0.58309025)
    close(found.clipped_share, 0.5)


def test_whitening_two_tokens() -> None:
    # mean (1.419 + 1.02) / 2 = 1.2195, deviation 0.1995: ±1
    close(whiten(torch.tensor([[1.419, 1.02, 8.0]]), MASK), [[1.0, -1.0, 0.0]])


def test_the_controller_raises_the_weight_above_its_target_and_lowers_it_below() -> None:
    # KL 9 of target 6: error 0.5, clipped to 0.2; 0.1 · (1 + 0.2 · 100 / 1000) = 0.102
    controller = KlController(0.1, target=6.0, horizon=1000)
    controller.update(9.0, 100)
    assert controller.weight == pytest.approx(0.102)
    # KL 5.4: error -0.1; 0.102 · (1 - 0.01) = 0.10098
    controller.update(5.4, 100)
    assert controller.weight == pytest.approx(0.10098)


def test_a_weight_without_a_target_is_fixed() -> None:
    controller = KlController(0.1)
    controller.update(90.0, 10_000)
    assert controller.weight == 0.1


def test_rewards_are_scaled_by_all_seen_so_far() -> None:
    scale = RewardScale(clip=1.5)
    # 1 and 3: mean 2, deviation 1
    close(scale.scale(torch.tensor([1.0, 3.0])), [-1.0, 1.0])
    # with 8: mean 4, squares 9 + 1 + 16 = 26, deviation √(26/3) = 2.943920; (8 - 4) / 2.943920 = 1.358732
    close(scale.scale(torch.tensor([8.0])), [1.358732])
    # with 100: mean 28, squares 27² + 25² + 20² + 72² = 6938, deviation 41.647329; 72 / 41.647329 = 1.7288, clipped
    close(scale.scale(torch.tensor([100.0])), [1.5])


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=5), min_size=1, max_size=5))
def test_the_scale_keeps_the_mean_and_deviation_of_everything(batches: list[list[float]]) -> None:
    scale = RewardScale(clip=0)
    for batch in batches:
        scale.scale(torch.tensor(batch, dtype=torch.float64))
    everything = torch.tensor([each for batch in batches for each in batch], dtype=torch.float64)
    assert scale.mean == pytest.approx(float(everything.mean()), abs=1e-9)
    assert scale.squares / scale.count == pytest.approx(float(everything.var(correction=0)), abs=1e-6)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 6), st.integers(0, 10_000))
def test_advantages_equal_the_sum_that_defines_them(discount: float, smoothing: float, length: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.randn(2, length, generator=generator, dtype=torch.float64)
    values = torch.randn(2, length, generator=generator, dtype=torch.float64)
    found = estimate_advantages(rewards, values, torch.ones(2, length), discount=discount, smoothing=smoothing)
    following = torch.cat([values[:, 1:], torch.zeros(2, 1)], dim=1)
    errors = rewards + discount * following - values
    for start in range(length):
        weights = (discount * smoothing) ** torch.arange(length - start, dtype=torch.float64)
        torch.testing.assert_close(found.advantages[:, start], (errors[:, start:] * weights).sum(dim=1))
