from types import SimpleNamespace
from typing import Any

import pytest

from mars_engine.core.errors import ConfigError
from pages.parts.card import FOLDER
from pages.parts.review.keys import DEFAULT_KEYS, KEYS_FILE, load_keys, save_keys, validate_keys


@pytest.fixture
def desk(tmp_path) -> Any:
    return SimpleNamespace(workspace=SimpleNamespace(artifacts=tmp_path / "artifacts"))


@pytest.mark.parametrize("kind", ["pair", "proposal"])
def test_the_defaults_are_one_key_each_and_known_to_the_card(kind, desk):
    validate_keys(kind, DEFAULT_KEYS[kind])
    assert load_keys(desk, kind) == DEFAULT_KEYS[kind]
    words = (FOLDER / "words.js").read_text(encoding="utf-8")
    assert all(f"{name}:" in words for name in DEFAULT_KEYS[kind])


def test_changed_keys_are_kept_for_their_kind_alone(desk):
    changed = DEFAULT_KEYS["proposal"] | {"accept": "y"}
    save_keys(desk, "proposal", changed)
    save_keys(desk, "pair", DEFAULT_KEYS["pair"] | {"flip": "!"})
    assert load_keys(desk, "proposal") == changed
    assert load_keys(desk, "pair")["flip"] == "!"


@pytest.mark.parametrize("key", ["", "ab", " ", "\n", "\x07"])
def test_what_is_no_single_visible_character_is_refused(key, desk):
    with pytest.raises(ConfigError, match="accept"):
        save_keys(desk, "proposal", DEFAULT_KEYS["proposal"] | {"accept": key})
    assert load_keys(desk, "proposal") == DEFAULT_KEYS["proposal"]


def test_a_key_given_twice_is_refused_large_or_small(desk):
    with pytest.raises(ConfigError, match="'reject' and 'accept'"):
        save_keys(desk, "proposal", DEFAULT_KEYS["proposal"] | {"reject": "A"})


@pytest.mark.parametrize("content", ["no json", "[]", '{"proposal": 3}', '{"proposal": {"accept": "x"}}'])
def test_a_file_that_cannot_be_used_counts_as_the_defaults(content, desk):
    desk.workspace.artifacts.mkdir()
    (desk.workspace.artifacts / KEYS_FILE).write_text(content)
    assert load_keys(desk, "proposal") == DEFAULT_KEYS["proposal"]
