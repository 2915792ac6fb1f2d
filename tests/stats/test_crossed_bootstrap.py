"""Intervals over seeds and prompts at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.stats.crossed_bootstrap import crossed_mean, spread_over_seeds


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
