"""Metrics against scikit-learn, against cases worked out by hand, and where there is nothing to measure."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from mars_engine.core.records import FloatArray
from mars_engine.stats.metrics import (
    auc,
    best_scale,
    calibration_error,
    correctness,
    log_losses,
    log_losses_at_best_scale,
    margin_bin_edges,
    pairwise_accuracy,
    rank_correlation,
    reliability,
    sigmoid,
    summarize_margins,
)

NOTHING = np.zeros(0)
rewards = st.lists(st.integers(-8, 8).map(lambda step: step / 4), min_size=1, max_size=40).map(np.array)
"""Rewards on a coarse grid, so that there are many ties."""


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


@given(rewards, rewards)
def test_auc_agrees_with_scikit_learn(positive: FloatArray, negative: FloatArray):
    labels = [1] * len(positive) + [0] * len(negative)
    assert auc(positive, negative) == pytest.approx(roc_auc_score(labels, np.concatenate([positive, negative])))


def test_auc_by_hand():
    # 3 beats 1 and 2; 2 beats 1 and ties with 2
    assert auc(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == 3.5 / 4
    assert auc(np.ones(3), np.ones(5)) == 0.5


def test_a_tie_counts_half():
    margins = np.array([2.0, 0.1, 0.0, -0.0, -1.0])
    assert correctness(margins).tolist() == [1.0, 1.0, 0.5, 0.5, 0.0]
    assert pairwise_accuracy(margins) == 0.6


def test_sigmoid_neither_overflows_nor_loses_its_tails():
    assert sigmoid(np.array([0.0, 1000.0, -1000.0])).tolist() == [0.5, 1.0, 0.0]
    assert sigmoid(np.array([-40.0]))[0] == pytest.approx(math.exp(-40), rel=1e-12)


def test_calibration_error_by_hand():
    # Bins of width 0.25 over confidences 0.5 to 1: [0.5, 0.75) holds 0.6 (right) and 0.7 (wrong); the other 0.8 and
    # 0.9 (both right). Gaps |(1 + 0) - 1.3| and |2 - 1.7|, over 4 pairs.
    margins = np.array([logit(0.6), -logit(0.7), logit(0.8), logit(0.9)])
    assert calibration_error(margins, bins=2) == pytest.approx((0.3 + 0.3) / 4)


def test_calibration_error_takes_bins_one_by_one():
    # In one bin over- and underconfidence cancel: |1 + 0 - 1.4| and |1 + 1 - 1.6| are both 0.4, with opposite signs.
    margins = np.array([logit(0.7), -logit(0.7), logit(0.8), logit(0.8)])
    assert calibration_error(margins, bins=1) == pytest.approx(0.0)
    assert calibration_error(margins, bins=2) == pytest.approx(0.8 / 4)


def test_calibration_error_at_its_ends():
    assert calibration_error(np.zeros(5)) == 0.0  # ties, at confidence 0.5: half of them count as right
    assert calibration_error(np.full(5, 1000.0)) == 0.0
    assert calibration_error(np.full(5, -1000.0)) == 1.0


def test_calibrated_margins_have_a_small_error_and_exaggerated_ones_a_large_error():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 20_000)
    labelled = np.where(rng.random(20_000) < sigmoid(true), true, -true)
    assert calibration_error(labelled) < 0.02
    assert calibration_error(10 * labelled) > 0.15


def test_summary_by_hand():
    metrics = summarize_margins(np.array([1.0, 2.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 0.0]))
    assert metrics.pairs == 4
    assert metrics.accuracy == 2.5 / 4
    assert metrics.margin_mean == 0.5
    assert metrics.margin_std == pytest.approx(math.sqrt(1.25))
    assert metrics.snr == pytest.approx(0.5 / math.sqrt(1.25))
    assert metrics.auc == auc(np.array([1.0, 2.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 0.0]))
    expected = [math.log(1 + math.exp(-margin)) for margin in (1.0, 2.0, -1.0, 0.0)]
    assert metrics.log_loss == pytest.approx(sum(expected) / 4)


@given(rewards)
def test_log_loss_agrees_with_scikit_learn(margins: FloatArray):
    expected = log_loss([1] * len(margins), sigmoid(margins), labels=[0, 1])
    assert summarize_margins(margins, np.zeros_like(margins)).log_loss == pytest.approx(expected)


def test_the_summary_passes_the_bins_on():
    chosen, rejected = np.array([logit(0.7), -logit(0.7), logit(0.8), logit(0.8)]), np.zeros(4)
    assert summarize_margins(chosen, rejected, bins=1).calibration_error == pytest.approx(0.0)
    assert summarize_margins(chosen, rejected, bins=2).calibration_error == pytest.approx(0.2)


def test_without_pairs_every_metric_is_nan():
    metrics = asdict(summarize_margins(NOTHING, NOTHING))
    assert metrics.pop("pairs") == 0
    assert all(math.isnan(value) for value in metrics.values())
    assert math.isnan(pairwise_accuracy(NOTHING))
    assert math.isnan(calibration_error(NOTHING))
    assert math.isnan(auc(NOTHING, np.ones(1)))
    assert math.isnan(auc(np.ones(1), NOTHING))


def test_a_signal_to_noise_ratio_needs_noise():
    assert math.isnan(summarize_margins(np.full(3, 0.5), np.zeros(3)).snr)


def test_equal_margins_have_no_signal_to_noise_ratio():
    assert math.isnan(summarize_margins(np.full(3, 0.1), np.zeros(3)).snr)


def test_reliability_by_hand():
    # Sure to 0.65 three times, right twice; sure to 0.95 once, and wrong.
    margins = np.array([logit(0.65), logit(0.65), logit(0.35), logit(0.05)])
    low, high = reliability(margins, bins=5)
    assert (low.low, low.high, low.pairs) == (pytest.approx(0.6), pytest.approx(0.7), 3)
    assert low.confidence == pytest.approx(0.65)
    assert low.accuracy == pytest.approx(2 / 3)
    assert (high.pairs, high.accuracy) == (1, 0.0)
    assert high.confidence == pytest.approx(0.95)
    gap = (3 * abs(2 / 3 - 0.65) + 0.95) / 4
    assert calibration_error(margins, bins=5) == pytest.approx(gap)
    assert reliability(NOTHING) == ()


@given(rewards)
def test_reliability_leaves_no_pair_out(margins: FloatArray):
    bins = reliability(margins)
    assert sum(each.pairs for each in bins) == len(margins)
    assert all(each.low - 1e-12 <= each.confidence <= each.high + 1e-12 for each in bins)
    right = sum(each.accuracy * each.pairs for each in bins) / len(margins)
    assert right == pytest.approx(pairwise_accuracy(margins))


def test_a_bin_edge_lies_at_zero():
    for margins in ([-1.0, 0.3, 2.0], [0.5, 0.9], [-2.0, -1.0], [0.0]):
        found = margin_bin_edges(np.array(margins), 40)
        assert np.any(np.abs(found) < 1e-12)
        assert found[0] <= min(margins)
        assert found[-1] >= max(margins)


def test_a_margin_within_the_noise_of_batching_is_a_tie():
    np.testing.assert_array_equal(correctness(np.array([0.0, 1e-7, -1e-7, 1e-3, -1e-3])), [0.5, 0.5, 0.5, 1.0, 0.0])


@given(st.floats(0.05, 20), st.integers(0, 2**32 - 1))
def test_the_size_of_margins_changes_nothing_at_their_best_scale(factor, seed):
    rng = np.random.default_rng(seed)
    margins, groups = rng.normal(0.7, 1.0, 60), np.arange(60) // 2
    at_best = log_losses_at_best_scale(margins, groups)
    assert log_losses_at_best_scale(factor * margins, groups) == pytest.approx(at_best, abs=1e-4)
    assert best_scale(factor * margins) * factor == pytest.approx(best_scale(margins), rel=1e-4)


def test_the_best_scale_is_that_of_the_least_loss_and_is_found_on_other_groups():
    margins = np.random.default_rng(0).normal(0.5, 2.0, 200)
    scale = best_scale(margins)
    least = log_losses(scale * margins).mean()
    assert all(least <= log_losses(scale * by * margins).mean() for by in (0.5, 0.9, 1.1, 2.0))
    groups = np.arange(200) % 2
    halves = log_losses_at_best_scale(margins, groups)
    expected = log_losses(best_scale(margins[groups == 1]) * margins[groups == 0])
    assert halves[groups == 0] == pytest.approx(expected)


def test_where_there_are_no_other_groups_margins_stay_as_they_are():
    margins = np.array([0.5, -0.25, 2.0])
    assert (log_losses_at_best_scale(margins, np.zeros(3, dtype=np.int64)) == log_losses(margins)).all()


def test_rank_correlation_shares_ranks():
    one, other = np.array([1.0, 2, 2, 4, 5, 6, 7, 8]), np.array([1.0, 3, 3, 20, 21, 22, 80, 99])
    assert rank_correlation(one, other) == pytest.approx(1.0)
    assert rank_correlation(one, -other) == pytest.approx(-1.0)
    assert rank_correlation(one, np.ones(8)) == 0.0
    assert rank_correlation(one[:7], other[:7]) == 0.0
