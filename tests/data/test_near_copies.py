"""Near copies by shingles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.data.near_copies import SHINGLE, ShingleIndex, shingles

LONG = st.text("abcdefghij ", min_size=60, max_size=200).filter(lambda text: len(text.replace(" ", "")) > 2 * SHINGLE)


@given(st.text())
def test_shingles_are_sorted_each_once_and_blind_to_case_and_blanks(text):
    found = shingles(text)
    letters = [each for each in text.casefold() if each.isalnum()]
    assert len(found) <= max(len(letters) - SHINGLE + 1, min(len(letters), 1))
    assert np.all(np.diff(found.astype(object)) > 0)
    assert np.array_equal(found, shingles(f" {text}\n!"))


def test_hashes_are_those_of_every_machine():
    assert shingles("The quick brown fox").tolist()[0] == shingles("the QUICK, brown fox!").tolist()[0]
    assert int(shingles("a")[0]) == ord("a")


@given(text=LONG, before=st.text("klmnop", max_size=30), after=st.text("qrstuv", max_size=30))
def test_a_text_that_stands_in_another_is_found_whole(text, before, after):
    index = ShingleIndex.of(["another text altogether, which shares nothing", f"{before} {text} {after}", ""])
    found = index.overlap(text)
    assert (found.share, found.place) == (1.0, 1)


@given(st.lists(LONG, max_size=4), LONG)
def test_the_share_is_that_of_the_set_of_shingles(texts, text):
    own = set(shingles(text).tolist())
    shares = [len(own & set(shingles(other).tolist())) / len(own) for other in texts]
    found = ShingleIndex.of(texts).overlap(text)
    assert found.share == max(shares, default=0.0)
    if found.share:
        assert shares[found.place] == found.share


def test_nothing_overlaps_with_nothing():
    assert ShingleIndex.of([]).overlap("a text").share == 0
    assert ShingleIndex.of(["a text"]).overlap("").share == 0
    assert ShingleIndex.of(["", "  "]).overlap("a text").place == -1
