"""Pseudo-random numbers that an id has once and for all, so that the same items are drawn wherever one looks."""

import hashlib

import numpy as np
from numpy.typing import NDArray

NumberArray = NDArray[np.uint64]


def fixed_numbers(ids: NDArray[np.bytes_], seed: str) -> NumberArray:
    """Return a number for each id, even over all 64 bits, that depends on the id and the seed alone."""
    width = -(-ids.dtype.itemsize // 8)
    words = ids.astype(f"S{8 * width}").view("<u8").reshape(len(ids), width)
    start = int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:8])
    numbers = np.full(len(ids), start, dtype=np.uint64)
    for column in range(width):
        # The empty end of a short id is passed over, so that the width of the array does not matter.
        word = words[:, column]
        numbers = np.where(word != 0, _mixed(numbers ^ word), numbers)
    return numbers


def _mixed(numbers: NumberArray) -> NumberArray:
    """The output function of SplitMix64 (Steele, Lea & Flood 2014); products wrap around."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
