"""A causal language model is loaded whole, knows how texts end and are padded, or is refused with what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_causal import save_tiny_causal

from mars_engine.core.errors import ModelError

pytestmark = pytest.mark.model

EXPECTED = "a model that writes"
REMEDY = "name another under [here]"


def load(folder: Path, **changed: Any) -> tuple[Any, Any]:
    import torch

    from mars_engine.embeddings.causal_lm import load_causal_lm
    from mars_engine.embeddings.pretrained import load_tokenizer

    tokenizer = load_tokenizer(folder)
    settings = {"device": torch.device("cpu"), "precision": "auto", "expected": EXPECTED, "remedy": REMEDY} | changed
    return load_causal_lm(folder, tokenizer, **settings), tokenizer


def change(file: Path, **settings: Any) -> None:
    """Set some settings in a file of JSON; leave out those that are None."""
    known = json.loads(file.read_text()) | settings
    file.write_text(json.dumps({name: value for name, value in known.items() if value is not None}))


def fail(folder: Path) -> str:
    with pytest.raises(ModelError) as failed:
        load(folder)
    assert (failed.value.expected, failed.value.remedy) == (EXPECTED, REMEDY)
    return failed.value.found


def test_a_model_computes_in_fp32_on_a_processor_unless_bf16_is_asked_for(tmp_path):
    folder = save_tiny_causal(tmp_path / "tiny")
    found = {precision: str(load(folder, precision=precision)[0].dtype) for precision in ("auto", "fp32", "bf16")}
    assert found == {"auto": "torch.float32", "fp32": "torch.float32", "bf16": "torch.bfloat16"}


def test_a_model_that_names_no_end_takes_the_tokenizers_and_pads_with_it(tmp_path):
    folder = save_tiny_causal(tmp_path / "tiny")
    change(folder / "generation_config.json", eos_token_id=None)
    change(folder / "config.json", eos_token_id=None)
    change(folder / "tokenizer_config.json", pad_token=None)
    model, tokenizer = load(folder)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 2
    assert tokenizer.pad_token_id == 2
    assert not model.training


def test_where_neither_names_the_end_it_is_told(tmp_path):
    folder = save_tiny_causal(tmp_path / "tiny")
    change(folder / "generation_config.json", eos_token_id=None)
    change(folder / "config.json", eos_token_id=None)
    change(folder / "tokenizer_config.json", eos_token=None)
    assert fail(folder) == f"neither the model nor the tokenizer in {folder} names the end token"


def test_weights_that_are_missing_or_damaged_are_told(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_tiny_causal(tmp_path / "tiny")
    file = folder / "model.safetensors"
    half = {name: weight for name, weight in load_file(file).items() if "layers.1" not in name}
    save_file(half, file, metadata={"format": "pt"})
    assert fail(folder).startswith(f"the model in {folder} lacks weights, such as model.layers.1.")
    file.write_bytes(b"no weights")
    assert fail(folder).startswith(f"{folder} cannot be loaded as a causal language model: ")


def test_a_tokenizer_without_a_chat_template_is_told(tmp_path):
    from mars_engine.embeddings.pretrained import load_chat_tokenizer

    with pytest.raises(ModelError, match=r"has no chat template\. Expected: chats\. What to do: name another\."):
        load_chat_tokenizer(save_tiny_causal(tmp_path, chat_template=False), expected="chats", remedy="name another")
