"""The losses of pairs: exact values, their limits, and that a flipped label is the exchanged pair."""

import math

import pytest
import torch

from mars_engine.core.config import RewardModelConfig
from mars_engine.reward_models.transformer.losses import (
    bradley_terry_losses,
    centering_loss,
    consistency_loss,
    focal_losses,
    label_smoothed_losses,
    margin_losses,
    pair_loss,
)

pytestmark = pytest.mark.model

MARGINS = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0], dtype=torch.float64)
SURE = torch.ones(5, dtype=torch.float64)
NAMES = ("bradley_terry", "label_smoothed", "focal", "margin")


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def test_bradley_terry_is_minus_log_sigma():
    assert bradley_terry_losses(MARGINS, SURE).tolist() == pytest.approx([-log_sigmoid(m) for m in MARGINS.tolist()])
    assert bradley_terry_losses(torch.tensor([-1e4, 1e4]), torch.ones(2)).tolist() == [1e4, 0.0]


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_label_is_the_exchanged_pair_and_doubt_lies_between(name):
    loss = pair_loss(RewardModelConfig(loss=name))
    flipped, exchanged = loss(MARGINS, 0 * SURE), loss(-MARGINS, SURE)
    assert flipped.tolist() == pytest.approx(exchanged.tolist())
    assert loss(MARGINS, 0.3 * SURE).tolist() == pytest.approx(
        (0.3 * loss(MARGINS, SURE) + 0.7 * loss(MARGINS, 0 * SURE)).tolist()
    )


def test_each_loss_is_bradley_terry_at_its_neutral_parameter():
    plain = bradley_terry_losses(MARGINS, SURE).tolist()
    assert label_smoothed_losses(MARGINS, SURE, smoothing=0.0).tolist() == pytest.approx(plain)
    assert focal_losses(MARGINS, SURE, gamma=0.0).tolist() == pytest.approx(plain)
    assert margin_losses(MARGINS, SURE, margin=0.0).tolist() == pytest.approx(plain)


def test_what_each_loss_is_for():
    smoothed = label_smoothed_losses(MARGINS, SURE, smoothing=0.2)
    assert smoothed.tolist() == pytest.approx([-0.8 * log_sigmoid(m) - 0.2 * log_sigmoid(-m) for m in MARGINS.tolist()])
    focal = focal_losses(MARGINS, SURE, gamma=2.0) / bradley_terry_losses(MARGINS, SURE)
    assert focal.tolist() == pytest.approx([(1 / (1 + math.exp(m))) ** 2 for m in MARGINS.tolist()])
    margin = margin_losses(MARGINS, SURE, margin=1.5)
    assert margin.tolist() == pytest.approx([-log_sigmoid(m - 1.5) for m in MARGINS.tolist()])


def test_centring_and_consistency():
    chosen, rejected = torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 0.0])
    assert centering_loss(chosen, rejected).item() == pytest.approx((0 + 4) / 2)
    own = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    source = torch.tensor([[0.0, 2.0], [0.0, 1.0]], requires_grad=True)
    pull = consistency_loss(own, source, torch.ones(2, 2), pairs=4)
    assert pull.item() == pytest.approx((0.5 + 0.5) / 4)
    pull.backward()
    assert own.grad is not None
    assert source.grad is None  # the variant comes to its source, not the other way


def test_a_refined_side_is_not_pulled_to_what_it_was_refined_away_from():
    own = torch.tensor([[1.0, 2.0], [3.0, 0.0]], requires_grad=True)
    source = torch.zeros(2, 2)
    pull = consistency_loss(own, source, torch.tensor([[1.0, 1.0], [0.0, 1.0]]), pairs=2)
    assert pull.item() == pytest.approx((0.5 * 1 + 0.5 * 4) / 2)
    pull.backward()
    assert own.grad[1, 0] == 0
