"""A sentence-transformers model as an encoder of passages: responses alone, or in the context of their prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mars_engine.words.config import EncoderConfig
from mars_engine.words.errors import ConfigError, ModelError
from mars_engine.words.records import Embeddings, Float32Array, IntArray, Passage
from mars_engine.world.batching import batches_by_length, token_budget
from mars_engine.world.model_folder import find_model_folder, fingerprint_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, slots=True)
class TokenizedPassage:
    """Token ids with special tokens, and how many tokens were cut to fit the length limit."""

    token_ids: tuple[int, ...]
    context_tokens_cut: int
    text_tokens_cut: int


def find_encoder_folder(name: str) -> Path:
    """Return the folder of an encoder's files; see `find_model_folder`."""
    return find_model_folder(
        name,
        purpose="encoder",
        expected="'packaged', a folder with a sentence-transformers model, or a hub id such as owner/name",
        setting="'name' under [encoder] in mars.toml",
    )


class SentenceEncoder:
    """Encodes passages with a sentence-transformers model.

    Nothing heavy is loaded before the first passage is tokenized, so that a process whose embeddings are all cached
    never imports torch.

    Raises:
        ModelError: at construction, when the model's files are missing or altered; at first use, when they cannot be
            loaded on the configured device.
        ConfigError: at first use, when the length limit is more than the model can take.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self._config = config
        self._folder = find_encoder_folder(config.name)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files and the length limit, first 24 digits."""
        return fingerprint_folder(self._folder, beside=f"max_tokens={self._config.max_tokens}")

    @cached_property
    def _model(self) -> "SentenceTransformer":
        import torch
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        device = None if self._config.device == "auto" else self._config.device
        try:
            model = SentenceTransformer(str(self._folder), device=device, model_kwargs={"dtype": torch.float32})
        except (OSError, ValueError, RuntimeError, AssertionError, SafetensorError) as error:
            # torch asserts that it was built with CUDA
            raise ModelError(
                f"{self._folder} cannot be loaded as a sentence encoder: {error}",
                expected="a sentence-transformers model",
                remedy="check 'name' and 'device' under [encoder] in mars.toml",
            ) from error
        self._require_positions(model)
        return model.eval()

    def _require_positions(self, model: "SentenceTransformer") -> None:
        """Raise ConfigError where the length limit exceeds the positions that the model has learned."""
        transformer: Any = model[0]
        table: Any = getattr(getattr(transformer.auto_model, "embeddings", None), "position_embeddings", None)
        if table is None:
            return
        # RoBERTa and its kin count positions from the padding id on.
        positions = table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        if self._config.max_tokens > positions:
            raise ConfigError(
                f"encoder.max_tokens = {self._config.max_tokens}, but {self._folder} takes {positions} tokens at most",
                expected=f"a number from 16 to {positions}",
                remedy="lower max_tokens under [encoder] in mars.toml",
            )

    @cached_property
    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text, as the tokenizer itself would add them."""
        tokenizer: Any = self._model.tokenizer
        plain = tokenizer("a", add_special_tokens=False)["input_ids"]
        full = tokenizer("a")["input_ids"]
        start = next(i for i in range(len(full)) if full[i : i + len(plain)] == plain)
        return full[:start], full[start + len(plain) :]

    def tokenize(self, passages: Sequence[Passage]) -> list[TokenizedPassage]:
        """Return the token ids of each passage, within the length limit.

        The context is cut from the left; the text is cut, from the right, only where it alone exceeds the limit.
        """
        if not passages:
            return []
        texts = self._token_ids([passage.text for passage in passages])
        contexts = self._token_ids([passage.context for passage in passages])
        before, after = self._special_tokens
        room = self._config.max_tokens - len(before) - len(after)
        rows = []
        for context, text in zip(contexts, texts, strict=True):
            kept_text = text[:room]
            kept_context = context[max(0, len(context) - (room - len(kept_text))) :]
            rows.append(
                TokenizedPassage(
                    (*before, *kept_context, *kept_text, *after),
                    context_tokens_cut=len(context) - len(kept_context),
                    text_tokens_cut=len(text) - len(kept_text),
                )
            )
        return rows

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        tokenizer: Any = self._model.tokenizer
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return ids

    def plan_batches(self, rows: Sequence[TokenizedPassage]) -> list[list[int]]:
        """Return the rows' indices in batches of similar length, shortest first, each within the token budget."""
        budget = self._config.batch_tokens or token_budget(0, self._model.device.type)
        return batches_by_length([len(row.token_ids) for row in rows], budget)

    def encode_batch(self, rows: Sequence[TokenizedPassage]) -> Embeddings:
        """Return the embeddings of one batch, unit length, in float32."""
        import torch

        longest = max(len(row.token_ids) for row in rows)
        input_ids = torch.full((len(rows), longest), self._padding_id, dtype=torch.long)
        attention_mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            input_ids[index, : len(row.token_ids)] = torch.tensor(row.token_ids)
            attention_mask[index, : len(row.token_ids)] = 1
        device = self._model.device
        features = {"input_ids": input_ids.to(device), "attention_mask": attention_mask.to(device)}
        with torch.inference_mode():
            output = self._model(features)["sentence_embedding"]
            vectors = torch.nn.functional.normalize(output, dim=1).float().cpu().numpy()
        return Embeddings(
            vectors,
            context_tokens_cut=_as_counts([row.context_tokens_cut for row in rows]),
            text_tokens_cut=_as_counts([row.text_tokens_cut for row in rows]),
        )

    def encode_views(self, row: TokenizedPassage, *, views: int, dropout_rate: float, seed: int) -> Float32Array:
        """Return embeddings of one passage under the model's dropout, unit length, shape (views, d).

        They depend on the passage, the rate and the seed alone, never on what was encoded before.

        Raises:
            ModelError: the model has no dropout, so that all views are the same.
        """
        import torch

        dropouts = [module for module in self._model.modules() if isinstance(module, torch.nn.Dropout)]
        own_rates = [module.p for module in dropouts]
        device = self._model.device
        input_ids = torch.tensor(row.token_ids, device=device).repeat(views, 1)
        features = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
        try:
            for module in dropouts:
                module.p = dropout_rate
            with torch.random.fork_rng(), torch.inference_mode():
                torch.manual_seed(seed)
                output = self._model.train()(features)["sentence_embedding"]
        finally:
            self._model.eval()
            for module, own_rate in zip(dropouts, own_rates, strict=True):
                module.p = own_rate
        vectors: Float32Array = torch.nn.functional.normalize(output, dim=1).float().cpu().numpy()
        if (vectors == vectors[0]).all():
            raise ModelError(
                f"the encoder {self._folder} has no dropout, so that dropout views of a text are all the same",
                expected="a model with dropout layers",
                remedy="leave the method dropout_views out, or name another encoder",
            )
        return vectors

    @cached_property
    def _padding_id(self) -> int:
        """The tokenizer's padding id; any id does where it has none, since padding is masked out."""
        tokenizer: Any = self._model.tokenizer
        return int(tokenizer.pad_token_id or 0)


def _as_counts(values: list[int]) -> IntArray:
    return np.array(values, dtype=np.int64)
