"""The semantic gate: thresholds, and which pairs are above them."""

import numpy as np
import pytest

from mars_engine.augment.distance_gate import gate_threshold, is_high


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
