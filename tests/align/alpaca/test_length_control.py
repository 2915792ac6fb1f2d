"""The length-controlled win rate on judgements made of a known formula."""

from typing import Any

import numpy as np
import pytest

from mars_engine.align.alpaca.length_control import GamedRuns, LengthControlled, control_length, why_not_controlled
from mars_engine.core.records import FloatArray
from mars_engine.stats.metrics import sigmoid

PROMPTS = 400


def judged(*, length_weight: float, policy_weight: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Preferences by the formula itself, of a policy whose answers are longer; difficulties too."""
    rng = np.random.default_rng(7)
    differences = rng.normal(-150, 100, PROMPTS)
    difficulties = rng.normal(size=PROMPTS)
    logits = length_weight * np.tanh(differences / differences.std(ddof=1)) + 0.5 * difficulties + policy_weight
    return sigmoid(logits), differences, difficulties


def controlled(preferences: FloatArray, differences: FloatArray, **known: Any) -> LengthControlled:
    return control_length(preferences, differences, rng=np.random.default_rng(0), resamples=20, **known)


def test_what_length_alone_wins_is_taken_away() -> None:
    preferences, differences, difficulties = judged(length_weight=-2.0, policy_weight=0.0)

    found = controlled(preferences, differences, difficulties=difficulties)

    assert 100 * preferences.mean() > 70
    assert found.win_rate == pytest.approx(100 * sigmoid(0.5 * difficulties).mean(), abs=1)
    assert found.length_weight == pytest.approx(-2, abs=0.1)
    assert found.difficulty_weight == pytest.approx(0.5, abs=0.05)
    assert found.variant == "no gamed runs"
    assert "without the gamed runs" in found.label


def test_a_judge_without_a_taste_for_length_changes_little() -> None:
    preferences, differences, difficulties = judged(length_weight=0.0, policy_weight=0.7)

    found = controlled(preferences, differences, difficulties=difficulties)

    assert found.win_rate == pytest.approx(100 * preferences.mean(), abs=1)
    assert found.policy_weight == pytest.approx(0.7, abs=0.05)


def test_without_difficulties_every_prompt_gets_the_same_prediction() -> None:
    preferences, differences, _ = judged(length_weight=-1.0, policy_weight=0.3)

    found = controlled(preferences, differences)

    assert found.variant == "minimal"
    assert found.win_rate == pytest.approx(100 * sigmoid(np.array([found.policy_weight]))[0])
    assert found.spread == pytest.approx(0)
    assert found.difficulty_weight == 0


def test_gamed_runs_pull_the_length_weight() -> None:
    """The runs say that only length decides; the policy's own judgements say nothing of it."""
    preferences, differences, difficulties = judged(length_weight=0.0, policy_weight=0.0)
    lengths = np.linspace(-3, 3, 2 * PROMPTS)
    gamed = GamedRuns(sigmoid(-4 * np.tanh(lengths)), lengths, np.tile(difficulties, 2))

    alone = controlled(preferences, differences, difficulties=difficulties)
    pulled = controlled(preferences, differences, difficulties=difficulties, gamed=gamed)

    assert pulled.variant == "v1"
    assert pulled.length_weight < alone.length_weight - 0.1


def test_a_failed_judgement_is_predicted_but_not_learned_from() -> None:
    preferences, differences, difficulties = judged(length_weight=-1.0, policy_weight=0.0)
    difficulties[:20] = 8.0
    full = controlled(preferences, differences, difficulties=difficulties)
    preferences[:20] = np.nan

    found = controlled(preferences, differences, difficulties=difficulties)

    assert found.win_rate == pytest.approx(100 * found.predict(difficulties).mean())
    assert found.difficulty_weight != full.difficulty_weight


def test_the_interval_holds_what_is_true_and_narrows_with_prompts() -> None:
    rng = np.random.default_rng(3)
    probabilities, differences, difficulties = judged(length_weight=-1.0, policy_weight=0.5)
    preferences = (rng.random(PROMPTS) < probabilities).astype(np.float64)
    few = 60

    all_of_them = controlled(preferences, differences, difficulties=difficulties).interval
    some = controlled(preferences[:few], differences[:few], difficulties=difficulties[:few]).interval

    truth = 100 * sigmoid(0.5 * difficulties + 0.5).mean()
    assert all_of_them.low < truth < all_of_them.high
    assert all_of_them.high - all_of_them.low < some.high - some.low


@pytest.mark.parametrize(
    ("preferences", "differences", "reason"),
    [
        (np.full(9, 0.5), np.arange(9.0), "9 prompts were judged"),
        (np.r_[np.full(9, 0.5), np.nan], np.arange(10.0), "9 prompts were judged"),
        (np.full(20, 0.5), np.full(20, 3.0), "same length"),
        (np.full(20, 0.5), np.arange(20.0), ""),
        (np.r_[np.ones(16), np.zeros(4)], np.arange(20.0), "all but 4 were won of 20 prompts"),
        (np.r_[np.zeros(19), 0.5], np.arange(20.0), "all but 1 were lost of 20 prompts"),
        (np.r_[np.ones(15), np.zeros(5)], np.arange(20.0), ""),
    ],
)
def test_says_why_there_is_none(preferences: FloatArray, differences: FloatArray, reason: str) -> None:
    said = why_not_controlled(preferences, differences, has_gamed_runs=False)

    assert reason in said
    assert bool(said) == bool(reason)


def test_the_same_again() -> None:
    made = judged(length_weight=-1.0, policy_weight=0.2)

    first, second = (controlled(made[0], made[1], difficulties=made[2]) for _ in range(2))

    assert first.win_rate == second.win_rate


def test_with_gamed_runs_a_policy_may_win_everything() -> None:
    _, differences, difficulties = judged(length_weight=0.0, policy_weight=0.0)
    lengths = np.linspace(-3, 3, 2 * PROMPTS)
    gamed = GamedRuns(sigmoid(-4 * np.tanh(lengths)), lengths, np.tile(difficulties, 2))
    preferences = np.ones(PROMPTS)

    assert not why_not_controlled(preferences, differences, has_gamed_runs=True)
    assert controlled(preferences, differences, difficulties=difficulties, gamed=gamed).win_rate > 99


@pytest.mark.slow
def test_a_resample_that_is_won_throughout_counts_as_won() -> None:
    """Five losses of forty: about one resample in 250 draws none of them, and is not fitted."""
    preferences = np.r_[np.ones(35), np.zeros(5)]
    differences = np.random.default_rng(1).normal(size=40)

    found = control_length(preferences, differences, rng=np.random.default_rng(0), resamples=800, level=0.998)

    assert found.interval.high == pytest.approx(100)
