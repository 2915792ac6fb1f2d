"""Dataset cartography: exact cases, and what holds of any training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mars_engine.reward_models.cartography import map_training

MARGINS = np.array([[-1.0, 1.0, -1.0, 2.0], [3.0, 3.0, 3.0, 3.0], [-2.0, -1.0, -3.0, -0.1], [0.0, 0.0, 0.0, 0.0]])


def test_pairs_that_are_learned_forgotten_and_never_learned_are_told_apart():
    found = map_training(MARGINS)
    assert found.correctness.tolist() == [0.5, 1.0, 0.0, 0.5]
    assert found.forgotten.tolist() == [1, 0, 0, 0]
    assert found.never_learned.tolist() == [False, False, True, True]
    assert found.variability[1] == pytest.approx(0, abs=1e-15)
    assert found.variability.argmax() == 0
    assert found.confidence[1] == pytest.approx(1 / (1 + np.exp(-3)))
    assert found.confidence[3] == 0.5


@given(arrays(np.float64, (6, 5), elements=st.floats(-40, 40)))
def test_exchanging_the_sides_mirrors_the_map(margins):
    found, mirrored = map_training(margins), map_training(-margins)
    np.testing.assert_allclose(found.confidence, 1 - mirrored.confidence, atol=1e-12)
    np.testing.assert_allclose(found.variability, mirrored.variability, atol=1e-12)
    np.testing.assert_allclose(found.correctness, 1 - mirrored.correctness)
    assert (found.forgotten <= 2).all()  # of five epochs, every second one


def test_a_single_epoch_forgets_nothing_and_none_is_refused():
    assert map_training(MARGINS[:, :1]).forgotten.tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="shape"):
        map_training(MARGINS[:, :0])
