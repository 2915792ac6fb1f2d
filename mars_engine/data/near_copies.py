"""Near copies: how much of a text stands word for word in one of many others.

Texts are compared by their shingles, all runs of `SHINGLE` letters and digits, as 64-bit hashes (Broder, "On the
resemblance and containment of documents", 1997). Case, white space and punctuation do not count, and no language's
words are needed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mars_engine.core.records import IntArray

HashArray = NDArray[np.uint64]

SHINGLE = 16
"""Letters and digits in a shingle: about three English words."""
_NEITHER = re.compile(r"[\W_]+")
"""What is neither a letter nor a digit."""
_BASE = np.uint64(0x9E3779B97F4A7C15)
"""An odd multiplier with well-mixed bits: 2^64 over the golden ratio."""


def shingles(text: str) -> HashArray:
    """Return the hashes of a text's shingles, sorted, each once; of a shorter text the one of it all.

    The same text gives the same hashes on every machine.
    """
    kept = _NEITHER.sub("", text.casefold())
    codes = np.frombuffer(kept.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    if not len(codes):
        return np.zeros(0, dtype=np.uint64)
    width = min(SHINGLE, len(codes))
    hashes = np.zeros(len(codes) - width + 1, dtype=np.uint64)
    for place in range(width):  # wraps around at 2^64
        hashes = hashes * _BASE + codes[place : place + len(hashes)]
    return np.unique(hashes ^ (hashes >> np.uint64(29)))


@dataclass(frozen=True, slots=True)
class Overlap:
    """The share of a text's shingles that the text of the index nearest to it has."""

    share: float
    place: int
    """Of that text in the index; -1 where none shares anything."""


@dataclass(frozen=True, slots=True, eq=False)
class ShingleIndex:
    """Looks up which of many texts shares most of its shingles with another."""

    hashes: HashArray
    """Of all texts together, sorted."""
    owners: IntArray
    """The text of each hash."""
    size: int

    @classmethod
    def of(cls, texts: Iterable[str]) -> "ShingleIndex":
        found = [shingles(text) for text in texts]
        hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *found])
        owners = np.repeat(np.arange(len(found)), [len(each) for each in found])
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], owners[order], len(found))

    def overlap(self, text: str) -> Overlap:
        """Return how much of a text stands in one of the index's; 0 where the text or the index is empty."""
        own = shingles(text)
        first, last = np.searchsorted(self.hashes, own, "left"), np.searchsorted(self.hashes, own, "right")
        hits = [self.owners[start:end] for start, end in zip(first, last, strict=True) if end > start]
        if not hits:
            return Overlap(0.0, -1)
        shared = np.bincount(np.concatenate(hits), minlength=self.size)
        place = int(shared.argmax())
        return Overlap(float(shared[place] / len(own)), place)
