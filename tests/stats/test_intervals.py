"""Bootstrap intervals: what they contain, how wide they are, how often they are right."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mars_engine.core.records import FloatArray
from mars_engine.stats import intervals as statistics
from mars_engine.stats.intervals import Interval, bootstrap_mean, paired_difference, wilson_interval

outcomes = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60).map(np.array)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(deadline=None)
@given(outcomes, st.integers(0, 100))
def test_the_interval_contains_the_estimate(values: FloatArray, seed: int):
    interval = bootstrap_mean(values, rng=seeded(seed), resamples=500)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low - 1e-12 <= interval.estimate <= interval.high + 1e-12
    assert values.min() - 1e-12 <= interval.low
    assert interval.high <= values.max() + 1e-12


@pytest.mark.slow
def test_the_interval_is_as_wide_as_theory_says():
    values = seeded().normal(3.0, 2.0, 2000)
    interval = bootstrap_mean(values, rng=seeded(), resamples=4000)
    standard_error = values.std() / math.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.1 * standard_error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.1 * standard_error)


def test_a_higher_level_gives_a_wider_interval():
    values = seeded().normal(size=100)
    narrow, wide = (bootstrap_mean(values, rng=seeded(), level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (narrow.level, wide.level) == (0.5, 0.99)


def test_one_seed_gives_one_interval():
    values = seeded().normal(size=50)
    first, second, other = (bootstrap_mean(values, rng=seeded(seed), resamples=300) for seed in (1, 1, 2))
    assert first == second
    assert other != first


def test_identical_copies_in_a_group_add_no_certainty():
    values = seeded().normal(size=40)
    copies = np.repeat(values, 9)
    groups = [f"prompt {number:02}" for number in np.repeat(np.arange(40), 9)]
    alone = bootstrap_mean(values, rng=seeded(3))
    grouped = bootstrap_mean(copies, rng=seeded(3), groups=groups)
    ungrouped = bootstrap_mean(copies, rng=seeded(3))
    assert grouped.low == pytest.approx(alone.low)
    assert grouped.high == pytest.approx(alone.high)
    # nine independent copies would look three times as certain
    assert (grouped.high - grouped.low) / (ungrouped.high - ungrouped.low) == pytest.approx(3.0, rel=0.1)


def test_groups_of_unequal_size_weigh_by_their_pairs():
    values, groups = np.array([1.0, 1.0, 1.0, 0.0]), ["a", "a", "a", "b"]
    interval = bootstrap_mean(values, rng=seeded(), groups=groups, resamples=2000)
    assert interval.estimate == 0.75
    # Two groups drawn with replacement: both a (mean 1), both b (mean 0), or one of each (mean 3/4).
    assert (interval.low, interval.high) == (0.0, 1.0)
    middle = bootstrap_mean(values, rng=seeded(), groups=groups, resamples=2000, level=0.4)
    assert (middle.low, middle.high) == (0.75, 0.75)


def test_each_pair_a_group_of_its_own_is_the_ungrouped_bootstrap():
    values = np.sort(seeded().normal(size=26))
    letters = [chr(ord("a") + number) for number in range(26)]
    grouped = bootstrap_mean(values, rng=seeded(1), groups=letters, resamples=500)
    ungrouped = bootstrap_mean(values, rng=seeded(1), resamples=500)
    assert (grouped.low, grouped.high) == pytest.approx((ungrouped.low, ungrouped.high))


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = seeded(11)
    intervals = [bootstrap_mean(rng.normal(1.0, 1.0, 60), rng=rng, resamples=400, level=0.9) for _ in range(400)]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    # 0.9 less a little for the percentile method at n = 60; the standard error of 400 trials is 0.015
    assert 0.85 <= covered <= 0.94


def test_a_paired_difference_knows_that_the_pairs_are_the_same():
    rng = seeded(5)
    difficulty = rng.normal(0, 10, 200)
    first, second = difficulty + rng.normal(0.5, 0.1, 200), difficulty + rng.normal(0.0, 0.1, 200)
    interval = paired_difference(first, second, rng=seeded(), resamples=1000)
    assert interval == bootstrap_mean(first - second, rng=seeded(), resamples=1000)
    assert interval.excludes_zero
    assert interval.high - interval.low < 0.1
    groups = [f"prompt {number // 4}" for number in range(200)]
    grouped = paired_difference(first, second, rng=seeded(), groups=groups, resamples=1000, level=0.8)
    assert grouped == bootstrap_mean(first - second, rng=seeded(), groups=groups, resamples=1000, level=0.8)


def test_a_model_does_not_differ_from_itself():
    values = seeded().normal(size=30)
    interval = paired_difference(values, values, rng=seeded(), resamples=200)
    assert (interval.estimate, interval.low, interval.high) == (0.0, 0.0, 0.0)
    assert not interval.excludes_zero


def test_excludes_zero_on_either_side_only():
    assert Interval(0.5, 0.1, 0.9, 0.95).excludes_zero
    assert Interval(-0.5, -0.9, -0.1, 0.95).excludes_zero
    assert not Interval(0.5, -0.1, 0.9, 0.95).excludes_zero
    assert not Interval(0.5, 0.0, 0.9, 0.95).excludes_zero
    nan = float("nan")
    assert not Interval(nan, nan, nan, 0.95).excludes_zero


@pytest.mark.parametrize("cells", [1, 50, 130, 1950])
def test_resampling_piece_by_piece_gives_the_same_interval(monkeypatch, cells):
    values = seeded().normal(size=50)
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "CELLS_AT_A_TIME", cells)
        pieces = bootstrap_mean(values, rng=seeded(4), resamples=40)
    whole = bootstrap_mean(values, rng=seeded(4), resamples=40)
    assert (pieces.estimate, pieces.low, pieces.high) == pytest.approx((whole.estimate, whole.low, whole.high))


def test_without_pairs_the_interval_is_nan():
    interval = bootstrap_mean(np.zeros(0), rng=seeded(), level=0.9)
    assert math.isnan(interval.estimate)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.level == 0.9


# -------------------------------------------------------------------------------------------------------- proportions


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20 and 1/29.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_the_published_ones(successes, trials, low, high):
    found = wilson_interval(successes, trials)
    assert found.estimate == successes / trials
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_intervals_mirror_and_widen_with_the_level():
    rare, common = wilson_interval(3, 40), wilson_interval(37, 40)
    assert (rare.low, rare.high) == pytest.approx((1 - common.high, 1 - common.low))
    assert wilson_interval(3, 40, level=0.99).high > rare.high


def test_drawing_alike_groups_together_is_the_same_bootstrap():
    # The plain bootstrap, group by group, of right and wrong answers in groups of different sizes.
    rng = seeded(8)
    groups = rng.integers(0, 60, 200)
    values = rng.integers(0, 2, 200).astype(np.float64)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = rng.integers(0, len(members), (4000, len(members)))
    means = [values[np.concatenate([members[group] for group in row])].mean() for row in drawn]
    interval = bootstrap_mean(values, rng=seeded(), groups=groups, resamples=4000)
    low, high = np.quantile(means, [0.025, 0.975])
    assert interval.low == pytest.approx(low, abs=0.01)
    assert interval.high == pytest.approx(high, abs=0.01)


def test_a_hundred_thousand_pairs_take_no_time():
    values = seeded().integers(0, 2, 100_000).astype(np.float64)
    start = time.perf_counter()
    interval = bootstrap_mean(values, rng=seeded(), groups=np.arange(100_000) // 2)
    assert time.perf_counter() - start < 5
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(100_000), rel=0.1)
