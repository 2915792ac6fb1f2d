"""Losses of a batch of pairs, by name. Margins are Δ = r(chosen) − r(rejected); all losses are in nats.

Each loss of a pair is p·ℓ(Δ) + (1 − p)·ℓ(−Δ), with p the confidence that the label is right, so that a flipped label
(p = 0) is the loss of the exchanged pair.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from mars_engine.core.config import RewardModelConfig

PairLoss = Callable[[Tensor, Tensor], Tensor]
"""Takes margins and label confidences, shape (n,) each; returns the loss of each pair, shape (n,)."""


def bradley_terry_losses(margins: Tensor, label_confidence: Tensor) -> Tensor:
    """Return −log σ(Δ) (Bradley & Terry 1952), weighed by the label's confidence."""
    return -label_confidence * logsigmoid(margins) - (1 - label_confidence) * logsigmoid(-margins)


def label_smoothed_losses(margins: Tensor, label_confidence: Tensor, *, smoothing: float) -> Tensor:
    """Return the Bradley–Terry loss where each label is wrong with probability `smoothing` (Szegedy et al. 2016)."""
    return bradley_terry_losses(margins, label_confidence * (1 - smoothing) + (1 - label_confidence) * smoothing)


def focal_losses(margins: Tensor, label_confidence: Tensor, *, gamma: float) -> Tensor:
    """Return −(1 − σ(Δ))^γ log σ(Δ), under which easy pairs count less (Lin et al. 2017)."""
    as_labelled = torch.sigmoid(-margins) ** gamma * logsigmoid(margins)
    exchanged = torch.sigmoid(margins) ** gamma * logsigmoid(-margins)
    return -label_confidence * as_labelled - (1 - label_confidence) * exchanged


def margin_losses(margins: Tensor, label_confidence: Tensor, *, margin: float) -> Tensor:
    """Return −log σ(Δ − m), under which a margin below m still costs (Touvron et al. 2023, Llama 2)."""
    return -label_confidence * logsigmoid(margins - margin) - (1 - label_confidence) * logsigmoid(-margins - margin)


def pair_loss(config: RewardModelConfig) -> PairLoss:
    """Return the configured loss of a pair."""
    losses: dict[str, PairLoss] = {
        "bradley_terry": bradley_terry_losses,
        "label_smoothed": lambda margins, confidence: label_smoothed_losses(
            margins, confidence, smoothing=config.label_smoothing
        ),
        "focal": lambda margins, confidence: focal_losses(margins, confidence, gamma=config.focal_gamma),
        "margin": lambda margins, confidence: margin_losses(margins, confidence, margin=config.loss_margin),
    }
    return losses[config.loss]


def centering_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Return the mean of (r(chosen) + r(rejected))², which keeps rewards around 0 (Eisenstein et al. 2023)."""
    return torch.mean((chosen + rejected) ** 2)


def consistency_loss(rewards: Tensor, source_rewards: Tensor, pulled: Tensor, *, pairs: int) -> Tensor:
    """Return the squared distance of variants' rewards from their sources', which are not pulled themselves.

    Nor is a side that was refined: it is to be told from what it was refined away from.

    Args:
        rewards: of the sides of m variants, shape (2, m): chosen, rejected.
        source_rewards: of the same sides of their sources, shape (2, m).
        pulled: 1 for a side that paraphrases its source's, 0 for a refined one, shape (2, m).
        pairs: how many pairs the batch has, variants or not, at least 1: what the sum over the variants is divided by,
            so that a batch with few variants weighs little.
    """
    return (pulled * (rewards - source_rewards.detach()) ** 2).mean(dim=0).sum() / pairs
