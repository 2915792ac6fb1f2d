"""A sequence-to-sequence model as a writer of passages: loading it, batches by length, tokens to text and back."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from mars_engine.augment.generators.passages.writing import Asked, Search, Written, most_written, seeds_of
from mars_engine.augment.generators.seq2seq.decoding import decode, end_ids
from mars_engine.core.batching import batches_by_length, token_budget
from mars_engine.core.config import Precision
from mars_engine.core.errors import GenerationError, ModelError
from mars_engine.core.progress import Progress
from mars_engine.embeddings.devices import find_device
from mars_engine.embeddings.pretrained import load_tokenizer, load_weights, most_positions, quiet_transformers

EXPECTED = "a sequence-to-sequence model saved by transformers, such as T5, BART or Pegasus"
REMEDY = "check 'model' under [seq2seq] in mars.toml"


@dataclass(frozen=True)
class Seq2SeqWriter:
    """Writes passages with a sequence-to-sequence model.

    Guarantees: what is drawn depends on the text and its seed alone; and a text of a batch is written as it would be
    alone, unless padding makes two tokens change places: in fp32 they have to be equally likely to about six digits, in
    bf16 to two, so that there the batch does change texts now and then.
    """

    model: Any
    tokenizer: Any
    batch_tokens: int
    """Token budget of a batch, candidates and padding included; 0 is what suits the device."""

    @property
    def most_tokens(self) -> int | None:
        """How many tokens the model reads at most; None where it does not say, as T5, which goes by distances."""
        return most_positions(self.model)

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer(text, verbose=False)["input_ids"])

    def knows(self, text: str) -> bool:
        unknown = self.tokenizer.unk_token_id
        return unknown is None or unknown not in self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids

    def write(
        self, asked: Sequence[Asked], search: Search, *, name: str, progress: Progress
    ) -> list[tuple[Written, ...]]:
        rows: list[list[int]] = [list(self.tokenizer(each.text, verbose=False)["input_ids"]) for each in asked]
        written: dict[int, tuple[Written, ...]] = {}
        with progress.task(name, len(asked)) as task, quiet_transformers():
            for limit, batch in self._batches([len(row) for row in rows], search.candidates):
                seeds = torch.tensor([seeds_of(asked[index], search.candidates) for index in batch])
                found = self._decode([rows[index] for index in batch], search, seeds, limit)
                for index, candidates in zip(batch, found, strict=True):
                    written[index] = tuple(self._read(tokens, limit) for tokens in candidates)
                task.advance(len(batch))
        return [written[index] for index in range(len(asked))]

    def _batches(self, lengths: Sequence[int], candidates: int) -> list[tuple[int, list[int]]]:
        """Return batches of similar length, each with how much may be written for each of its texts."""
        by_limit: dict[int, list[int]] = defaultdict(list)
        for index, length in enumerate(lengths):
            limit = most_written(length)
            by_limit[limit if self.most_tokens is None else min(limit, self.most_tokens - 1)].append(index)
        budget = max(1, token_budget(self.batch_tokens, self.model.device.type) // candidates)
        return [
            (limit, [indices[place] for place in batch])
            for limit, indices in sorted(by_limit.items())
            for batch in batches_by_length([lengths[index] for index in indices], budget)
        ]

    def _decode(
        self, rows: Sequence[Sequence[int]], search: Search, seeds: torch.Tensor, limit: int
    ) -> list[list[list[int]]]:
        try:
            input_ids, attention_mask = self._pad(rows)
            return decode(self.model, input_ids, attention_mask, search, seeds, max_new_tokens=limit)
        except torch.OutOfMemoryError as error:
            raise GenerationError(
                f"the device has too little memory for a batch of {len(rows)} passages with {search.candidates} "
                "candidates each",
                remedy="lower batch_tokens under [seq2seq] in mars.toml; what was proposed before is kept",
            ) from error

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (len(rows), max(map(len, rows)))
        input_ids = torch.full(shape, int(self.tokenizer.pad_token_id), dtype=torch.long)
        attention_mask = torch.zeros(shape, dtype=torch.long)
        for number, row in enumerate(rows):
            input_ids[number, : len(row)] = torch.tensor(row)
            attention_mask[number, : len(row)] = 1
        return input_ids.to(self.model.device), attention_mask.to(self.model.device)

    def _read(self, tokens: Sequence[int], limit: int) -> Written:
        """Return the text of some tokens. An end at the very limit may have been forced, and counts as none."""
        ends = set(end_ids(self.model))
        length = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
        text = self.tokenizer.decode(list(tokens[:length]), skip_special_tokens=True)
        return Written(" ".join(text.split()), finished=length < min(len(tokens), limit - 1))


def load_writer(folder: Path, *, device: str, precision: Precision, batch_tokens: int) -> Seq2SeqWriter:
    """Load a sequence-to-sequence model; one that is loaded already is not loaded again.

    Raises:
        ModelError: there is no such model or no tokenizer in the folder, or the device cannot be used.
    """
    model, tokenizer = _load(folder, device, precision)
    return Seq2SeqWriter(model, tokenizer, batch_tokens)


@lru_cache(maxsize=2)
def _load(folder: Path, device: str, precision: Precision) -> tuple[Any, Any]:
    place = find_device(device, section="seq2seq")
    _require_encoder_and_decoder(folder)
    tokenizer = load_tokenizer(folder)
    model = load_weights(
        AutoModelForSeq2SeqLM,
        folder,
        kind="a sequence-to-sequence model",
        device=place,
        precision=precision,
        expected=EXPECTED,
        remedy=REMEDY,
    )
    _name_special_tokens(model, tokenizer, folder)
    return model, tokenizer


def _require_encoder_and_decoder(folder: Path) -> None:
    """Raise ModelError where a model's config.json says that it does not read one sequence and write another."""
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder} has no config.json that can be used: {str(error).splitlines()[0]}",
            expected=EXPECTED,
            remedy=REMEDY,
        ) from error
    if not config.is_encoder_decoder:
        raise ModelError(
            f"the model in {folder} is a {config.model_type}, which is no sequence-to-sequence model",
            expected=EXPECTED,
            remedy=REMEDY,
        )


def _name_special_tokens(model: Any, tokenizer: Any, folder: Path) -> None:
    """See to it that the model knows with which tokens a text begins, ends and is padded."""
    names = model.generation_config
    if names.eos_token_id is None:
        names.eos_token_id = tokenizer.eos_token_id
    if names.pad_token_id is None:
        names.pad_token_id = tokenizer.pad_token_id
    if names.decoder_start_token_id is None:
        own = getattr(model.config, "decoder_start_token_id", None)
        names.decoder_start_token_id = names.bos_token_id if own is None else own
    missing = [
        kind
        for kind, token in {
            "end": names.eos_token_id,
            "padding": tokenizer.pad_token_id,
            "decoder's first": names.decoder_start_token_id,
        }.items()
        if token is None
    ]
    if missing:
        raise ModelError(
            f"neither the model nor the tokenizer in {folder} names the {missing[0]} token",
            expected=EXPECTED,
            remedy="save them into the folder anew, with a generation_config.json",
        )
