"""The grid of variants: every cell once, in an order whose beginnings use the texts evenly."""

from collections import Counter
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from mars_engine.maths.composition import ORIGINAL, Cell, grid_size, spread_cells, take_cells

variants = st.integers(0, 24)


def test_grid_size_by_hand():
    assert grid_size(0, 0) == 0
    assert grid_size(5, 0) == 5
    assert grid_size(5, 5) == 35


def test_a_small_grid_by_hand():
    assert list(spread_cells(0, 0)) == []
    assert list(spread_cells(1, 1)) == [(1, 1), (0, 1), (1, 0)]
    assert list(spread_cells(2, 1)) == [(1, 1), (2, 0), (0, 1), (1, 0), (2, 1)]
    assert list(spread_cells(1, 2)) == [(1, 1), (0, 2), (1, 0), (0, 1), (1, 2)]


@given(variants, variants)
def test_every_cell_but_the_original_comes_once(chosen: int, rejected: int):
    cells = list(spread_cells(chosen, rejected))
    assert len(cells) == grid_size(chosen, rejected)
    assert {*cells, ORIGINAL} == {(row, column) for row in range(chosen + 1) for column in range(rejected + 1)}
    assert ORIGINAL not in cells


def widest_spread(cells: list[Cell], side: int, texts: int) -> int:
    """The most by which the uses of two texts of a side differ, over all beginnings of `cells`."""
    uses = Counter(dict.fromkeys(range(texts), 0))

    def spread_after(_: int, cell: Cell) -> int:
        uses[cell[side]] += 1
        return max(uses.values()) - min(uses.values())

    return max(accumulate(cells, spread_after, initial=0))


@given(variants, variants)
def test_any_first_cells_use_the_texts_evenly(chosen: int, rejected: int):
    cells = list(spread_cells(chosen, rejected))
    spreads = (widest_spread(cells, 0, chosen + 1), widest_spread(cells, 1, rejected + 1))
    on_longer, on_shorter = spreads if chosen >= rejected else spreads[::-1]
    longer, shorter = max(chosen, rejected) + 1, min(chosen, rejected) + 1
    left_over = longer % shorter
    assert on_longer <= 1
    assert on_shorter <= 2 + min(left_over, shorter - left_over)


def test_take_cells_leaves_out_what_is_unusable():
    assert take_cells(spread_cells(2, 1), 2, unusable={(1, 1), (0, 1)}) == [(2, 0), (1, 0)]
    assert take_cells(spread_cells(2, 1), 0, unusable=set()) == []


def test_take_cells_gives_fewer_where_the_grid_has_no_more():
    assert take_cells(spread_cells(1, 1), 10, unusable={(0, 1)}) == [(1, 1), (1, 0)]


@given(variants, variants, st.integers(0, 700))
def test_take_cells_takes_from_the_beginning(chosen: int, rejected: int, count: int):
    assert (
        take_cells(spread_cells(chosen, rejected), count, unusable=set()) == [*spread_cells(chosen, rejected)][:count]
    )
