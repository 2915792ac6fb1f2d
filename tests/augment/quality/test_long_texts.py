"""Texts that are longer than the encoder reads are compared to their ends."""

from dataclasses import dataclass

import numpy as np
import pytest
from fakes import BagOfWordsEncoder
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.augment.quality.gates import similarity
from mars_engine.augment.quality.long_texts import embed_texts
from mars_engine.augment.quality.text_facts import in_pieces
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Embeddings, Passage

WORDS = 20
"""That the encoder here reads of a text."""


@dataclass
class ShortSighted(BagOfWordsEncoder):
    def encode(self, passages, *, progress) -> Embeddings:
        words = [passage.text.split() for passage in passages]
        read = [Passage(" ".join(each[:WORDS])) for each in words]
        found = super().encode(read, progress=progress)
        return Embeddings(
            found.vectors, found.context_tokens_cut, np.array([max(0, len(each) - WORDS) for each in words])
        )


def embedded(*families):
    return embed_texts(ShortSighted(), families, progress=SilentProgress())


def sentences(*topics: str) -> str:
    return " ".join(f"{topic} {topic}a {topic}b {topic}c {topic}d." for topic in topics)


BEGINNING = [f"topic{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("end", "is_alike"),
    [(["cat", "dog"], True), (["mob", "torch"], False), ([], False)],
)
def test_what_becomes_of_the_end_of_a_long_text_is_seen(end, is_alike):
    base, new = sentences(*BEGINNING, "cat", "dog"), sentences(*BEGINNING, *end)
    found = embedded((base, new))
    assert float(found.whole[base] @ found.whole[new]) == pytest.approx(1), "the encoder reads no further"
    assert (similarity(found.pieces(base), found.pieces(new)) > 0.99) == is_alike


def test_a_text_that_is_read_to_its_end_is_one_piece_unless_it_is_compared_with_a_long_one():
    short, long = sentences("cat"), sentences(*BEGINNING)
    assert embedded((short,)).pieces(short).shape[0] == 1
    found = embedded((short, long))
    assert found.pieces(long).shape[0] == 2
    assert found.pieces(short).shape[0] == 2
    assert similarity(found.pieces(short), found.pieces(short)) == pytest.approx(1)


def test_nothing_is_embedded_where_there_is_nothing():
    assert embedded().whole == {}


@given(text=st.text(max_size=300), halvings=st.integers(0, 5))
def test_pieces_are_the_text(text, halvings):
    pieces = in_pieces(text, halvings)
    assert 1 <= len(pieces) <= 2**halvings
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_text_is_cut_where_a_line_or_a_sentence_ends():
    assert in_pieces("One two three.\nFour five six.", 1) == ["One two three.\n", "Four five six."]
    assert in_pieces("One two three. Four five six. Seven", 1) == ["One two three. ", "Four five six. Seven"]
    assert in_pieces("x" * 10, 1) == ["x" * 5, "x" * 5]
