"""Numbers fixed by an id and a seed."""

import numpy as np

from mars_engine.core.records import content_id
from mars_engine.stats.fixed_draws import fixed_numbers

IDS = np.array([content_id(number) for number in range(20_000)], dtype="S24")


def test_an_id_has_the_same_number_wherever_it_stands_and_however_wide_the_array_is():
    numbers = fixed_numbers(IDS, "seed")
    assert (fixed_numbers(IDS[::-1], "seed")[::-1] == numbers).all()
    assert (fixed_numbers(IDS[:5].astype("S77"), "seed") == numbers[:5]).all()


def test_numbers_are_even_and_independent_of_the_seed():
    first, second = fixed_numbers(IDS, "ada"), fixed_numbers(IDS, "bob")
    assert len(np.unique(first)) == len(IDS)
    for share in (1, 10, 50):
        assert abs((first % np.uint64(100) < share).mean() - share / 100) < 0.015
    agree = ((first & np.uint64(1)) == (second & np.uint64(1))).mean()
    assert abs(agree - 0.5) < 0.02


def test_no_ids_have_no_numbers():
    assert len(fixed_numbers(np.array((), dtype="S24"), "seed")) == 0
