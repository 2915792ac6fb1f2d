"""Distances of texts in meaning."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.records import Float32Array
from mars_engine.embeddings.distances import semantic_distance


def unit_rows(seed: int, rows: int, width: int) -> Float32Array:
    vectors = np.random.default_rng(seed).standard_normal((rows, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_distance_by_hand():
    chosen = np.array([[1, 0], [1, 0], [1, 0], [0.6, 0.8]], dtype=np.float32)
    rejected = np.array([[1, 0], [0, 1], [-1, 0], [1, 0]], dtype=np.float32)
    np.testing.assert_allclose(semantic_distance(chosen, rejected), [0.0, 1.0, 2.0, 0.4], atol=1e-7)


@given(st.integers(0, 2**32 - 1), st.integers(2, 400))
def test_rounding_never_takes_a_distance_out_of_0_to_2(seed: int, width: int):
    vectors = unit_rows(seed, 8, width)
    same, opposite = semantic_distance(vectors, vectors), semantic_distance(vectors, -vectors)
    assert (same >= 0).all()
    assert (opposite <= 2).all()
    np.testing.assert_allclose(same, 0.0, atol=1e-6)
    np.testing.assert_allclose(opposite, 2.0, atol=1e-6)


def test_distance_is_symmetric():
    first, second = unit_rows(0, 20, 16), unit_rows(1, 20, 16)
    np.testing.assert_array_equal(semantic_distance(first, second), semantic_distance(second, first))
