"""Win rates, their uncertainty, and differences between policies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mars_engine.align.alpaca.win_rate import compare_wins, count_wins

FEW = 200


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_worked_by_hand() -> None:
    """Two wins (one of them unsure), a tie, a loss, and one that nobody judged."""
    found = count_wins(np.array([1.0, 0.75, 0.5, 0.0, np.nan]), rng=rng())

    assert (found.n_wins, found.n_wins_base, found.n_draws, found.n_total, found.n_failed) == (2, 1, 1, 4, 1)
    assert found.win_rate == pytest.approx(56.25)
    assert found.discrete_win_rate == pytest.approx(62.5)
    # deviations 0.4375, 0.1875, −0.0625, −0.5625: their squares sum to 0.546875; √(0.546875 / 3 / 4)
    assert found.standard_error == pytest.approx(100 * np.sqrt(0.546875 / 12))
    assert found.interval.estimate == found.win_rate
    assert found.interval.low < found.win_rate < found.interval.high


def test_nothing_judged_has_no_win_rate() -> None:
    found = count_wins(np.array([np.nan, np.nan]), rng=rng())

    assert np.isnan(found.win_rate)
    assert np.isnan(found.standard_error)
    assert np.isnan(found.discrete_win_rate)
    assert (found.n_total, found.n_failed) == (0, 2)


@given(arrays(np.float64, st.integers(1, 40), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, np.nan])))
def test_from_the_other_side_everything_is_turned_round(preferences: np.ndarray) -> None:
    ours, theirs = (count_wins(each, rng=rng(), resamples=FEW) for each in (preferences, 1 - preferences))

    assert (ours.n_wins, ours.n_draws, ours.n_failed) == (theirs.n_wins_base, theirs.n_draws, theirs.n_failed)
    assert ours.n_total + ours.n_failed == len(preferences)
    if ours.n_total:
        assert ours.win_rate + theirs.win_rate == pytest.approx(100)
        assert ours.discrete_win_rate + theirs.discrete_win_rate == pytest.approx(100)


def test_a_paired_difference_knows_more_than_two_intervals() -> None:
    """Where both policies win and lose on the same prompts, a small gain on each is beyond doubt."""
    second = np.tile([0.0, 0.25, 0.5, 0.75], 5)
    first = second + 0.1

    difference = compare_wins(first, second, rng=rng())
    wins = [count_wins(each, rng=rng()).interval for each in (first, second)]

    assert difference.interval.estimate == pytest.approx(10)
    assert difference.interval.low == pytest.approx(10)
    assert wins[0].low < wins[1].high


def test_a_difference_counts_the_prompts_where_both_were_judged() -> None:
    difference = compare_wins(np.array([1.0, np.nan, 1.0]), np.array([0.0, 0.0, np.nan]), rng=rng(), resamples=FEW)

    assert difference.n_prompts == 1
    assert difference.interval.estimate == pytest.approx(100)
