"""What loading any transformer takes: its tokenizer, how long a text it reads, and keeping transformers quiet."""

import logging as standard_logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from mars_engine.core.errors import ModelError

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


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer was saved into a folder."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


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
