"""Sampling completions from a policy, and how likely it finds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from mars_engine.align.training.policy import Policy
from mars_engine.core.config import AlignConfig
from mars_engine.core.records import Prompt


@dataclass(frozen=True, slots=True)
class Completions:
    """Completions of some prompts: prompts are padded on the left, completions on the right.

    tokens and attention have the shape (n, prompt + completion), mask (n, completion): its end token counts too.
    """

    texts: tuple[str, ...]
    tokens: Tensor
    attention: Tensor
    mask: Tensor

    @property
    def lengths(self) -> Tensor:
        """Tokens of each completion, shape (n,)."""
        return self.mask.sum(dim=1)


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """Of each completion's tokens, shape (n, completion): log-probabilities, entropies, and values where asked for."""

    logprobs: Tensor
    entropies: Tensor
    values: Tensor | None = None


@torch.no_grad()
def sample_completions(
    policy: Policy, model: Any, prompts: Sequence[Prompt], config: AlignConfig, *, greedy: bool = False
) -> Completions:
    """Sample one completion of each prompt from `model`, the policy's own or one with its adapter.

    The draws are those of torch's global generator: whoever wants them repeated seeds it.
    """
    rows = [policy.prompt_ids(prompt) for prompt in prompts]
    width = max(map(len, rows))
    tokens = torch.tensor([[policy.pad_id] * (width - len(row)) + row for row in rows], device=policy.device)
    attention = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=policy.device)
    was_training = model.training
    model.eval()
    written = model.generate(
        input_ids=tokens, attention_mask=attention, generation_config=_decoding(policy, config, greedy=greedy)
    )
    model.train(was_training)
    completion = written[:, width:]
    ends = torch.isin(completion, torch.tensor(policy.end_ids, device=policy.device))
    mask = (ends.cumsum(dim=1) - ends.int() == 0).long()  # up to the first end token, itself included
    texts = [
        policy.tokenizer.decode(row[kept.bool()], skip_special_tokens=True)
        for row, kept in zip(completion, mask, strict=True)
    ]
    return Completions(tuple(texts), written, torch.cat([attention, mask], dim=1), mask)


def _decoding(policy: Policy, config: AlignConfig, *, greedy: bool) -> GenerationConfig:
    """Return plain sampling: nothing of a model's own taste that would make log-probabilities untrue."""
    sampling = {} if greedy else {"temperature": config.temperature, "top_k": 0, "top_p": 1.0}
    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=config.max_new_tokens,
        do_sample=not greedy,
        repetition_penalty=1.0,
        pad_token_id=policy.pad_id,
        eos_token_id=policy.end_ids,
        bos_token_id=policy.tokenizer.bos_token_id,
        **sampling,
    )


def likelihoods(
    model: Any, tokens: Tensor, attention: Tensor, length: int, *, temperature: float, value_head: Any = None
) -> Likelihoods:
    """Return how likely the last `length` tokens of each row are, each given what stands before it.

    Args:
        model: of the policy, with its adapter or without.
        tokens: shape (n, prompt + completion).
        attention: shape as tokens.
        length: tokens of a completion, padding included.
        temperature: of the sampling.
        value_head: maps hidden states to what is expected from there on; None for no values.
    """
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
    read = model(
        input_ids=tokens,
        attention_mask=attention,
        position_ids=positions,
        output_hidden_states=value_head is not None,
        logits_to_keep=length + 1,
        use_cache=False,
    )
    log_odds = (read.logits[:, :-1].float() / temperature).log_softmax(dim=-1)
    logprobs = log_odds.gather(-1, tokens[:, -length:, None]).squeeze(-1)
    entropies = -(log_odds.exp() * log_odds).sum(dim=-1).detach()
    if value_head is None:
        return Likelihoods(logprobs, entropies)
    states = read.hidden_states[-1][:, -length - 1 : -1]
    return Likelihoods(logprobs, entropies, value_head(states.to(value_head.weight.dtype)).squeeze(-1).float())
