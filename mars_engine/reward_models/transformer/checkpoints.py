"""Checkpoints of a training that was interrupted: which of them are whole, and can be gone on from."""

import json
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

STATE_FILE = "trainer_state.json"
"""Written last, so that a checkpoint that has it whole has all."""
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
TORCH_SUFFIXES = (".pt", ".pth", ".bin")
"""Of files that torch.save writes, which are zip archives: optimizer, scheduler, random states, arguments."""
PREFIX = "checkpoint-"


def last_whole_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, None where there is none; those that are not whole are removed.

    A damaged one makes way for the one before it: nobody could go on from it.
    """
    whole = []
    for checkpoint in folder.glob(f"{PREFIX}*"):
        if is_whole(checkpoint):
            whole.append(checkpoint)
        else:  # its writer was killed, or the disk was full
            shutil.rmtree(checkpoint)
    return max(whole, key=step_of, default=None)


def checkpoint_at(folder: Path, step: int) -> Path:
    return folder / f"{PREFIX}{step}"


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def is_whole(checkpoint: Path) -> bool:
    """Whether a training can go on from there: all files are there, and none was cut short."""
    try:
        state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
        has_weights = any((checkpoint / name).is_file() for name in WEIGHT_FILES)
        is_sound = all(_is_sound(path) for path in checkpoint.rglob("*") if path.is_file())
    except (OSError, ValueError):
        return False
    return has_weights and is_sound and checkpoint.name == f"{PREFIX}{state.get('global_step')}"


def _is_sound(path: Path) -> bool:
    """Whether a file of weights or states has both ends of its format; of other files nothing is known."""
    if path.suffix in TORCH_SUFFIXES:
        return zipfile.is_zipfile(path)
    if path.suffix != ".safetensors":
        return True
    try:
        with safe_open(path, framework="numpy"):  # it compares the header with the length of the file
            return True
    except SafetensorError:
        return False
