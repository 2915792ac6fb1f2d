"""A tiny policy that was trained on short texts about the weather, and a rule that rewards the sunny ones."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tiny_transformers import make_tokenizer

from mars_engine.core.progress import Progress
from mars_engine.core.records import Pair, Prompt, Rewards, Truncation, Turn

PLACES = ("garden", "lake", "town", "wood", "field", "coast", "hill", "valley")
TIMES = ("morning", "noon", "evening", "night", "winter", "spring", *(f"hour {hour}" for hour in range(1, 17)))
SUNNY = ("sun", "warm", "bright")
OTHERS = ("rain", "cold", "dark", "wind", "fog", "grey")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]\n{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
"""A prompt ends on a token's boundary, whatever follows."""
HAPPENINGS = (*SUNNY, *OTHERS)
PROMPTS: tuple[Prompt, ...] = tuple((Turn("user", f"{place} at {time}"),) for time in TIMES for place in PLACES)


def weather(draws: random.Random) -> str:
    return " ".join(draws.choice(HAPPENINGS) for _ in range(draws.randint(2, 6)))


def save_tiny_policy(folder: Path, *, steps: int = 150) -> Path:
    """Train a tiny Llama to answer prompts with a few words of weather, at random, and save it; some seconds."""
    import torch
    import transformers

    draws = random.Random(0)
    texts = [f"{prompt[0].content} {weather(draws)}" for prompt in PROMPTS for _ in range(20)]
    tokenizer: Any = make_tokenizer([*texts, "[user]\n[assistant]\n"], is_decoder=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(steps):
            asked = [draws.choice(PROMPTS)[0].content for _ in range(32)]
            texts = [f"<s>[user]\n{each}</s>[assistant]\n{weather(draws)}</s>" for each in asked]
            batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
            is_answer = (batch.input_ids == tokenizer.eos_token_id).cumsum(dim=1) - (
                batch.input_ids == tokenizer.eos_token_id
            ).long() > 0
            loss = model(
                **batch, labels=batch.input_ids.masked_fill(~is_answer | (batch.attention_mask == 0), -100)
            ).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sunshine(text: str) -> float:
    """The share of sunny words, between 0 and 1."""
    words = text.split()
    return sum(word in SUNNY for word in words) / len(words) if words else 0.0


@dataclass(frozen=True)
class SunshineModel:
    """A reward model by rule."""

    id: str = "sunshine"

    def score(self, pairs: Sequence[Pair], *, progress: Progress) -> Rewards:  # noqa: ARG002
        return Rewards(
            np.array([self.rate(pair.chosen) for pair in pairs]), np.array([self.rate(pair.rejected) for pair in pairs])
        )

    def rate(self, text: str) -> float:
        return sunshine(text)

    def truncation(self, pairs: Sequence[Pair], *, progress: Progress) -> Truncation:  # noqa: ARG002
        return Truncation(len(pairs), 0, 0)
