"""Tiny random transformers with a tokenizer of their own, saved as backbones without a head."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

Architecture = Literal["deberta-v2", "roberta", "modernbert", "llama", "gpt2"]
ARCHITECTURES: tuple[Architecture, ...] = ("deberta-v2", "roberta", "modernbert", "llama")
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>")
POSITIONS = 128
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "[{{ message['role'] }}] {{ message['content'] | trim }}{{ eos_token }}{% endfor %}"
)


def save_tiny_backbone(folder: Path, architecture: Architecture, texts: Iterable[str], *, pad: bool = True) -> Path:
    """Write a tiny backbone and its tokenizer, trained on some texts; return the folder."""
    import torch

    tokenizer = make_tokenizer(texts, is_decoder=architecture in ("llama", "gpt2"), pad=pad)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make_backbone(architecture, len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(texts: Iterable[str], *, is_decoder: bool, pad: bool = True) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A" if is_decoder else "<s> $A </s>",
        pair="<s> $A $B" if is_decoder else "<s> $A </s> $B </s>",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>" if pad else None,
        model_input_names=["input_ids", "attention_mask"],
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def make_backbone(architecture: Architecture, vocabulary: int) -> Any:
    import transformers

    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "max_position_embeddings": POSITIONS,
        "initializer_range": 0.2,
    }
    if architecture == "gpt2":
        sizes["n_inner"] = sizes.pop("intermediate_size")
        return transformers.GPT2Model(transformers.GPT2Config(**sizes))
    if architecture == "llama":
        return transformers.LlamaModel(transformers.LlamaConfig(**sizes, num_key_value_heads=1))
    if architecture == "modernbert":
        return transformers.ModernBertModel(transformers.ModernBertConfig(**sizes, cls_token_id=1, sep_token_id=2))
    if architecture == "roberta":
        return transformers.RobertaModel(transformers.RobertaConfig(**sizes, type_vocab_size=1))
    relative = {"relative_attention": True, "position_buckets": 16, "share_att_key": True, "pos_att_type": "p2c|c2p"}
    return transformers.DebertaV2Model(
        transformers.DebertaV2Config(
            **sizes, **relative, norm_rel_ebd="layer_norm", position_biased_input=False, type_vocab_size=0
        )
    )
