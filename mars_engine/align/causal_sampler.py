"""A causal language model as a policy that is sampled: its chat template, batches by length, a seed for each answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from mars_engine.align.sampling import Draw, Sample, SamplingSettings, seed_of
from mars_engine.augment.generators.seq2seq.decoding import SeededSampling, end_ids
from mars_engine.core.batching import batches_by_length, token_budget
from mars_engine.core.errors import GenerationError
from mars_engine.core.records import Prompt
from mars_engine.embeddings.pretrained import most_positions, quiet_transformers

TOO_LONG = "prompt too long for the policy's context, with the longest answer"
REFUSED = "prompt whose roles the policy's chat template refuses"


@dataclass(frozen=True)
class CausalSampler:
    """Samples answers of a causal language model.

    Guarantee: what is drawn depends on the prompt, the number of the draw and the settings alone; what else is in a
    batch changes it only where padding makes two tokens change places.

    Args:
        model: in evaluation mode.
        tokenizer: with a chat template.
        batch_tokens: token budget of a batch, answers and padding included; 0 is what suits the device.
    """

    model: Any
    tokenizer: Any
    batch_tokens: int = 0

    def why_not(self, prompt: Prompt, settings: SamplingSettings) -> str:
        """Return why a prompt cannot be answered; empty where it can."""
        try:
            length = len(self.tokens_of(prompt))
        except Exception:  # noqa: BLE001 - templates raise jinja's kinds, such as for roles that do not alternate
            return REFUSED
        most = most_positions(self.model)
        return TOO_LONG if most is not None and length + settings.max_new_tokens > most else ""

    def tokens_of(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the tokens that a sampled policy reads: its chat template with the prompt, up to the answer."""
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def draw(self, draws: Sequence[Draw], settings: SamplingSettings) -> Iterator[list[tuple[Draw, Sample]]]:
        """Yield what was drawn, batch by batch, in an order of its own."""
        prompts = {draw.prompt: self.tokens_of(draw.prompt) for draw in draws}
        lengths = [len(prompts[draw.prompt]) + settings.max_new_tokens for draw in draws]
        for batch in batches_by_length(lengths, token_budget(self.batch_tokens, self.model.device.type)):
            some = [draws[index] for index in batch]
            yield list(zip(some, self._sample([prompts[draw.prompt] for draw in some], some, settings), strict=True))

    def _sample(
        self, rows: Sequence[tuple[int, ...]], draws: Sequence[Draw], settings: SamplingSettings
    ) -> list[Sample]:
        longest = max(map(len, rows))
        pad, device, ends = int(self.tokenizer.pad_token_id), self.model.device, end_ids(self.model)
        chooser = SeededSampling(
            torch.tensor(ends, device=device),
            seeds=torch.tensor([seed_of(draw, settings.seed) for draw in draws], device=device),
            temperatures=torch.full((len(rows),), settings.temperature, dtype=torch.float64, device=device),
            top_p=settings.top_p,
        )
        config = GenerationConfig(  # type: ignore[no-untyped-call]  # greedy search takes the one token that is left
            do_sample=False, num_beams=1, max_new_tokens=settings.max_new_tokens, eos_token_id=ends, pad_token_id=pad,
            repetition_penalty=1.0,
        )  # fmt: skip
        ids = [[pad] * (longest - len(row)) + list(row) for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        try:
            with torch.inference_mode(), quiet_transformers():
                found = self.model.generate(
                    input_ids=torch.tensor(ids, device=device),
                    attention_mask=torch.tensor(mask, device=device),
                    generation_config=config,
                    logits_processor=LogitsProcessorList([chooser]),
                )
        except torch.OutOfMemoryError as error:
            raise GenerationError(
                f"the device has too little memory for a batch of {len(rows)} answers",
                remedy="lower the token budget of a batch; the answers drawn before are kept",
            ) from error
        return [self._read(tokens, ends) for tokens in found[:, longest:].tolist()]

    def _read(self, tokens: Sequence[int], ends: Sequence[int]) -> Sample:
        length = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
        text = self.tokenizer.decode(list(tokens[:length]), skip_special_tokens=True).strip()
        return Sample(text, min(length + 1, len(tokens)), finished=length < len(tokens))
