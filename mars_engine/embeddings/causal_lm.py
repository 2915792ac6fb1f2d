"""A causal language model with its tokenizer, loaded so that it can write."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from mars_engine.core.config import Precision
from mars_engine.core.errors import ModelError
from mars_engine.embeddings.pretrained import load_weights


def load_causal_lm(
    folder: Path, tokenizer: Any, *, device: torch.device, precision: Precision, expected: str, remedy: str = ""
) -> Any:
    """Load a causal language model in evaluation mode; it and its tokenizer then know how texts end and are padded.

    Where the model names no end token, it gets the tokenizer's; where the tokenizer has no padding token, it pads with
    its end token, which masks have to tell from text.

    Args:
        folder: the model's files.
        tokenizer: the tokenizer that it is used with.
        device: what it is put on.
        precision: "fp32", "bf16" or "auto", which is bf16 where the device is quick at it and no processor.
        expected: which models would be right, as errors say it.
        remedy: what to do about another, as errors say it; empty where nothing can be advised.

    Raises:
        ModelError: the folder holds no causal language model, it lacks weights, or nothing names the end token.
    """
    model = load_weights(
        AutoModelForCausalLM,
        folder,
        kind="a causal language model",
        device=device,
        precision=precision,
        expected=expected,
        remedy=remedy,
    )
    if model.generation_config.eos_token_id is None:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    if model.generation_config.eos_token_id is None:
        raise ModelError(
            f"neither the model nor the tokenizer in {folder} names the end token", expected=expected, remedy=remedy
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model
