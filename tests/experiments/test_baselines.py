"""West-of-N's selection, the reweighting and self-training's selection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mars_engine.experiments.baselines import (
    above_lowest,
    adaboost_weights,
    in_the_middle,
    keep_highest,
    select_confident,
    weigh_new_pairs,
)

MARGINS = st.integers(1, 40).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(-50, 50)))


@given(MARGINS, st.floats(0, 3))
def test_weights_have_mean_one_and_fall_with_the_margin(margins, eta):
    weights = adaboost_weights(np.ones(len(margins)), margins, eta=eta)
    assert np.isclose(weights.mean(), 1)
    assert (weights >= 0).all()
    ordered = weights[np.argsort(margins)]
    assert (np.diff(ordered) <= 1e-9).all()


def test_weights_by_hand_and_without_a_step():
    before = np.array([2.0, 1.0, 1.0])
    np.testing.assert_allclose(adaboost_weights(before, np.array([1.0, -4.0, 9.0]), eta=0), before / before.mean())
    raised = adaboost_weights(np.ones(2), np.array([0.0, np.log(3)]), eta=1)
    np.testing.assert_allclose(raised, [1.5, 0.5])
    assert np.isfinite(adaboost_weights(np.ones(2), np.array([-4000.0, 4000.0]), eta=1)).all()


@given(MARGINS, st.integers(1, 5), st.integers(1, 6), st.randoms(use_true_random=False))
def test_each_source_keeps_its_highest_and_no_more(margins, keep, sources, random):
    source = np.array([random.randrange(sources) for _ in margins])
    kept = keep_highest(source, margins, keep=keep)
    assert kept.tolist() == sorted(set(kept.tolist()))
    for number in set(source.tolist()):
        own = np.flatnonzero(source == number)
        chosen = [place for place in own if place in kept]
        left = [place for place in own if place not in kept]
        assert len(chosen) == min(keep, len(own))
        assert not left or min(margins[chosen]) >= max(margins[left])


def test_of_equal_margins_the_earlier_is_kept():
    assert keep_highest(np.array([1, 0, 1, 1]), np.array([2.0, 1.0, 2.0, 2.0]), keep=2).tolist() == [0, 1, 2]
    assert keep_highest(np.zeros(0, dtype=np.int64), np.zeros(0), keep=3).tolist() == []


@given(MARGINS, st.floats(0.5, 0.99), st.integers(0, 50))
def test_the_confident_are_the_surest_and_sure_enough_whichever_way_they_point(margins, confidence, most):
    selected = select_confident(margins, confidence=confidence, most=most)
    sure = 1 / (1 + np.exp(-np.abs(margins)))
    assert (sure[selected] >= confidence - 1e-12).all()
    assert len(selected) == min(most, int((sure >= confidence).sum())) or np.isclose(sure, confidence).any()
    left = np.setdiff1d(np.arange(len(margins)), selected)
    if len(selected) == most > 0 and len(left):
        assert sure[selected].min() >= sure[left].max()
    np.testing.assert_array_equal(selected, select_confident(-margins, confidence=confidence, most=most))


def test_the_lowest_margins_are_left_out_and_one_pair_always_remains():
    margins = np.array([3.0, -2.0, 0.5, -1.0])
    assert above_lowest(margins, 0.5).tolist() == [True, False, True, False]
    assert above_lowest(margins, 0.01).all()
    assert above_lowest(margins, 0.99).tolist() == [True, False, False, False]


def test_the_middle_lies_around_the_median():
    margins = np.array([3.0, -2.0, 0.5, -1.0])
    assert in_the_middle(margins, 0.5).tolist() == [False, False, True, True]
    assert in_the_middle(margins, 1.0).all()
    assert in_the_middle(margins, 0.01).sum() == 1


def test_new_pairs_are_capped_by_source_and_scaled_to_their_share():
    weights = np.ones(7)
    made_of = ["a", "a", "a", "b"]
    capped = weigh_new_pairs(weights, made_of, augmented_share=0, source_cap=1.5)
    np.testing.assert_allclose(capped, [1, 1, 1, 0.5, 0.5, 0.5, 1])
    shared = weigh_new_pairs(weights, made_of, augmented_share=0.25, source_cap=1.5)
    assert shared[3:].sum() == pytest.approx(1)
    np.testing.assert_allclose(shared[3:], capped[3:] / 2.5)
    np.testing.assert_array_equal(weigh_new_pairs(weights, made_of, augmented_share=0, source_cap=0), weights)
    np.testing.assert_array_equal(weigh_new_pairs(weights, [], augmented_share=0.5, source_cap=1), weights)
