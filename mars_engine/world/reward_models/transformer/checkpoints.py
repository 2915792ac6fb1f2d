"""Checkpoints of a training that was interrupted: which of them are whole, and can be gone on from."""

import json
import shutil
from pathlib import Path

STATE_FILE = "trainer_state.json"
"""Written last, so that a checkpoint that has it whole has all."""
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
PREFIX = "checkpoint-"


def last_whole_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, None where there is none; those that are not whole are removed."""
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
    try:
        state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    has_weights = any((checkpoint / name).is_file() for name in WEIGHT_FILES)
    return has_weights and checkpoint.name == f"{PREFIX}{state.get('global_step')}"
