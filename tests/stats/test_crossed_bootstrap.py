"""Intervals over seeds and prompts at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.stats.crossed_bootstrap import crossed_mean, holm_count, spread_over_seeds


def grid(seeds: int, prompts: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(seeds), prompts), np.tile(np.arange(prompts), seeds)


def interval(values, seeds, prompts, **options):
    return crossed_mean(values, seeds, prompts, rng=np.random.default_rng(0), resamples=4000, **options)


@given(st.floats(-1, 1), st.integers(1, 4), st.integers(1, 5))
def test_what_never_varies_has_no_width(value, seeds, prompts):
    found = interval(np.full(seeds * prompts, value), *grid(seeds, prompts))
    assert found.low == pytest.approx(value)
    assert found.high == pytest.approx(value)


@pytest.mark.parametrize("varies_with", ["seeds", "prompts"])
def test_it_sees_what_varies_with_seeds_alone_and_with_prompts_alone(varies_with):
    rng = np.random.default_rng(1)
    seeds, prompts = grid(30, 40)
    of_one = rng.standard_normal(30 if varies_with == "seeds" else 40)
    found = interval(of_one[seeds if varies_with == "seeds" else prompts], seeds, prompts)
    error = of_one.std() / np.sqrt(len(of_one))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.12)
    assert found.estimate == pytest.approx(of_one.mean())


def test_independent_noise_has_at_least_its_own_width():
    rng = np.random.default_rng(2)
    seeds, prompts = grid(10, 200)
    values = rng.standard_normal(2000)
    width = (found := interval(values, seeds, prompts)).high - found.low
    assert width >= 2 * 1.96 * values.std() / np.sqrt(2000)


def test_a_planted_difference_is_found_and_its_absence_too():
    rng = np.random.default_rng(3)
    seeds, prompts = grid(10, 100)
    noise = rng.choice([-1.0, 0.0, 1.0], size=1000, p=[0.1, 0.8, 0.1])
    assert interval(noise + 0.15, seeds, prompts).excludes_zero
    assert not interval(noise - noise.mean(), seeds, prompts).excludes_zero


def test_prompts_that_only_some_seeds_meet_and_names_that_are_not_numbered_from_zero():
    seeds, prompts = np.array([7, 7, 9, 9]), np.array([100, 200, 200, 300])
    found = interval(np.array([0.0, 1.0, 1.0, 1.0]), seeds, prompts)
    assert found.estimate == 0.75
    assert 0 <= found.low <= found.estimate <= found.high == 1
    assert np.isnan(interval(np.zeros(0), np.zeros(0, dtype=int), np.zeros(0, dtype=int)).low)


def test_a_smaller_level_is_narrower():
    values = np.random.default_rng(4).standard_normal(60)
    wide, narrow = (interval(values, *grid(6, 10), level=level) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_spread_over_seeds():
    spread = spread_over_seeds(np.array([0.5, 0.7, 0.6]))
    assert (spread.mean, spread.deviation) == (pytest.approx(0.6), pytest.approx(0.1))
    assert (spread.lowest, spread.highest, spread.values) == (0.5, 0.7, (0.5, 0.7, 0.6))
    assert np.isnan(spread_over_seeds(np.array([0.5])).deviation)


def test_the_p_value_is_the_level_at_which_the_interval_reaches_zero():
    rng = np.random.default_rng(4)
    seeds, prompts = grid(8, 60)
    values = rng.normal(0.1, 1, size=480)
    p = interval(values, seeds, prompts).p_value
    assert 0.001 < p < 0.5
    assert interval(values, seeds, prompts, level=1 - 1.1 * p).excludes_zero
    assert not interval(values, seeds, prompts, level=1 - 0.9 * p).excludes_zero
    assert interval(-values, seeds, prompts).p_value == pytest.approx(p)


def test_a_p_value_is_never_0_and_at_most_1():
    assert interval(np.ones(6), *grid(2, 3)).p_value == pytest.approx(2 / 4001)
    assert interval(np.zeros(6), *grid(2, 3)).p_value == 1


@pytest.mark.slow
def test_p_values_of_no_difference_are_not_too_often_small():
    rng = np.random.default_rng(5)
    seeds, prompts = grid(5, 50)
    found = [interval(rng.standard_normal(250), seeds, prompts).p_value for _ in range(40)]
    assert np.mean(np.array(found) < 0.1) <= 0.1


def test_holms_worked_example():
    # Four p-values at 5%: 0.01 <= 0.05 / 4, 0.013 <= 0.05 / 3, but 0.03 > 0.05 / 2, and what follows is not asked.
    assert holm_count([0.04, 0.01, 0.03, 0.013], alpha=0.05) == 2
    assert holm_count([0.04, 0.01, 0.02, 0.013], alpha=0.05) == 4
    assert holm_count([0.2], alpha=0.05) == 0
    assert holm_count([], alpha=0.05) == 0
