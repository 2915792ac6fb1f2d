"""The grid of approved variants, and which of its cells become training pairs.

A source pair with n+ approved chosen texts and n− approved rejected texts spans, with its two originals, a grid of
(n+ + 1)(n− + 1) cells; the cell of the two originals is the pair itself and never taken.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mars_engine.augment.quality.text_facts import normalized

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


Answer = tuple[str | None, str | None]
"""Approved chosen and rejected text of a proposal; None where a side is not approved."""


@dataclass(frozen=True, slots=True)
class GridTexts:
    """What the variants in a source's grid say, white space and case aside, as digests; its own texts are there too."""

    chosen: frozenset[bytes]
    rejected: frozenset[bytes]
    own_differ: bool
    """Whether the source's own two answers say different things, as they do but for odd data."""
    approved: int
    """How many approved answers went into it."""

    @classmethod
    def of(cls, own: tuple[str, str], approved: Iterable[Answer] = ()) -> "GridTexts":
        """Return the texts of a source with these own answers, of which these others are approved."""
        first, second = (_said(text) for text in own)
        texts = cls(frozenset([first]), frozenset([second]), own_differ=first != second, approved=0)
        for answer in approved:
            texts = texts.with_answer(answer)
        return texts

    def with_answer(self, answer: Answer) -> "GridTexts":
        """Return the grid's texts as composing would find them if this answer were approved too."""
        chosen, rejected = answer
        return GridTexts(
            self.chosen if chosen is None else self.chosen | {_said(chosen)},
            self.rejected if rejected is None else self.rejected | {_said(rejected)},
            self.own_differ,
            self.approved + 1,
        )

    @property
    def new_pairs(self) -> int:
        """How many cells are new pairs: not the source's own, nor one whose two texts say the same.

        A text that equals another of its side, white space and case aside, counts once.
        """
        same = len(self.chosen & self.rejected)
        return len(self.chosen) * len(self.rejected) - same - int(self.own_differ)


def _said(text: str) -> bytes:
    return hashlib.blake2b(normalized(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()
