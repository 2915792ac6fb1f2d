"""Tiny sequence classifiers with a chat template, the same numbers in every version of transformers.

A decoder (Llama) whose tokenizer, like Llama 3's, puts its begin token before a text that has one already, and an
encoder (RoBERTa). The tokenizer knows bytes alone. All weights come from numpy, by seed and name, so that another
environment makes the same models. Nothing of the project is imported: the script that runs the official RewardBench
tool in an environment of its own uses this module too.
"""

import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

Kind = Literal["decoder", "encoder"]
SPECIAL_TOKENS = ("<s>", "</s>", "<pad>", "<unk>")
MAX_TOKENS = 4096
TURNS = "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}{{ eos_token }}{% endfor %}"
CHAT_TEMPLATES: dict[Kind, str] = {"decoder": "{{ bos_token }}" + TURNS, "encoder": TURNS}


def save_tiny_chat_model(folder: Path, kind: Kind, *, seed: int) -> Path:
    """Write a tiny model and its tokenizer to a folder, as plain transformers loads them; return the folder."""
    tokenizer = make_tokenizer(kind)
    model = make_model(kind, len(tokenizer), tokenizer.pad_token_id, seed=seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(kind: Kind) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={piece: place for place, piece in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A" if kind == "decoder" else "<s> $A </s>",
        pair="<s> $A $B" if kind == "decoder" else "<s> $A </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )
    made.chat_template = CHAT_TEMPLATES[kind]
    return made


def make_model(kind: Kind, vocabulary: int, pad_token_id: int, *, seed: int) -> Any:
    import transformers

    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_labels": 1,
        "pad_token_id": pad_token_id,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    if kind == "decoder":
        config = transformers.LlamaConfig(
            **sizes, num_key_value_heads=1, max_position_embeddings=MAX_TOKENS, tie_word_embeddings=False
        )
        model = transformers.LlamaForSequenceClassification(config)
    else:
        # RoBERTa counts positions from its pad token's id + 1.
        config = transformers.RobertaConfig(
            **sizes, max_position_embeddings=MAX_TOKENS + pad_token_id + 1, type_vocab_size=1
        )
        model = transformers.RobertaForSequenceClassification(config)
    _draw_weights(model, seed=seed, spread=1.0 if kind == "decoder" else 2.0)
    return model.eval()


def _draw_weights(model: Any, *, seed: int, spread: float) -> None:
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            drawn = rng.standard_normal(tuple(weight.shape))
            if weight.dim() == 1:
                drawn = 0.1 * drawn + (1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0)
            elif "embed" not in name:
                drawn *= spread / np.sqrt(weight.shape[1])
            weight.copy_(torch.from_numpy(drawn.astype(np.float32)))
