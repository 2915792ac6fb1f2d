"""A small instruct model as a writer of passages: its chat template, batches by length, samples by seed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from mars_engine.augment.generators.causal.manner import messages_of, plain_rewriting
from mars_engine.augment.generators.passages.writing import Asked, Search, Written, most_written, seeds_of
from mars_engine.augment.generators.seq2seq.decoding import SeededSampling, end_ids
from mars_engine.core.batching import batches_by_length, token_budget
from mars_engine.core.config import Precision
from mars_engine.core.errors import GenerationError
from mars_engine.core.progress import Progress
from mars_engine.embeddings.causal_lm import load_causal_lm
from mars_engine.embeddings.devices import find_device
from mars_engine.embeddings.pretrained import load_chat_tokenizer, most_positions, quiet_transformers

EXPECTED = "a causal language model saved by transformers that was trained to follow instructions"
REMEDY = "check 'model' under [causal] in mars.toml"


@dataclass(frozen=True, slots=True)
class Row:
    """One sample of one passage: what the model reads, in tokens, and how it is drawn."""

    tokens: tuple[int, ...]
    seed: int
    temperature: float
    limit: int
    """Most tokens that may be written."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn for a row, and how likely its tokens are, as a mean of logarithms."""

    written: Written
    mean_log_probability: float


@dataclass(frozen=True)
class CausalWriter:
    """Writes passages with a causal language model that follows instructions.

    The samples of a passage take turns among the instructions. Guarantee: what is drawn depends on the passage, its
    seed and the instruction alone; what else is in a batch changes it only where padding makes two tokens change
    places.

    Args:
        model: in evaluation mode.
        tokenizer: with a chat template.
        instructions: system prompts, one at least.
        batch_tokens: token budget of a batch, answers and padding included; 0 is what suits the device.
    """

    model: Any
    tokenizer: Any
    instructions: tuple[str, ...]
    batch_tokens: int

    @property
    def most_tokens(self) -> int | None:
        """How many tokens the model reads and writes at most; None where it does not say."""
        return most_positions(self.model)

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text alone: what surrounds it in the chat template is not counted."""
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def positions_for(self, passage_tokens: int) -> int:
        """Return the most tokens that a passage of so many takes, with its instruction and its answer."""
        around = max(len(self._tokenize(instruction, "")) for instruction in self.instructions)
        return around + passage_tokens + most_written(passage_tokens)

    def knows(self, text: str) -> bool:
        unknown = self.tokenizer.unk_token_id
        return unknown is None or unknown not in self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids

    def write(
        self, asked: Sequence[Asked], search: Search, *, name: str, progress: Progress
    ) -> list[tuple[Written, ...]]:
        rows = [row for each in asked for row in self._rows(each, search)]
        samples: dict[int, Sample] = {}
        with progress.task(name, len(rows)) as task, quiet_transformers():
            for batch in self._batches(rows):
                found = self._sample([rows[index] for index in batch], search.top_p)
                samples |= zip(batch, found, strict=True)
                task.advance(len(batch))
        count = search.candidates
        return [_ordered([samples[at * count + place] for place in range(count)], search) for at in range(len(asked))]

    def _rows(self, asked: Asked, search: Search) -> list[Row]:
        limit = most_written(self.count_tokens(asked.text))
        prompts = [self._tokenize(instruction, asked.text) for instruction in self.instructions]
        return [
            Row(prompts[place % len(prompts)], seed, temperature, limit)
            for place, (seed, temperature) in enumerate(
                zip(seeds_of(asked, search.candidates), search.temperatures, strict=True)
            )
        ]

    def _tokenize(self, instruction: str, passage: str) -> tuple[int, ...]:
        turns = [{"role": turn.role, "content": turn.content} for turn in messages_of(instruction, passage)]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _batches(self, rows: Sequence[Row]) -> list[list[int]]:
        """Return batches of similar length, whose rows may all write as much."""
        by_limit: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            by_limit[row.limit].append(index)
        budget = token_budget(self.batch_tokens, self.model.device.type)
        return [
            [indices[place] for place in batch]
            for limit, indices in sorted(by_limit.items())
            for batch in batches_by_length([len(rows[index].tokens) + limit for index in indices], budget)
        ]

    def _sample(self, rows: Sequence[Row], top_p: float) -> list[Sample]:
        longest = max(len(row.tokens) for row in rows)
        padding = [longest - len(row.tokens) for row in rows]
        pad, device = int(self.tokenizer.pad_token_id), self.model.device
        ids = [[pad] * missing + list(row.tokens) for missing, row in zip(padding, rows, strict=True)]
        mask = [[0] * missing + [1] * len(row.tokens) for missing, row in zip(padding, rows, strict=True)]
        ends = end_ids(self.model)
        chooser = SeededSampling(
            torch.tensor(ends, device=device),
            seeds=torch.tensor([row.seed for row in rows], device=device),
            temperatures=torch.tensor([row.temperature for row in rows], dtype=torch.float64, device=device),
            top_p=top_p,
        )
        try:
            with torch.inference_mode():
                found = self.model.generate(
                    input_ids=torch.tensor(ids, device=device),
                    attention_mask=torch.tensor(mask, device=device),
                    generation_config=_generation_config(ends, pad, rows[0].limit),
                    logits_processor=LogitsProcessorList([chooser]),
                )
        except torch.OutOfMemoryError as error:
            raise GenerationError(
                f"the device has too little memory for a batch of {len(rows)} samples",
                remedy="lower batch_tokens under [causal] in mars.toml; what was proposed before is kept",
            ) from error
        likelihoods = chooser.mean_log_probabilities.tolist()
        return [
            Sample(self._read(tokens, ends), likelihood)
            for tokens, likelihood in zip(found[:, longest:].tolist(), likelihoods, strict=True)
        ]

    def _read(self, tokens: Sequence[int], ends: Sequence[int]) -> Written:
        length = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
        text = self.tokenizer.decode(list(tokens[:length]), skip_special_tokens=True)
        return Written(plain_rewriting(text), finished=length < len(tokens))


def _ordered(samples: Sequence[Sample], search: Search) -> tuple[Written, ...]:
    """Return what was written, the likeliest first where all were drawn at one temperature."""
    if search.ranks:
        samples = sorted(samples, key=lambda each: -each.mean_log_probability)
    return tuple(each.written for each in samples)


def _generation_config(ends: list[int], pad: int, limit: int) -> GenerationConfig:
    """Return settings for greedy search, which takes the one token that the sampling leaves."""
    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, num_beams=1, max_new_tokens=limit, eos_token_id=ends, pad_token_id=pad, repetition_penalty=1.0
    )


def load_writer(
    folder: Path, *, instructions: tuple[str, ...], device: str, precision: Precision, batch_tokens: int
) -> CausalWriter:
    """Load an instruct model; one that is loaded already is not loaded again.

    Raises:
        ModelError: there is no such model, tokenizer or chat template in the folder, or the device cannot be used.
    """
    model, tokenizer = load_model(folder, device, precision)
    return CausalWriter(model, tokenizer, instructions, batch_tokens)


@lru_cache(maxsize=2)
def load_model(folder: Path, device: str, precision: Precision) -> tuple[Any, Any]:
    place = find_device(device, section="causal")
    tokenizer = load_chat_tokenizer(
        folder, expected=EXPECTED, remedy=f"{REMEDY}: a base model does not follow instructions"
    )
    model = load_causal_lm(folder, tokenizer, device=place, precision=precision, expected=EXPECTED, remedy=REMEDY)
    return model, tokenizer
