"""The closed form of best-of-n against every subset by hand, and the bound of its divergence."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.align.best_of_estimator import best_of, doubling_sizes, kl_bound, picking_weights


def every_subset(rewards, judged, n):
    """Mean over all subsets of n of the judged quality of their best; of equals, each is as likely."""
    worth = []
    for subset in combinations(range(len(rewards)), n):
        best = max(rewards[place] for place in subset)
        picked = [judged[place] for place in subset if rewards[place] == best]
        worth.append(sum(picked) / len(picked))
    return float(np.mean(worth))


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.floats(-5, 5)), min_size=1, max_size=8),
    st.integers(1, 8),
)
def test_the_closed_form_is_the_mean_over_every_subset(answers, n):
    n = min(n, len(answers))
    rewards = np.array([float(reward) for reward, _ in answers])  # few values, so that ties are common
    judged = np.array([quality for _, quality in answers])
    (found,) = best_of(rewards[None, :], judged[None, :], n)
    assert found == pytest.approx(every_subset(rewards, judged, n), abs=1e-9)


def test_one_is_the_mean_and_all_is_the_best():
    rewards, judged = np.array([[0.2, 3.0, -1.0, 0.5]]), np.array([[1.0, 2.0, 3.0, 6.0]])
    assert best_of(rewards, judged, 1)[0] == pytest.approx(3.0)
    assert best_of(rewards, judged, 4)[0] == pytest.approx(2.0)
    assert best_of(rewards, rewards, 4)[0] == pytest.approx(3.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(1, 40))
def test_the_weights_are_a_distribution_that_prefers_higher_rewards(rewards, n):
    values = np.array(rewards)
    weights = picking_weights(values, min(n, len(values)))
    assert weights.sum() == pytest.approx(1.0)
    order = np.argsort(values, kind="stable")
    assert (np.diff(weights[order]) >= -1e-12).all()


def test_many_answers_do_not_overflow():
    values = np.random.default_rng(0).normal(size=2_000)
    assert picking_weights(values, 1_000).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("n", [0, 4])
def test_more_than_there_is_cannot_be_estimated(n):
    with pytest.raises(ValueError, match="from 3 answers"):
        picking_weights(np.zeros(3), n)


def test_the_bound_of_the_divergence():
    assert kl_bound(1) == 0.0
    assert kl_bound(2) == pytest.approx(0.6931472 - 0.5)
    assert kl_bound(8) == pytest.approx(2.0794415 - 0.875)
    exact = divergence_of_best_of(np.full(50, 1 / 50), 4)
    assert exact < kl_bound(4), "a policy of fifty answers stays below it"
    assert divergence_of_best_of(np.full(100_000, 1e-5), 4) == pytest.approx(kl_bound(4), abs=1e-3)


def divergence_of_best_of(probabilities, n):
    """KL of best-of-n from a policy over answers in the order of their rewards, by its definition."""
    cumulated = np.cumsum(probabilities)
    best = cumulated**n - np.concatenate([[0.0], cumulated[:-1]]) ** n
    return float((best * np.log(best / probabilities)).sum())


def test_sizes_double_and_end_with_all():
    assert doubling_sizes(1) == (1,)
    assert doubling_sizes(8) == (1, 2, 4, 8)
    assert doubling_sizes(12) == (1, 2, 4, 8, 12)
