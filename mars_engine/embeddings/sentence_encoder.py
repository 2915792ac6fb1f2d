"""A sentence-transformers model, or any transformer, as an encoder of passages: responses alone or in their context.

One pass gives a passage's sentence embedding, made of the last layer, and the pooled hidden states of lower ones.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mars_engine.core.batching import batches_by_length, token_budget
from mars_engine.core.config import EncoderConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.records import Float32Array, HiddenState, Passage, Prompt
from mars_engine.embeddings.context import render_context
from mars_engine.embeddings.hidden_layers import LayerReader, find_layers
from mars_engine.embeddings.model_folder import find_model_folder, fingerprint_folder
from mars_engine.embeddings.passage_tokens import PassageTokenizer, TokenizedPassage, has_chat_template

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True, eq=False)
class BatchReading:
    """What one pass over n tokenized passages gave: what was asked for, in their order."""

    sentence: Float32Array | None
    """Sentence embeddings of unit length, shape (n, d)."""
    states: dict[HiddenState, Float32Array]
    """Pooled hidden states, shape (n, d) each."""


def find_encoder_folder(name: str) -> Path:
    """Return the folder of an encoder's files; see `find_model_folder`."""
    return find_model_folder(
        name,
        purpose="encoder",
        expected="'packaged', 'packaged-lm', a folder with a sentence-transformers model, or a hub id such as "
        "owner/name",
        setting="'name' under [encoder] in mars.toml",
    )


class SentenceEncoder:
    """Encodes passages with a sentence-transformers model, or with any transformer by the mean of its tokens.

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
    def depth(self) -> int:
        """The number of the last hidden layer, by the model's config.json; 0 where it does not say."""
        for folder in (self._folder, self._folder / "0_Transformer"):
            try:
                settings = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            settings = settings.get("text_config", settings)
            found = settings.get("num_hidden_layers") or settings.get("n_layer") or settings.get("n_layers")
            if isinstance(found, int):
                return found
        return 0

    def context_of(self, prompt: Prompt) -> str:
        """Return a prompt as the encoder reads it before a response, in the tokenizer's chat template if it has one."""
        if not self._has_chat_template:
            return render_context(prompt)
        return self._passages.context_of(prompt)

    @cached_property
    def _has_chat_template(self) -> bool:
        return has_chat_template(self._folder)

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
    def _passages(self) -> PassageTokenizer:
        return PassageTokenizer(self._model.tokenizer, self._config.max_tokens, self._has_chat_template)

    def tokenize(self, passages: Sequence[Passage]) -> list[TokenizedPassage]:
        """Return the token ids of each passage, within the length limit; see `PassageTokenizer`."""
        return self._passages.tokenize(passages) if passages else []

    def plan_batches(self, rows: Sequence[TokenizedPassage]) -> list[list[int]]:
        """Return the rows' indices in batches of similar length, shortest first, each within the token budget."""
        budget = self._config.batch_tokens or token_budget(0, self._model.device.type)
        return batches_by_length([len(row.token_ids) for row in rows], budget)

    def read_batch(
        self, rows: Sequence[TokenizedPassage], *, sentence: bool, states: Sequence[HiddenState] = ()
    ) -> BatchReading:
        """Return what is asked for of one batch, in one pass that ends at the highest layer that it needs.

        Args:
            rows: tokenized passages.
            sentence: whether sentence embeddings are asked for, which need all layers.
            states: which hidden states are asked for.

        Raises:
            ModelError: the model has no such layer.
        """
        import torch

        features = self._as_tensors(rows)
        reader = self._layer_reader(rows, features, states, stop=not sentence) if states else None
        with torch.inference_mode():
            with reader.reading() if reader else nullcontext():
                output = self._forward(features, whole=sentence)
            vectors = _unit_rows(output["sentence_embedding"]) if sentence and output else None
        return BatchReading(vectors, {state: reader.rows(state) for state in states} if reader else {})

    def _as_tensors(self, rows: Sequence[TokenizedPassage]) -> "dict[str, Tensor]":
        import torch

        longest = max(len(row.token_ids) for row in rows)
        input_ids = torch.full((len(rows), longest), self._padding_id, dtype=torch.long)
        attention_mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            input_ids[index, : len(row.token_ids)] = torch.tensor(row.token_ids)
            attention_mask[index, : len(row.token_ids)] = 1
        device = self._model.device
        return {"input_ids": input_ids.to(device), "attention_mask": attention_mask.to(device)}

    def _forward(self, features: "dict[str, Tensor]", *, whole: bool) -> "dict[str, Tensor]":
        """Run the model; where not the whole of it is asked for, the transformer alone."""
        model: Any = self._model
        return dict(model(features)) if whole else dict(model[0](features))

    def _layer_reader(
        self,
        rows: Sequence[TokenizedPassage],
        features: "dict[str, Tensor]",
        states: Sequence[HiddenState],
        *,
        stop: bool,
    ) -> LayerReader:
        import torch

        model: Any = self._model
        layers = find_layers(model)
        highest = max(state.layer for state in states)
        if layers is None or highest > len(layers):
            raise ModelError(
                f"layer {highest} was asked for, and the encoder {self._folder} has "
                f"{'none that can be read' if layers is None else f'{len(layers)}'}",
                expected="layers from 0, the word embeddings, to the last",
                remedy="correct 'layers' under [probe] in mars.toml: 'auto', 'sentence', or numbers such as 1,3",
            )
        masks = {tokens: torch.zeros_like(features["attention_mask"]) for tokens in ("text", "all")}
        for index, row in enumerate(rows):
            masks["text"][index, row.text_start : row.text_end] = 1
            masks["all"][index, row.context_start : row.text_end] = 1
        return LayerReader(layers, states, masks, stop=stop)

    def read_views(
        self,
        row: TokenizedPassage,
        *,
        sentence: bool,
        states: Sequence[HiddenState],
        views: int,
        dropout_rate: float,
        seed: int,
    ) -> BatchReading:
        """Return what several passes over one passage give under the model's dropout, shape (views, d) each.

        They depend on the passage, the rate and the seed alone, never on what was encoded before.

        Raises:
            ModelError: the model has no dropout, so that all views are the same.
        """
        import torch

        dropouts = [module for module in self._model.modules() if isinstance(module, torch.nn.Dropout)]
        own_rates = [module.p for module in dropouts]
        try:
            for module in dropouts:
                module.p = dropout_rate
            self._model.train()
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                reading = self.read_batch([row] * views, sentence=sentence, states=states)
        finally:
            self._model.eval()
            for module, own_rate in zip(dropouts, own_rates, strict=True):
                module.p = own_rate
        found = [*reading.states.values(), *([] if reading.sentence is None else [reading.sentence])]
        if views > 1 and all((vectors == vectors[0]).all() for vectors in found):
            raise ModelError(
                f"the encoder {self._folder} has no dropout, so that dropout views of a text are all the same",
                expected="a model with dropout layers",
                remedy="leave the method dropout_views out, or name another encoder",
            )
        return reading

    @cached_property
    def _padding_id(self) -> int:
        """The tokenizer's padding id; any id does where it has none, since padding is masked out."""
        tokenizer: Any = self._model.tokenizer
        return int(tokenizer.pad_token_id or 0)


def _unit_rows(vectors: "Tensor") -> Float32Array:
    import torch

    rows: Float32Array = torch.nn.functional.normalize(vectors, dim=1).float().cpu().numpy()
    return rows
