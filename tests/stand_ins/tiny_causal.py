"""A tiny random Llama that answers chats with noise, saved as transformers saves any model."""

from pathlib import Path
from typing import Any

from tiny_transformers import make_tokenizer

POSITIONS = 4096
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)
TEXTS = ["You rewrite texts for research on preference data. Answer with one JSON object and nothing else."] * 4


def save_tiny_causal(folder: Path, *, seed: int = 0, chat_template: bool = True, ends_soon: bool = False) -> Path:
    """Write a tiny causal language model and its tokenizer to a folder; return the folder.

    With `ends_soon`, a quarter of its tokens end an answer, so that its answers are short and whole.
    """
    import torch
    import transformers

    tokenizer: Any = make_tokenizer(TEXTS, is_decoder=True)
    tokenizer.chat_template = CHAT_TEMPLATE if chat_template else None
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        max_position_embeddings=POSITIONS,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config)
    if ends_soon:
        model.generation_config.eos_token_id = [2, *range(4, len(tokenizer), 4)]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
