"""What out-of-fold margins say of how many labels are wrong."""

import numpy as np
import pytest

from mars_engine.advise.learning_curve import fit_learning_curve
from mars_engine.advise.wrong_labels import estimate_wrong_labels


def margins_of(count: int, flipped: float, seed: int, strength: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Margins whose labels are drawn by σ(Δ), some then flipped, and which were."""
    rng = np.random.default_rng(seed)
    logits = strength * rng.standard_normal(count)
    labelled = np.where(rng.random(count) < 1 / (1 + np.exp(-logits)), logits, -logits)
    wrong = rng.random(count) < flipped
    return np.where(wrong, -labelled, labelled), wrong


@pytest.mark.parametrize("flipped", [0.0, 0.1, 0.25])
def test_the_share_of_wrong_labels_is_found_where_margins_are_strong(flipped):
    margins, _ = margins_of(2_000, flipped, seed=1)
    found = estimate_wrong_labels(margins)
    assert found.share == pytest.approx(flipped, abs=0.05)
    assert found.low <= found.share <= found.high


def test_the_wrong_ones_are_more_probable_and_the_sum_of_the_probabilities_is_their_number():
    margins, wrong = margins_of(2_000, 0.2, seed=2)
    found = estimate_wrong_labels(margins)
    assert found.probability[wrong].mean() > 2.5 * found.probability[~wrong].mean()
    lowest = np.argsort(margins)[:200]
    assert found.probability[lowest].sum() == pytest.approx(wrong[lowest].sum(), rel=0.15)


def test_weak_margins_leave_a_wide_interval():
    weak = estimate_wrong_labels(margins_of(300, 0.2, seed=3, strength=0.5)[0])
    strong = estimate_wrong_labels(margins_of(300, 0.2, seed=3, strength=4.0)[0])
    assert weak.high - weak.low > strong.high - strong.low


def test_the_learning_curve_finds_its_own_power_law():
    sizes = np.array([50.0, 100.0, 200.0, 400.0])
    curve = fit_learning_curve(sizes, np.tile(0.8 - 1.5 * sizes**-0.5, (3, 1)))
    assert curve.exponent == 0.5
    assert curve.slopes == pytest.approx(1.5)
    assert curve.gains(400, 400) == pytest.approx(1.5 * (400**-0.5 - 800**-0.5))
