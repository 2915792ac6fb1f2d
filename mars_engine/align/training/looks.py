"""Looks at a policy in training as they are kept, to be read without torch."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mars_engine.align.training.guards import Look
from mars_engine.core.records import FloatArray
from mars_engine.core.whole_folder import replace_text

LOOKS_FILE = "samples.jsonl"
REFERENCE_SHEET, NEWEST_SHEET = "reference.json", "newest.json"
"""The answers of the first and the newest look, in AlpacaEval's format."""


def load_looks(folder: Path) -> list[Look]:
    """Return the looks that are kept in a folder, oldest first; none where there is no file of them."""
    path = folder / LOOKS_FILE
    return list(map(_look_of, path.read_text(encoding="utf-8").splitlines())) if path.is_file() else []


def save_looks(folder: Path, looks: Sequence[Look]) -> None:
    """Write all looks, in the place of those that were there."""
    replace_text(folder / LOOKS_FILE, "".join(f"{json.dumps(_as_plain(look))}\n" for look in looks))


def _as_plain(look: Look) -> dict[str, Any]:
    return {
        "step": look.step,
        "completions": list(look.texts),
        "rewards": look.rewards.tolist(),
        "kl": look.kl.tolist(),
        **{name: None if values is None else values.tolist() for name, values in _measured(look).items()},
    }


def _measured(look: Look) -> dict[str, FloatArray | None]:
    """Return what not every look has."""
    return {"gold": look.gold, "distance": look.distance, "disagreement": look.disagreement}


def _look_of(line: str) -> Look:
    fields = json.loads(line)
    return Look(
        step=fields["step"],
        texts=tuple(fields["completions"]),
        rewards=np.array(fields["rewards"]),
        kl=np.array(fields["kl"]),
        gold=_values(fields, "gold"),
        distance=_values(fields, "distance"),
        disagreement=_values(fields, "disagreement"),
    )


def _values(fields: Mapping[str, Any], name: str) -> FloatArray | None:
    """Return what a look measured; None where it did not, or was kept before that was measured."""
    return None if fields.get(name) is None else np.array(fields[name], dtype=np.float64)
