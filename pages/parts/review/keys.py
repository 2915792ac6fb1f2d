"""The keys of Check and Review: their defaults, and what a workspace changed."""

import json
from collections.abc import Mapping
from pathlib import Path

from mars_engine.core.errors import ConfigError
from mars_engine.core.review_records import ItemKind
from mars_engine.core.whole_file import completed_file
from mars_engine.service.desk import Desk

KEYS_FILE = "keys.json"

DEFAULT_KEYS: dict[ItemKind, dict[str, str]] = {
    "proposal": {
        "accept": "a",
        "accept_chosen": "1",
        "accept_rejected": "2",
        "reject": "x",
        "edit": "e",
        "flag": "f",
        "skip": "s",
        "undo": "u",
        "note": "n",
        "blind": "b",
        "differences": "d",
        "help": "?",
    },
    "pair": {
        "label_right": "r",
        "flip": "f",
        "drop": "x",
        "ambiguous": "a",
        "left": "1",
        "right": "2",
        "skip": "s",
        "undo": "u",
        "note": "n",
        "blind": "b",
        "differences": "d",
        "help": "?",
    },
}
"""Key by action. In blind mode `left` and `right` say which answer is better; the arrows always look back and on."""


def load_keys(desk: Desk, kind: ItemKind) -> dict[str, str]:
    """The keys of this workspace; a file that cannot be used, or has keys that clash, counts as the defaults."""
    changed = _stored(desk).get(kind, {})
    keys = DEFAULT_KEYS[kind] | {name: key for name, key in changed.items() if name in DEFAULT_KEYS[kind]}
    try:
        validate_keys(kind, keys)
    except ConfigError:
        return dict(DEFAULT_KEYS[kind])
    return keys


def save_keys(desk: Desk, kind: ItemKind, keys: Mapping[str, str]) -> None:
    """Store the keys of this workspace, for everybody who reads in it.

    Raises:
        ConfigError: a key is missing, is no single visible character, or is given twice; nothing is stored.
    """
    validate_keys(kind, keys)
    path = _path(desk)
    path.parent.mkdir(parents=True, exist_ok=True)
    with completed_file(path) as part:
        part.write_text(json.dumps(_stored(desk) | {kind: dict(keys)}, indent=2), encoding="utf-8")


def validate_keys(kind: ItemKind, keys: Mapping[str, str]) -> None:
    """Check that every action has a key of its own.

    Raises:
        ConfigError: naming the action that has none, one that cannot be typed alone, or another's.
    """
    taken: dict[str, str] = {}
    for name in DEFAULT_KEYS[kind]:
        key = keys.get(name, "")
        if not isinstance(key, str) or len(key) != 1 or not key.isprintable() or key.isspace():
            raise ConfigError(f"the key {key!r} for {name!r} cannot be used", expected="one visible character")
        if key.lower() in taken:
            raise ConfigError(
                f"{name!r} and {taken[key.lower()]!r} have the same key {key!r}",
                expected="a key of its own for each; large and small letters count as the same",
                remedy="change one of the two",
            )
        taken[key.lower()] = name


def _path(desk: Desk) -> Path:
    return desk.workspace.artifacts / KEYS_FILE


def _stored(desk: Desk) -> dict[str, dict[str, str]]:
    try:
        stored = json.loads(_path(desk).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {kind: keys for kind, keys in stored.items() if isinstance(keys, dict)} if isinstance(stored, dict) else {}
