"""The grid of approved variants, and which of its cells become training pairs.

A source pair with n+ approved chosen texts and n− approved rejected texts spans, with its two originals, a grid of
(n+ + 1)(n− + 1) cells; the cell of the two originals is the pair itself and never taken.
"""

import math
from collections.abc import Iterable, Iterator

from mars_engine.maths.text_facts import normalized

Cell = tuple[int, int]
"""(index of the chosen text, index of the rejected text); 0 is the source's own text, variants count from 1."""

ORIGINAL: Cell = (0, 0)
"""The source pair itself, which is no new pair."""


def grid_size(chosen_variants: int, rejected_variants: int) -> int:
    """Return how many new pairs a grid has: (n+ + 1)(n− + 1) − 1."""
    return (chosen_variants + 1) * (rejected_variants + 1) - 1


def spread_cells(chosen_variants: int, rejected_variants: int) -> Iterator[Cell]:
    """Yield every cell but the original once, going down both sides at the same time.

    Whenever both sides are back at their originals together, after lcm(rows, columns) steps, the rejected side moves on
    by one, so that the next stretch meets new cells. After any number of cells, the uses of two texts of one side
    differ by at most two.
    """
    rows, columns = chosen_variants + 1, rejected_variants + 1
    stretch = math.lcm(rows, columns)
    for step in range(1, rows * columns):
        yield step % rows, (step + step // stretch) % columns


def count_new_pairs(own: tuple[str, str], approved: Iterable[tuple[str | None, str | None]]) -> int:
    """Return the size of a source's grid from its texts.

    A text that equals another of its side, white space and case aside, counts once, and the source's own not at all.

    Args:
        own: the source's chosen and rejected text.
        approved: approved chosen and rejected texts; None where a side is not approved.
    """
    answers = list(approved)
    variants = [
        {normalized(text) for answer in answers if (text := answer[side]) is not None} - {normalized(own[side])}
        for side in (0, 1)
    ]
    return grid_size(len(variants[0]), len(variants[1]))
