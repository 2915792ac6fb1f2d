"""The chance of being accepted: a half before anything is known, then what people did, group by group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.stats.acceptance import acceptance_chances


def test_before_any_decision_it_is_a_half():
    assert acceptance_chances(np.array([0, 0]), np.array([0, 0])).tolist() == [0.5, 0.5]


def test_by_hand():
    chances = acceptance_chances(np.array([9, 0, 0]), np.array([10, 8, 0]))
    overall = 10 / 20
    assert chances.tolist() == pytest.approx([(9 + 10 * overall) / 20, 10 * overall / 18, overall])


counts = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=6)


@given(counts)
def test_it_lies_between_the_groups_share_and_that_of_all(groups: list[tuple[int, int]]):
    accepted = np.array([a for a, _ in groups])
    decided = np.array([a + r for a, r in groups])
    overall = (accepted.sum() + 1) / (decided.sum() + 2)
    for chance, a, n in zip(acceptance_chances(accepted, decided), accepted, decided, strict=True):
        assert 0 < chance < 1
        low, high = sorted([overall, a / n if n else overall])
        assert low - 1e-12 <= chance <= high + 1e-12


def test_much_evidence_outweighs_the_others():
    chances = acceptance_chances(np.array([1000, 0]), np.array([1000, 1000]))
    assert chances[0] > 0.99
    assert chances[1] < 0.01
