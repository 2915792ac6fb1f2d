"""The semantic gate: distances and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.maths.gate import gate_threshold, is_high, semantic_distance
from mars_engine.words.records import Float32Array


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


def test_threshold_by_each_rule():
    distances = np.array([0.1, 0.2, 0.3, 1.0])
    assert gate_threshold(distances, "mean", quantile=0.5, fixed=0.7) == pytest.approx(0.4)
    assert gate_threshold(distances, "quantile", quantile=0.5, fixed=0.7) == pytest.approx(0.25)
    assert gate_threshold(distances, "quantile", quantile=0.0, fixed=0.7) == 0.1
    assert gate_threshold(distances, "fixed", quantile=0.5, fixed=0.7) == 0.7


@pytest.mark.parametrize("rule", ["mean", "quantile", "fixed"])
def test_without_distances_the_fixed_threshold_holds(rule):
    assert gate_threshold(np.zeros(0), rule, quantile=0.5, fixed=0.7) == 0.7


def test_a_distance_at_the_threshold_passes():
    assert is_high(np.array([0.29, 0.3, 0.31]), 0.3).tolist() == [False, True, True]


def test_equal_distances_all_pass_their_own_mean():
    distances = np.full(3, 0.1)
    threshold = gate_threshold(distances, "mean", quantile=0.5, fixed=0.0)
    assert is_high(distances, threshold).all()
