"""PPO's arithmetic: rewards of tokens, advantages, the two clipped losses, and the controller of the KL weight.

All tensors of tokens have the shape (completions, tokens); a mask of the same shape has 1 where a token counts, which
begin at the left and have no gap. Log-probabilities are natural.

References:
    Schulman et al. 2017, "Proximal Policy Optimization Algorithms", arXiv:1707.06347: the clipped objective.
    Schulman et al. 2016, "High-Dimensional Continuous Control Using GAE", arXiv:1506.02438: the advantages.
    Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences", arXiv:1909.08593: the KL penalty in the
    reward, its controller, the clipped loss of values.
    Huang et al. 2024, "The N+ Implementation Details of RLHF with PPO", arXiv:2403.17031: whitening, where masks go.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_DEVIATION = 1e-8
LARGEST_ERROR = 0.2
"""The most by which the controller lets one look at the KL count (Ziegler et al., section 2.2)."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """What a batch of completions teaches: advantages for the policy, returns for the values."""

    advantages: Tensor
    returns: Tensor


@dataclass(frozen=True, slots=True)
class ClippedLoss:
    """A loss over all tokens that count, and the share of them at which the clipped branch was the larger."""

    loss: Tensor
    clipped_share: Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over all tokens that count."""
    return (values * mask).sum() / mask.sum()


def token_rewards(scores: Tensor, logprobs: Tensor, reference: Tensor, mask: Tensor, *, kl_weight: float) -> Tensor:
    """Return each token's reward: −kl_weight·log(π/π_ref), and the completion's score at its last token.

    Args:
        scores: rewards of whole completions, shape (completions,); each has at least one token.
        logprobs: of the tokens under the policy that sampled them.
        reference: of the tokens under the reference.
        mask: which tokens count.
        kl_weight: β, the price of a nat of KL.
    """
    rewards = -kl_weight * (logprobs - reference) * mask
    last = mask.sum(dim=1).long() - 1
    return rewards.scatter_add(1, last[:, None], scores[:, None].to(rewards))


def estimate_advantages(rewards: Tensor, values: Tensor, mask: Tensor, *, discount: float, smoothing: float) -> Estimates:
    """Return generalised advantages A_t = Σ_k (γλ)^k δ_(t+k), with δ_t = r_t + γV_(t+1) − V_t, and returns A_t + V_t.

    Args:
        rewards: see `token_rewards`.
        values: V_t, what was expected before token t was sampled. After the last token nothing is expected.
        mask: which tokens count.
        discount: γ.
        smoothing: λ.
    """
    values = values * mask
    advantages = torch.zeros_like(values)
    later, next_value = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    for token in reversed(range(values.shape[1])):
        error = rewards[:, token] + discount * next_value - values[:, token]
        later = (error + discount * smoothing * later) * mask[:, token]
        advantages[:, token], next_value = later, values[:, token]
    return Estimates(advantages, advantages + values)


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Return the values with mean 0 and variance 1 over the tokens that count."""
    centred = (values - masked_mean(values, mask)) * mask
    return centred / (masked_mean(centred**2, mask).sqrt() + SMALLEST_DEVIATION)


def policy_loss(logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, *, clip: float) -> ClippedLoss:
    """Return the mean of max(−ρA, −clip(ρ, 1−ε, 1+ε)A), with ρ = π/π_old."""
    ratio = (logprobs - old).exp()
    plain, clipped = -ratio * advantages, -ratio.clamp(1 - clip, 1 + clip) * advantages
    return _larger(plain, clipped, mask)


def value_loss(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, *, clip: float) -> ClippedLoss:
    """Return half the mean of the larger squared error: of V, or of V kept within ±clip of what it was."""
    kept = old + (values - old).clamp(-clip, clip)
    return _larger(0.5 * (values - returns) ** 2, 0.5 * (kept - returns) ** 2, mask)


def _larger(plain: Tensor, clipped: Tensor, mask: Tensor) -> ClippedLoss:
    share = masked_mean((clipped > plain).to(plain), mask)
    return ClippedLoss(masked_mean(torch.maximum(plain, clipped), mask), share.detach())


def sequence_kl(logprobs: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Return Σ_t log(π/π_ref) of each completion in nats: the policy sampled it, so its mean estimates the KL."""
    return ((logprobs - reference) * mask).sum(dim=1)


@dataclass
class KlController:
    """The KL weight β, fixed, or steered so that the KL of a completion stays near a target.

    After n completions β becomes β·(1 + clip(KL/target − 1, ±0.2)·n/horizon).
    """

    weight: float
    target: float = 0.0
    """In nats; 0 leaves the weight as it is."""
    horizon: int = 10_000

    def update(self, kl: float, completions: int) -> None:
        if self.target:
            error = min(max(kl / self.target - 1, -LARGEST_ERROR), LARGEST_ERROR)
            self.weight *= 1 + error * completions / self.horizon


@dataclass
class RewardScale:
    """Brings rewards to mean 0 and deviation 1, by all that were seen so far, and clips what is far out.

    Mean and variance are merged batch by batch (Chan et al. 1979), so that the order within a batch does not count.
    """

    clip: float
    """In deviations; 0 clips nothing."""
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared distances from the mean."""

    def scale(self, rewards: Tensor) -> Tensor:
        """Take a batch in, and return it scaled, shape as given."""
        rewards = rewards.double()
        count, mean = len(rewards), float(rewards.mean())
        shift, total = mean - self.mean, self.count + len(rewards)
        self.squares += float(((rewards - mean) ** 2).sum()) + shift**2 * self.count * count / total
        self.mean += shift * count / total
        self.count = total
        deviation = (self.squares / total) ** 0.5
        scaled = (rewards - self.mean) / (deviation + SMALLEST_DEVIATION)
        return (scaled.clamp(-self.clip, self.clip) if self.clip else scaled).float()
