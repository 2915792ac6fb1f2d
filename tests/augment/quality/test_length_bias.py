"""Length bias of composed pairs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.augment.quality.length_bias import length_bias
from mars_engine.core.records import Pair

LENGTHS = st.lists(st.tuples(*[st.integers(1, 50)] * 4), min_size=1, max_size=10)


def pair(chosen: int, rejected: int) -> Pair:
    return Pair.of((), "c" * chosen, "r" * rejected)


@given(LENGTHS)
def test_it_compares_mean_differences_and_growth_is_in_size(lengths):
    sources = [pair(a, b) for a, b, _, _ in lengths]
    new = [pair(c, d) for _, _, c, d in lengths]
    found = length_bias(sources, new)
    assert found.before == pytest.approx(sum(a - b for a, b, _, _ in lengths) / len(lengths))
    assert found.after == pytest.approx(sum(c - d for _, _, c, d in lengths) / len(lengths))
    assert (found.growth_percent > 1e-9) == (abs(found.after) > abs(found.before) + 1e-9)
    assert length_bias(sources, sources).growth_percent == 0
    exchanged = length_bias([pair(b, a) for a, b, _, _ in lengths], [pair(d, c) for _, _, c, d in lengths])
    assert exchanged.growth_percent == pytest.approx(found.growth_percent)


def test_a_longer_chosen_answer_is_growth_in_percent_of_an_answer():
    found = length_bias([pair(110, 90)], [pair(130, 90)])
    assert (found.before, found.after, found.mean_length, found.growth_percent) == (20, 40, 100, 20)


def test_without_pairs_nothing_is_known_and_sides_must_match():
    assert math.isnan(length_bias([], []).growth_percent)
    with pytest.raises(ValueError, match="1 sources for 0"):
        length_bias([pair(1, 1)], [])
