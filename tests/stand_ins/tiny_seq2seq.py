"""Tiny random sequence-to-sequence models, with tokenizers trained on the texts of a test."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tiny_transformers import make_tokenizer

ENDS_AFTER = (12, 1.2)
"""From so many tokens on, the end gets ever likelier: a random model would hardly ever come to it."""
POSITIONS = 64


def save_tiny_t5(folder: Path, texts: Iterable[str], *, seed: int = 0, spiece_alone: bool = False) -> Path:
    """Write a tiny random T5 and its tokenizer, trained on some texts as T5's was; return the folder.

    Args:
        folder: where to write them.
        texts: what the tokenizer is trained on; letters that they lack are unknown to it.
        seed: of the weights.
        spiece_alone: leave the tokenizer as sentencepiece wrote it, without a tokenizer.json.
    """
    import torch
    from transformers import AutoTokenizer, GenerationConfig, T5Config, T5ForConditionalGeneration

    folder.mkdir(parents=True, exist_ok=True)
    _train_spiece(folder / "spiece.model", texts)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}')
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not spiece_alone:
        tokenizer.save_pretrained(folder)
        (folder / "spiece.model").unlink()
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=48,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = T5ForConditionalGeneration(config)
    _save(model, folder, GenerationConfig)
    return folder


def save_tiny_bart(folder: Path, texts: Iterable[str], *, seed: int = 0) -> Path:
    """Write a tiny random BART, which has learned positions and a tokenizer of bytes; return the folder."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

    tokenizer = make_tokenizer(texts, is_decoder=False)
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=POSITIONS,
        init_std=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BartForConditionalGeneration(config)
    tokenizer.save_pretrained(folder)
    _save(model, folder, GenerationConfig)
    return folder


def _train_spiece(path: Path, texts: Iterable[str]) -> None:
    import sentencepiece

    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=file,
            vocab_size=300,
            hard_vocab_limit=False,
            character_coverage=1.0,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )


def _save(model: Any, folder: Path, generation_config: Any) -> None:
    model.generation_config = generation_config.from_model_config(model.config)
    model.generation_config.exponential_decay_length_penalty = ENDS_AFTER
    model.save_pretrained(folder)
