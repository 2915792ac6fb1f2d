"""What a set of pairs says against itself: contradictions, copies across splits, ties of spelling, lengths.

Texts are compared by hashes, case and white space aside, so that few bytes a pair are kept of them. Near copies are
found by MinHash (Broder 1997): the least of a text's shingles under each of some mixings, in bands (Leskovec et al.,
Mining of Massive Datasets, 3.4). Of texts that share four fifths of their shingles, one pair in 10,000 is missed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mars_engine.core.records import BoolArray, IntArray
from mars_engine.data.near_copies import HashArray, shingles

BANDS, ROWS = 10, 2
"""Minima in a band: two texts are compared where all of some band's are the same."""
_MIXERS = np.random.default_rng(20).integers(1, 2**63, size=(BANDS * ROWS, 1), dtype=np.uint64) * np.uint64(2) + 1
MOST_HASHES = 400
"""Shingles of a text that are mixed; of a longer one those with the least hashes stand for it."""
MOST_CANDIDATES = 8
"""Training pairs that a held-out pair is compared with, those that share the most bands."""


def text_key(*texts: str) -> int:
    """Return a 64-bit hash of texts, case and white space aside."""
    said = "\0".join(" ".join(text.casefold().split()) for text in texts)
    digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def band_keys(text: str) -> HashArray:
    """Return a text's key in each band, shape (BANDS,)."""
    hashes = shingles(text)[:MOST_HASHES]
    if not len(hashes):
        return np.zeros(BANDS, dtype=np.uint64)
    mixed = hashes[None, :] * _MIXERS
    least = (mixed ^ (mixed >> np.uint64(31))).min(axis=1).reshape(BANDS, ROWS)
    keys = np.zeros(BANDS, dtype=np.uint64)
    for row in range(ROWS):
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + least[:, row]
    return keys


@dataclass(frozen=True, slots=True, eq=False)
class PairKeys:
    """Hashes of n pairs' texts: as they are, with their sides exchanged, and of either side."""

    forward: HashArray
    backward: HashArray
    chosen: HashArray
    rejected: HashArray
    heldout: BoolArray

    def is_tie(self) -> BoolArray:
        """Which pairs' sides differ in nothing but case and white space."""
        return np.equal(self.chosen, self.rejected)

    def contradicts(self) -> BoolArray:
        """Which pairs say the reverse of another one, in either split."""
        return np.isin(self.forward, self.backward) & ~self.is_tie()

    def contradicts_across(self) -> BoolArray:
        """Which of them say the reverse of a pair of the other split."""
        found = np.zeros(len(self.forward), dtype=bool)
        for split in (self.heldout, ~self.heldout):
            found[split] = np.isin(self.forward[split], self.backward[~split])
        return found & ~self.is_tie()

    def is_repeated_across(self) -> BoolArray:
        """Which held-out pairs stand among the training pairs too, case and white space aside."""
        return self.heldout & np.isin(self.forward, self.forward[~self.heldout])


def candidates_across(bands: NDArray[np.uint64], heldout: BoolArray) -> Iterator[tuple[int, IntArray]]:
    """Yield held-out pairs with the training pairs that may be near copies of them, at most `MOST_CANDIDATES`.

    Args:
        bands: keys of n pairs, shape (n, BANDS).
        heldout: which of them are held out, shape (n,).
    """
    training = np.flatnonzero(~heldout)
    orders = [np.argsort(bands[training, band], kind="stable") for band in range(BANDS)]
    keys = [bands[training, band][order] for band, order in enumerate(orders)]
    for place in np.flatnonzero(heldout).tolist():
        hits = []
        for band in range(BANDS):
            first = np.searchsorted(keys[band], bands[place, band], "left")
            last = np.searchsorted(keys[band], bands[place, band], "right")
            hits.append(orders[band][first : min(last, first + MOST_CANDIDATES)])
        found, times = np.unique(np.concatenate(hits), return_counts=True)
        if len(found):
            yield place, training[found[np.argsort(-times, kind="stable")[:MOST_CANDIDATES]]]


def shared_part(text: str, other: str) -> float:
    """Return the share of the shingles of both texts together that both have (Jaccard); 0 where there are none."""
    own, others = shingles(text), shingles(other)
    together = len(np.union1d(own, others))
    return len(np.intersect1d(own, others)) / together if together else 0.0
