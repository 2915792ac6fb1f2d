"""The greedy order against brute-force determinants: lazy equals plain, and gains add up."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.records import FloatArray
from mars_engine.curate.greedy_gain import rank_by_gain
from mars_engine.reward_models.curvature import fisher_weights, hessian, information_gains


def log_determinant(matrix: FloatArray) -> float:
    sign, value = np.linalg.slogdet(matrix)
    assert sign > 0
    return float(value)


def plain_greedy(vectors: FloatArray, curvature: FloatArray, count: int) -> tuple[list[int], list[float]]:
    """Every remaining row looked at in every step, each by two determinants."""
    matrix, left, chosen, gains = curvature.copy(), list(range(len(vectors))), [], []
    for _ in range(count):
        here = log_determinant(matrix)
        grown = {row: log_determinant(matrix + np.outer(vectors[row], vectors[row])) - here for row in left}
        best = max(left, key=lambda row: (grown[row], -row))
        chosen.append(best)
        gains.append(grown[best])
        matrix += np.outer(vectors[best], vectors[best])
        left.remove(best)
    return chosen, gains


def some_rows(seed: int, rows: int, dimension: int, *, directions: int = 0) -> tuple[FloatArray, FloatArray]:
    """Random vectors and a random curvature; with `directions`, vectors that crowd around so few of them."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, dimension))
    if directions:
        centres = rng.normal(size=(directions, dimension))
        vectors = centres[rng.integers(directions, size=rows)] + 0.05 * vectors
    factor = rng.normal(size=(dimension, dimension))
    return vectors, factor @ factor.T + 0.1 * np.eye(dimension)


@pytest.mark.parametrize("directions", [0, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_lazy_order_is_the_plain_greedy_order(seed, directions):
    vectors, curvature = some_rows(seed, 40, 6, directions=directions)
    ranking = rank_by_gain(vectors, curvature, one_by_one=25)
    chosen, gains = plain_greedy(vectors, curvature, 25)
    assert ranking.order[:25].tolist() == chosen
    np.testing.assert_allclose(ranking.gains[:25], gains, rtol=1e-8, atol=1e-10)
    assert ranking.one_by_one == 25


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 8), st.integers(0, 40))
def test_gains_add_up_fall_and_are_the_most_there_is(seed: int, rows: int, dimension: int, one_by_one: int):
    vectors, curvature = some_rows(seed, rows, dimension, directions=2 if seed % 2 else 0)
    vectors[seed % rows] = vectors[0]  # some are equal, and some add nothing
    vectors[(seed // 7) % rows] = 0.0
    ranking = rank_by_gain(vectors, curvature, one_by_one=one_by_one)
    count = min(one_by_one, rows)
    assert sorted(ranking.order.tolist()) == list(range(rows))
    assert ranking.one_by_one == count
    first = ranking.order[:count]
    grown = log_determinant(curvature + vectors[first].T @ vectors[first]) - log_determinant(curvature)
    assert ranking.gains[:count].sum() == pytest.approx(grown, rel=1e-7, abs=1e-9)
    assert (np.diff(ranking.gains[:count]) <= 1e-9).all()
    assert (np.diff(ranking.gains[count:]) <= 0).all()
    assert (ranking.gains >= 0).all()
    matrix = curvature.copy()
    for step, row in enumerate(first.tolist()):
        left = ranking.order[step:]
        solved = np.einsum("md,dm->m", vectors[left], np.linalg.solve(matrix, vectors[left].T))
        assert ranking.gains[step] >= np.log1p(solved).max() - 1e-8
        matrix += np.outer(vectors[row], vectors[row])


def test_the_rest_comes_by_what_each_adds_alone():
    rng = np.random.default_rng(3)
    differences, margins = rng.normal(size=(30, 5)), rng.normal(size=30)
    summed = 200 * hessian(rng.normal(size=(200, 5)), rng.normal(size=200))
    alone = information_gains(differences, margins, summed_hessian=summed, ridge=0.7)
    vectors = np.sqrt(fisher_weights(margins))[:, None] * differences
    ranking = rank_by_gain(vectors, summed + 0.7 * np.eye(5), one_by_one=0)
    assert ranking.order.tolist() == np.argsort(-alone, kind="stable").tolist()
    np.testing.assert_allclose(ranking.gains, np.sort(alone)[::-1], rtol=1e-9)


def test_a_twin_of_what_was_chosen_waits_and_another_direction_comes_first():
    vectors = np.array([[3.0, 0.0], [2.9, 0.0], [0.0, 1.0]])
    alone = rank_by_gain(vectors, np.eye(2), one_by_one=0)
    assert alone.order.tolist() == [0, 1, 2]
    greedy = rank_by_gain(vectors, np.eye(2), one_by_one=3)
    assert greedy.order.tolist() == [0, 2, 1]
    expected = [math.log(10), math.log(2), math.log((1 + 9 + 2.9**2) / 10)]
    np.testing.assert_allclose(greedy.gains, expected)


def test_no_rows_are_no_order():
    ranking = rank_by_gain(np.zeros((0, 3)), np.eye(3), one_by_one=5)
    assert (len(ranking.order), len(ranking.gains), ranking.one_by_one) == (0, 0, 0)


def test_five_hundred_updates_lose_no_precision():
    vectors, curvature = some_rows(5, 600, 40)
    ranking = rank_by_gain(vectors, curvature, one_by_one=500)
    first = ranking.order[:500]
    grown = log_determinant(curvature + vectors[first].T @ vectors[first]) - log_determinant(curvature)
    assert ranking.gains[:500].sum() == pytest.approx(grown, rel=1e-9)
