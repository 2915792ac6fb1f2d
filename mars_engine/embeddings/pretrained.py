"""Loading any transformer: its tokenizer, its weights, how long a text it reads, and keeping transformers quiet."""

import logging as standard_logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from mars_engine.core.config import Precision
from mars_engine.core.errors import ModelError
from mars_engine.embeddings.devices import computes_in_bf16

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "spm.model")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from drawing bars and telling which weights a checkpoint lacks, or has beside."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(standard_logging.ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer beside a model's weights.

    Raises:
        ModelError: there is none, or it cannot be loaded.
    """
    if not has_tokenizer(folder):  # transformers would make an empty one
        raise ModelError(
            f"the model in {folder} has no tokenizer",
            expected=f"one of {', '.join(TOKENIZER_FILES)} beside its weights",
            remedy="save the tokenizer into the folder: AutoTokenizer.from_pretrained(…).save_pretrained(folder)",
        )
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # tokenizers raises a plain Exception
        raise ModelError(
            f"the tokenizer in {folder} cannot be loaded: {error}", remedy="save it into the folder anew"
        ) from error


def load_chat_tokenizer(folder: Path, *, expected: str, remedy: str) -> Any:
    """Load the tokenizer beside a model's weights, which has to have a chat template.

    Args:
        folder: the model's files.
        expected: what would have been right where it has none, as the error says it.
        remedy: what to do then, as the error says it.

    Raises:
        ModelError: there is no tokenizer, it cannot be loaded, or it has no chat template.
    """
    tokenizer = load_tokenizer(folder)
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(f"the tokenizer in {folder} has no chat template", expected=expected, remedy=remedy)
    return tokenizer


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer was saved into a folder."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def load_weights(
    architecture: Any,
    folder: Path,
    *,
    kind: str,
    device: torch.device,
    precision: Precision,
    expected: str,
    remedy: str = "",
) -> Any:
    """Load a model whose weights are all there, in evaluation mode, to compute outside training.

    Args:
        architecture: a class of transformers, such as AutoModelForCausalLM.
        folder: the model's files.
        kind: what that class loads, as errors say it: "a causal language model".
        device: what the model is put on.
        precision: "fp32", "bf16" or "auto"; see `computes_in_bf16`.
        expected: which models would be right, as errors say it.
        remedy: what to do about another, as errors say it; empty where nothing can be advised.

    Raises:
        ModelError: the folder holds no such model, or it lacks weights.
    """
    dtype = torch.bfloat16 if computes_in_bf16(precision, device) else torch.float32
    try:
        with quiet_transformers():
            model, report = architecture.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    except Exception as error:  # safetensors, torch and transformers raise kinds of their own
        raise ModelError(
            f"{folder} cannot be loaded as {kind}: {str(error).splitlines()[0]}", expected=expected, remedy=remedy
        ) from error
    if report["missing_keys"]:
        raise ModelError(
            f"the model in {folder} lacks weights, such as {sorted(report['missing_keys'])[0]}",
            expected=expected,
            remedy=remedy,
        )
    return model.to(device).eval()


def most_positions(model: PreTrainedModel) -> int | None:
    """Return how many tokens a transformer takes at most; None where it does not say, or goes by distances."""
    config: Any = model.config.get_text_config()
    table: Any = next(
        (module for name, module in model.named_modules() if name.endswith("embeddings.position_embeddings")), None
    )
    if table is not None:
        # RoBERTa and its kin count positions from the padding id on.
        return int(table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1))
    if getattr(config, "relative_attention", False):
        return None  # DeBERTa-v2 and v3 go by distances, of which the far ones share a bucket
    return getattr(config, "max_position_embeddings", None)
