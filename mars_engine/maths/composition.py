"""The grid of approved variants, and which of its cells become training pairs.

A source pair with n+ approved chosen texts and n− approved rejected texts spans, with its two originals, a grid of
(n+ + 1)(n− + 1) cells; the cell of the two originals is the pair itself and never taken.
"""

from collections.abc import Collection, Iterator

Cell = tuple[int, int]
"""(index of the chosen text, index of the rejected text); 0 is the source's own text, variants count from 1."""

ORIGINAL: Cell = (0, 0)


def grid_size(chosen_variants: int, rejected_variants: int) -> int:
    """Return how many new pairs a grid has: (n+ + 1)(n− + 1) − 1."""
    return (chosen_variants + 1) * (rejected_variants + 1) - 1


def spread_cells(chosen_variants: int, rejected_variants: int) -> Iterator[Cell]:
    """Yield every cell but the original once, diagonal by diagonal.

    Each diagonal runs along the longer side, so any first k cells use the texts of that side equally often, give or
    take one. The uses of two texts of the shorter side differ by at most 2 + min(r, m − r), where m is how many texts
    that side has, its original included, and r what is left when m divides the other side's number.
    """
    rows, columns = chosen_variants + 1, rejected_variants + 1
    for shift in range(min(rows, columns)):
        for step in range(max(rows, columns)):
            cell = (step, (step + shift) % columns) if rows >= columns else ((step + shift) % rows, step)
            if cell != ORIGINAL:
                yield cell


def take_cells(cells: Iterator[Cell], count: int, *, unusable: Collection[Cell]) -> list[Cell]:
    """Return the first `count` cells that are not unusable; fewer where the grid has no more."""
    taken: list[Cell] = []
    for cell in cells:
        if len(taken) == count:
            break
        if cell not in unusable:
            taken.append(cell)
    return taken
