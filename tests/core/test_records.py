"""Records: ids that come from content and never move."""

import hashlib
import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.records import (
    ID_LENGTH,
    GeneratorCard,
    Pair,
    Rewards,
    TrainingSet,
    Turn,
    content_id,
    prompt_id,
    same_text,
)

PROMPT = (Turn("user", "What is 2 + 2?"), Turn("assistant", "4"), Turn("user", "And\n3 + 3?"))
CHOSEN, REJECTED = "6.", "It is 7 — naïvely."
PAIR = Pair.of(PROMPT, CHOSEN, REJECTED)

texts = st.text(max_size=5)
turns = st.builds(Turn, st.sampled_from(["user", "assistant"]), texts)
pair_parts = st.tuples(st.lists(turns, max_size=3), texts, texts)


# --------------------------------------------------------------------------------------------------------------- ids


def test_a_pairs_id_never_moves():
    """Stored workspaces and exported files hold these ids: a change of one would orphan every review of it."""
    assert PAIR.id == "f7210e090aa1e7cf45cadc87"
    assert PAIR.prompt_id == "d4771e93a00cfb374e5fcd71"


def test_a_pairs_id_is_the_digest_of_its_canonical_json():
    canonical = (
        '[[["user","What is 2 + 2?"],["assistant","4"],["user","And\\n3 + 3?"]],"6.","It is 7 — naïvely."]'.encode()
    )
    assert PAIR.id == hashlib.sha256(canonical).hexdigest()[:24]


def test_an_id_is_24_hexadecimal_digits():
    assert re.fullmatch(r"[0-9a-f]{24}", PAIR.id)
    assert len(content_id()) == ID_LENGTH == 24


def test_subset_and_attributes_do_not_change_the_id():
    described = Pair.of(PROMPT, CHOSEN, REJECTED, subset="maths", attributes={"chosen_model": "m", "score": 0.5})
    assert described.id == PAIR.id
    assert described.attributes == {"chosen_model": "m", "score": 0.5}
    assert described == Pair.of(PROMPT, CHOSEN, REJECTED, subset="maths")


@pytest.mark.parametrize(
    "other",
    [
        Pair.of(PROMPT[::-1], CHOSEN, REJECTED),
        Pair.of(PROMPT[:2], CHOSEN, REJECTED),
        Pair.of((), CHOSEN, REJECTED),
        Pair.of((replace(PROMPT[0], role="system"), *PROMPT[1:]), CHOSEN, REJECTED),
        Pair.of((Turn("user", "".join(turn.content for turn in PROMPT)),), CHOSEN, REJECTED),
        Pair.of((*PROMPT[:2], Turn("user", "And 3 + 3?")), CHOSEN, REJECTED),
        Pair.of(PROMPT, CHOSEN, REJECTED.upper()),
        Pair.of(PROMPT, CHOSEN, REJECTED.replace("ï", "i\u0308")),
        Pair.of(PROMPT, REJECTED, CHOSEN),
    ],
    ids=[
        "turns reversed",
        "a turn less",
        "no prompt",
        "another role",
        "turns joined",
        "a newline collapsed",
        "another case",
        "another normal form",
        "sides exchanged",
    ],
)
def test_every_difference_in_content_gives_another_id(other):
    assert other.id != PAIR.id


@pytest.mark.parametrize(
    "respelled",
    [
        lambda text: f"{text} ",
        lambda text: f"{text}\n\n",
        lambda text: f"\n {text}",
        lambda text: text.replace("\n", "\r\n"),
    ],
    ids=["a space at the end", "blank lines at the end", "blanks at the beginning", "CRLF"],
)
def test_spelling_that_says_the_same_gives_the_same_id_and_keeps_the_texts(respelled):
    prompt = [replace(turn, content=respelled(turn.content)) for turn in PROMPT]
    other = Pair.of(prompt, respelled(CHOSEN), respelled(REJECTED))
    assert (other.id, other.prompt_id) == (PAIR.id, PAIR.prompt_id)
    assert (other.chosen, other.rejected) == (respelled(CHOSEN), respelled(REJECTED))


@given(pair_parts, pair_parts)
def test_two_pairs_have_one_id_exactly_when_they_say_the_same(first, second):
    def said(parts):
        prompt, chosen, rejected = parts
        return [(turn.role, same_text(turn.content)) for turn in prompt], same_text(chosen), same_text(rejected)

    assert (Pair.of(*first).id == Pair.of(*second).id) == (said(first) == said(second))


@given(pair_parts)
def test_pairs_built_twice_are_equal_and_share_their_prompts_id(parts):
    first, second = Pair.of(*parts), Pair.of(*parts)
    assert first == second
    assert hash(first) == hash(second)
    assert first.prompt_id == prompt_id(tuple(parts[0])) == Pair.of(parts[0], "x", "y").prompt_id, same_text


def test_text_cannot_slide_from_one_field_into_the_next():
    assert Pair.of((), "ab", "c").id != Pair.of((), "a", "bc").id
    assert content_id("a", "b") != content_id(["a", "b"]) != content_id('["a","b"]')


def test_the_order_of_settings_does_not_change_an_id():
    assert content_id({"a": 1, "b": [2, None]}) == content_id({"b": [2, None], "a": 1})
    assert content_id([1, 2]) != content_id([2, 1])


def test_half_a_surrogate_pair_has_an_id_too():
    assert content_id("\ud800") != content_id("\ud801")


def test_a_pairs_prompt_may_come_in_a_list_and_is_kept_as_a_tuple():
    pair = Pair.of(list(PROMPT), CHOSEN, REJECTED)
    assert pair.prompt == PROMPT
    assert pair == PAIR


def test_attributes_are_the_pairs_own_copy():
    attributes: dict = {"a": 1}
    pair = Pair.of(PROMPT, CHOSEN, REJECTED, attributes=attributes)
    attributes["a"] = 2
    assert pair.attributes == {"a": 1}


def test_records_never_change():
    with pytest.raises(FrozenInstanceError):
        PAIR.chosen = "other"


# ---------------------------------------------------------------------------------------------- sets, rewards, cards


def test_margins_are_chosen_minus_rejected():
    assert Rewards(np.array([1.0, 2.0]), np.array([3.0, 0.5])).margins.tolist() == [-2.0, 1.5]


def test_a_plain_training_set_believes_every_label_equally():
    plain = TrainingSet.plain([PAIR, PAIR])
    assert plain.pairs == (PAIR, PAIR)
    assert plain.weights.tolist() == plain.label_confidence.tolist() == [1.0, 1.0]
    assert plain.weights is not plain.label_confidence


def test_a_training_sets_fingerprint_covers_pairs_order_weights_and_confidence():
    other = Pair.of(PROMPT, "six", REJECTED)
    plain = TrainingSet.plain([PAIR, other])
    variants = [
        plain,
        TrainingSet.plain([other, PAIR]),
        TrainingSet.plain([PAIR]),
        replace(plain, weights=np.array([1.0, 1.0 + 1e-15])),
        replace(plain, label_confidence=np.array([1.0, 0.0])),
    ]
    assert len({each.fingerprint for each in variants}) == len(variants)
    assert TrainingSet.plain([PAIR, other]).fingerprint == plain.fingerprint


def test_a_generators_fingerprint_covers_what_it_writes_by_and_not_its_note():
    card = GeneratorCard("rules", "1", {"seed": 1, "depth": 2}, stand_in=True, note="a note")
    assert replace(card, note="another note").fingerprint == card.fingerprint
    assert replace(card, settings={"depth": 2, "seed": 1}).fingerprint == card.fingerprint
    others = [replace(card, name="x"), replace(card, version="2"), replace(card, settings={"seed": 2, "depth": 2})]
    assert len({each.fingerprint for each in [card, *others]}) == 4
