"""PPO with LoRA: its arithmetic first, then the steps that it takes.

All tensors of tokens have the shape (completions, tokens); a mask of the same shape has 1 where a token counts, which
begin at the left and have no gap. Log-probabilities are natural.

References:
    Schulman et al. 2017, "Proximal Policy Optimization Algorithms", arXiv:1707.06347: the clipped objective.
    Schulman et al. 2016, "High-Dimensional Continuous Control Using GAE", arXiv:1506.02438: the advantages.
    Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences", arXiv:1909.08593: the KL penalty in the
    reward, its controller, the clipped loss of values.
    Huang et al. 2024, "The N+ Implementation Details of RLHF with PPO", arXiv:2403.17031: whitening, where masks go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mars_engine.align.training.policy import Policy, with_adapter
from mars_engine.align.training.rewards import PolicyReward
from mars_engine.align.training.sampling import Completions, Likelihoods, likelihoods, sample_completions
from mars_engine.core.config import AlignConfig
from mars_engine.core.errors import ModelError
from mars_engine.core.records import Prompt

SMALLEST_DEVIATION = 1e-8
LARGEST_GRADIENT = 1.0
"""Norm to which a gradient is cut."""
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
    with_scores: Tensor = rewards.scatter_add(1, last[:, None], scores[:, None].to(rewards))
    return with_scores


def estimate_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, discount: float, smoothing: float
) -> Estimates:
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
        scaled: Tensor = (rewards - self.mean) / (deviation + SMALLEST_DEVIATION)
        clipped: Tensor = scaled.clamp(-self.clip, self.clip) if self.clip else scaled
        return clipped.float()


# ------------------------------------------------------------------------------------------------------- the algorithm


@dataclass(frozen=True, slots=True)
class Rollout:
    """Completions that the policy sampled, and what it and the reference made of them at that time."""

    completions: Completions
    old: Likelihoods
    reference: Tensor
    """Log-probabilities under the reference, shape (n, completion)."""
    raw_rewards: Tensor
    empty: int

    @property
    def mask(self) -> Tensor:
        return self.completions.mask


@dataclass
class PpoTraining:
    """A training by PPO: in each step the policy answers, is rated, and learns from it for a few passes.

    Args:
        policy: before training.
        prompts: what is trained on.
        reward: rates completions.
        config: the settings.
        in_bf16: whether passes compute in bf16; weights and losses stay in fp32.
    """

    policy: Policy
    prompts: Sequence[Prompt]
    reward: PolicyReward
    config: AlignConfig
    in_bf16: bool = False

    def __post_init__(self) -> None:
        self.model: Any = with_adapter(self.policy, self.config)
        self.model.train()
        self.value_head = nn.Linear(self.policy.model.config.get_text_config().hidden_size, 1).to(self.policy.device)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        self.trained += list(self.value_head.parameters())
        self.optimizer = torch.optim.AdamW(self.trained, lr=self.config.learning_rate, weight_decay=0.0)
        self.controller = KlController(self.config.kl_weight, self.config.kl_target, self.config.kl_horizon)
        self.scale = RewardScale(self.config.reward_clip)

    def take_step(self, step: int) -> tuple[dict[str, float], Rollout]:
        """Take a step, counted from 1, and return its figures and what it learned from.

        The draws depend on the seed and the step alone, so that a step after a resumption is the step it would have
        been.

        Raises:
            ModelError: the loss became no finite number; nothing was changed by it.
        """
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * (1 - (step - 1) / self.config.steps)
        rollout = self.roll_out(step)
        rewards = token_rewards(
            self.scale.scale(rollout.raw_rewards),
            rollout.old.logprobs,
            rollout.reference,
            rollout.mask,
            kl_weight=self.controller.weight,
        )
        values = rollout.old.values
        assert values is not None  # noqa: S101 (roll_out asks for them)
        estimates = estimate_advantages(
            rewards, values, rollout.mask, discount=self.config.discount, smoothing=self.config.smoothing
        )
        losses = self.learn(rollout, values, whiten(estimates.advantages, rollout.mask), estimates.returns)
        kl = float(sequence_kl(rollout.old.logprobs, rollout.reference, rollout.mask).mean())
        figures = {"KL weight": self.controller.weight, "KL": kl, **self._figures(rollout), **losses}
        self.controller.update(kl, len(rollout.raw_rewards))
        return figures, rollout

    @torch.no_grad()
    def roll_out(self, step: int) -> Rollout:
        """Sample completions of a step's prompts and rate them."""
        some = [self.prompts[place] for place in places_of_step(len(self.prompts), step, self.config)]
        asked = [prompt for prompt in some for _ in range(self.config.completions)]
        completions = sample_completions(self.policy, self.model, asked, self.config)
        scored = self.reward.score(asked, completions.texts)
        everything = torch.arange(len(asked), device=self.policy.device)
        parts = torch.split(everything, self.config.micro_batch)
        own = [self._likelihoods(completions, part) for part in parts]
        with self.model.disable_adapter():
            reference = [self._likelihoods(completions, part).logprobs for part in parts]
        old = Likelihoods(
            torch.cat([each.logprobs for each in own]),
            torch.cat([each.entropies for each in own]),
            torch.cat([each.values for each in own if each.values is not None]),
        )
        rewards = torch.tensor(scored.rewards, device=self.policy.device)
        return Rollout(completions, old, torch.cat(reference), rewards, scored.empty)

    def learn(self, rollout: Rollout, values: Tensor, advantages: Tensor, returns: Tensor) -> dict[str, float]:
        """Take optimizer steps on a rollout, and return the mean losses and the share of clipped ratios."""
        sums, mask = torch.zeros(3, device=self.policy.device), rollout.mask
        for _ in range(self.config.ppo_epochs):
            order = torch.randperm(len(mask)).to(self.policy.device)
            for minibatch in order.chunk(self.config.ppo_minibatches):
                for some in torch.split(minibatch, self.config.micro_batch):
                    now = self._likelihoods(rollout.completions, some)
                    assert now.values is not None  # noqa: S101 (a value head is given)
                    policy = policy_loss(
                        now.logprobs, rollout.old.logprobs[some], advantages[some], mask[some], clip=self.config.clip
                    )
                    value = value_loss(now.values, values[some], returns[some], mask[some], clip=self.config.value_clip)
                    share = mask[some].sum() / mask[minibatch].sum()
                    loss = (policy.loss + self.config.value_weight * value.loss) * share
                    _require_finite(loss)
                    loss.backward()  # type: ignore[no-untyped-call]
                    sums += torch.stack([policy.loss, value.loss, policy.clipped_share]).detach() * share
                nn.utils.clip_grad_norm_(self.trained, LARGEST_GRADIENT)
                self.optimizer.step()
                self.optimizer.zero_grad()
        means = (sums / (self.config.ppo_epochs * self.config.ppo_minibatches)).tolist()
        return dict(zip(("policy loss", "value loss", "clipped ratios"), means, strict=True))

    def _likelihoods(self, completions: Completions, rows: Tensor) -> Likelihoods:
        with torch.autocast(self.policy.device.type, torch.bfloat16, enabled=self.in_bf16):
            return likelihoods(
                self.model,
                completions.tokens[rows],
                completions.attention[rows],
                completions.mask.shape[1],
                temperature=self.config.temperature,
                value_head=self.value_head,
            )

    def _figures(self, rollout: Rollout) -> dict[str, float]:
        groups = rollout.raw_rewards.view(-1, self.config.completions)
        return {
            "reward": float(rollout.raw_rewards.mean()),
            "entropy": float(masked_mean(rollout.old.entropies, rollout.mask)),
            "completion tokens": float(rollout.completions.lengths.float().mean()),
            "zero-variance groups": float((groups.std(dim=1) == 0).float().mean()),
            "empty completions": float(rollout.empty),
        }

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on, but for the adapter."""
        return {
            "value_head": self.value_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "kl_weight": self.controller.weight,
            "scale": (self.scale.count, self.scale.mean, self.scale.squares),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned; the adapter is loaded apart."""
        self.value_head.load_state_dict(state["value_head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.controller.weight = state["kl_weight"]
        self.scale.count, self.scale.mean, self.scale.squares = state["scale"]


def places_of_step(prompts: int, step: int, config: AlignConfig) -> list[int]:
    """Return which prompts a step, counted from 1, takes: all come once before any comes again."""
    first = (step - 1) * config.prompts_per_step
    places = []
    for number in range(first, first + config.prompts_per_step):
        epoch, place = divmod(number, prompts)
        places.append(int(np.random.default_rng((config.seed, epoch)).permutation(prompts)[place]))
    return places


def _require_finite(loss: Tensor) -> None:
    if not bool(torch.isfinite(loss)):
        raise ModelError(
            f"the loss of the policy became {float(loss)}, so training was stopped before it could spoil the weights",
            expected="a finite loss",
            remedy='lower learning_rate, or set precision = "fp32" under [align] in mars.toml; what was saved before '
            "is whole",
        )
