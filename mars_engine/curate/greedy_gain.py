"""In which order to read what adds to a curvature, each judged by what it adds to those before it (D-optimal design).

Adding a pair of feature difference Δφ and weight c to a curvature A gives A + c Δφ Δφᵀ. With v = √c Δφ its gain is the
growth of the log-determinant, log(1 + vᵀ A⁻¹ v). The gain falls as others are added: the log-determinant is submodular,
so that the greedy order is at least 1 − 1/e of the best choice of each size (Nemhauser, Wolsey & Fisher 1978), and a
gain that was computed earlier still bounds the present one from above, so that few are computed anew (Minoux 1978).
"""

import heapq
from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import FloatArray, IntArray

ROWS_AT_ONCE = 4_096
"""Rows that are multiplied at a time; bounds the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class GainRanking:
    """An order of m rows.

    Attributes:
        order: the rows, the first to be read first, shape (m,).
        gains: what each of them adds, in nats, in that order, shape (m,): those chosen one by one to what was there and
            all before them; the others to what was there, alone.
        one_by_one: how many were chosen one by one.
    """

    order: IntArray
    gains: FloatArray
    one_by_one: int


def rank_by_gain(vectors: FloatArray, curvature: FloatArray, *, one_by_one: int) -> GainRanking:
    """Return rows in the order in which they add most to the log-determinant of a curvature.

    The first ones are chosen greedily, each for what it adds to those before it; the rest follow by what each would add
    alone. Of equals the one that stands first comes first.

    The inverse is brought up to date by rank-one updates (Sherman & Morrison 1950), kept as the vectors u that were
    taken off it, A_t⁻¹ = A⁻¹ − Σ u uᵀ: so vᵀ A_t⁻¹ v = vᵀ A⁻¹ v − Σ (vᵀ u)², and a row costs as many products as rows
    were chosen since it was last looked at.

    Args:
        vectors: √c Δφ of each row, shape (m, d).
        curvature: A, symmetric positive definite, shape (d, d).
        one_by_one: how many are chosen one by one, at most.
    """
    count = min(one_by_one, len(vectors))
    inverse: FloatArray = np.asarray(np.linalg.inv(curvature), dtype=np.float64)
    squares = _squared_lengths(vectors, inverse)
    alone = np.log1p(squares)
    chosen, gains = _choose(vectors, inverse, squares, count)
    is_left = np.ones(len(vectors), dtype=bool)
    is_left[chosen] = False
    rest = np.flatnonzero(is_left)
    rest = rest[np.argsort(-alone[rest], kind="stable")]
    return GainRanking(np.concatenate([chosen, rest]), np.concatenate([gains, alone[rest]]), count)


def _squared_lengths(vectors: FloatArray, inverse: FloatArray) -> FloatArray:
    """vᵀ A⁻¹ v of each row."""
    squares = np.empty(len(vectors))
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        part = vectors[start : start + ROWS_AT_ONCE]
        squares[start : start + ROWS_AT_ONCE] = np.einsum("md,md->m", part @ inverse, part)
    clipped: FloatArray = np.maximum(squares, 0.0)  # rounding
    return clipped


def _choose(vectors: FloatArray, inverse: FloatArray, squares: FloatArray, count: int) -> tuple[IntArray, FloatArray]:
    """Choose rows greedily, and look again only at those whose bound is the highest."""
    taken_off = np.empty((count, vectors.shape[1]))
    left = squares.copy()
    seen = np.zeros(len(vectors), dtype=np.int64)
    bounds = list(zip((-left).tolist(), range(len(left)), strict=True))
    heapq.heapify(bounds)
    chosen: IntArray = np.empty(count, dtype=np.int64)
    gains = np.empty(count)
    for step in range(count):
        while seen[bounds[0][1]] < step:
            row = bounds[0][1]
            since = taken_off[seen[row] : step] @ vectors[row]
            left[row] = max(left[row] - float(since @ since), 0.0)
            seen[row] = step
            heapq.heapreplace(bounds, (-float(left[row]), row))
        _, row = heapq.heappop(bounds)
        vector = vectors[row]
        chosen[step], gains[step] = row, np.log1p(left[row])
        moved = inverse @ vector - taken_off[:step].T @ (taken_off[:step] @ vector)
        taken_off[step] = moved / np.sqrt(1.0 + left[row])
    return chosen, gains
