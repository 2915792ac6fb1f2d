"""Curvature against numerical derivatives and determinants."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.records import FloatArray
from mars_engine.reward_models.curvature import fisher_weights, hessian, information_gains, summarize_curvature

PAIRS, DIMENSION = 30, 4


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def mean_loss(coefficients: FloatArray, differences: FloatArray, weights: FloatArray) -> float:
    """The weighted mean Bradley–Terry loss."""
    return float(np.average(np.logaddexp(0.0, -differences @ coefficients), weights=weights))


def numerical_hessian(coefficients: FloatArray, differences: FloatArray, weights: FloatArray) -> FloatArray:
    """Central second differences of the mean loss; their error is of the order of step², some 1e-7."""
    step = 5e-4
    size = len(coefficients)
    matrix = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            first, second = step * np.eye(size)[row], step * np.eye(size)[column]
            corners = [
                sign_first
                * sign_second
                * mean_loss(coefficients + sign_first * first + sign_second * second, differences, weights)
                for sign_first in (1, -1)
                for sign_second in (1, -1)
            ]
            matrix[row, column] = sum(corners) / (4 * step**2)
    return matrix


@pytest.mark.parametrize("weighted", [False, True])
def test_hessian_is_the_second_derivative_of_the_mean_loss(rng, weighted):
    differences, coefficients = rng.normal(size=(PAIRS, DIMENSION)), rng.normal(size=DIMENSION)
    weights = rng.uniform(0.5, 3.0, PAIRS) if weighted else np.ones(PAIRS)
    exact = hessian(differences, differences @ coefficients, weights if weighted else None)
    assert exact.shape == (DIMENSION, DIMENSION)
    np.testing.assert_allclose(exact, numerical_hessian(coefficients, differences, weights), atol=1e-6)


def test_fisher_weights_by_hand():
    np.testing.assert_allclose(fisher_weights(np.array([0.0, math.log(3), -math.log(3)])), [1 / 4, 3 / 16, 3 / 16])
    assert fisher_weights(np.array([1000.0, -1000.0])).tolist() == [0.0, 0.0]


def test_a_constant_weight_and_repeated_pairs_change_no_hessian(rng):
    differences, margins = rng.normal(size=(PAIRS, DIMENSION)), rng.normal(size=PAIRS)
    plain = hessian(differences, margins)
    np.testing.assert_allclose(hessian(differences, margins, np.full(PAIRS, 7.0)), plain, rtol=1e-12, atol=1e-15)
    twice = hessian(np.vstack([differences, differences]), np.concatenate([margins, margins]))
    np.testing.assert_allclose(twice, plain, rtol=1e-12, atol=1e-15)


def test_summary_of_the_identity():
    summary = summarize_curvature(np.eye(6))
    assert summary.effective_rank == pytest.approx(6.0)
    assert (summary.trace, summary.largest, summary.smallest) == (6.0, 1.0, 1.0)


def test_summary_by_hand():
    summary = summarize_curvature(np.diag([3.0, 1.0, 0.0]))
    assert (summary.trace, summary.largest, summary.smallest) == (4.0, 3.0, 0.0)
    assert summary.effective_rank == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))


def test_summary_does_not_depend_on_the_axes(rng):
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned, straight = (
        summarize_curvature(each)
        for each in (rotation @ np.diag([3.0, 1.0, 0.5]) @ rotation.T, np.diag([3.0, 1.0, 0.5]))
    )
    assert turned.effective_rank == pytest.approx(straight.effective_rank)
    assert (turned.trace, turned.largest, turned.smallest) == pytest.approx((4.5, 3.0, 0.5))


def test_summary_of_nothing_is_zero():
    assert summarize_curvature(np.zeros((3, 3))).effective_rank == 0.0


@given(st.integers(0, 1000), st.integers(1, 8))
def test_effective_rank_lies_between_1_and_the_rank(seed: int, rank: int):
    factor = np.random.default_rng(seed).normal(size=(8, rank))
    summary = summarize_curvature(factor @ factor.T)
    assert 1 - 1e-9 <= summary.effective_rank <= rank + 1e-6
    assert 0 <= summary.smallest <= summary.largest <= summary.trace * (1 + 1e-12)


def test_information_gain_is_the_growth_of_the_log_determinant(rng):
    ridge = 0.3
    seen = rng.normal(size=(PAIRS, DIMENSION))
    summed = PAIRS * hessian(seen, rng.normal(size=PAIRS))
    new, margins = rng.normal(size=(5, DIMENSION)), rng.normal(size=5)
    gains = information_gains(new, margins, summed_hessian=summed, ridge=ridge)

    def log_determinant(matrix: FloatArray) -> float:
        return float(np.linalg.slogdet(matrix + ridge * np.eye(DIMENSION))[1])

    expected = [
        log_determinant(summed + hessian(new[[index]], margins[[index]])) - log_determinant(summed)
        for index in range(5)
    ]
    np.testing.assert_allclose(gains, expected, rtol=1e-9)
    assert (gains > 0).all()


def test_information_gain_is_larger_where_nothing_is_known_yet():
    summed = np.diag([100.0, 0.0])
    known, unknown, nothing = information_gains(
        np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.zeros(3), summed_hessian=summed, ridge=1.0
    )
    assert unknown == pytest.approx(math.log(1.25))
    assert known == pytest.approx(math.log(1 + 0.25 / 101))
    assert nothing == 0.0
    sure, unsure = information_gains(np.ones((2, 2)), np.array([5.0, 0.0]), summed_hessian=summed, ridge=1.0)
    assert sure < unsure
