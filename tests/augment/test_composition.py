"""The grid of variants: every cell once, in an order whose beginnings use the texts evenly."""

from collections import Counter
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from mars_engine.augment.composition import ORIGINAL, Cell, GridTexts, grid_size, spread_cells

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
    assert widest_spread(cells, 0, chosen + 1) <= 2
    assert widest_spread(cells, 1, rejected + 1) <= 2


def test_new_pairs_are_counted_by_texts_that_differ():
    own = ("Good.", "Bad.")
    assert GridTexts.of(own, []).new_pairs == 0
    assert GridTexts.of(own, [("better", "worse")]).new_pairs == grid_size(1, 1) == 3
    assert GridTexts.of(own, [("better", None), (None, "worse"), ("Better ", "worse\n")]).new_pairs == 3
    assert GridTexts.of(own, [(" GOOD. ", "worse"), ("good.", "worst")]).new_pairs == 2


def test_two_texts_that_say_the_same_are_no_pair():
    own = ("Good.", "Bad.")
    assert GridTexts.of(own, [("better", "GOOD. ")]).new_pairs == 2, "better × bad and better × good, not good × good"
    assert GridTexts.of(own, [("bad.", "good.")]).new_pairs == 1
    assert GridTexts.of(("same", "Same"), [("better", "worse")]).new_pairs == 3


answers = st.lists(
    st.tuples(*[st.one_of(st.none(), st.sampled_from(["a", "A ", "b", "c", "good", "bad"]))] * 2), max_size=6
)


@given(answers)
def test_new_pairs_are_the_different_cells_that_say_something_new(approved: list[tuple[str | None, str | None]]):
    own = ("good", "bad")
    chosen = {own[0], *(each.strip().lower() for each, _ in approved if each)}
    rejected = {own[1], *(each.strip().lower() for _, each in approved if each)}
    cells = {(c, r) for c in chosen for r in rejected if c != r and (c, r) != own}
    texts = GridTexts.of(own, approved)
    assert texts.new_pairs == len(cells)
    assert texts.approved == len(approved)
    for answer in approved:
        grown = GridTexts.of(own, approved).with_answer(answer)
        assert grown.new_pairs == texts.new_pairs, "the same texts again add nothing"
