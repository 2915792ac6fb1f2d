"""West-of-N's selection, the reweighting and self-training's selection."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mars_engine.experiments.baselines import adaboost_weights, keep_highest, select_confident

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
