"""Spending a budget: exact cases worked out by hand, and the properties that hold for every input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.augment.allocation import (
    allocate_budget,
    allocation_probabilities,
    equal_share_margin,
    hard_below,
    has_low_margin,
    scale_margins,
    summarize_allocation,
)
from mars_engine.core.config import LAWS, AllocationLaw
from mars_engine.core.records import FloatArray

laws = st.sampled_from(LAWS)
taus = st.sampled_from([0.125, 0.5, 1.0, 4.0])
"""Dyadic, so that tau times a dyadic margin is exact."""
budgets = st.integers(0, 3000)
grid_margins = st.lists(st.integers(-512, 512), min_size=1, max_size=40).map(lambda steps: np.array(steps) / 64)
"""Margins from -8 to 8 on a dyadic grid, so that adding a constant to them is exact."""
wide_margins = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=40).map(np.array)


def spent(margins: FloatArray, law: AllocationLaw, budget: int, *, tau: float = 0.5) -> list[int]:
    return allocate_budget(allocation_probabilities(margins, law, tau=tau), budget).tolist()


# ---------------------------------------------------------------------------------------------------------- the laws


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        # weights e^(-margin): 4, 2, 1, 1/2 of 7.5
        ("signed", [8 / 15, 4 / 15, 2 / 15, 1 / 15]),
        # weights e^(-|margin|): 1/4, 1/2, 1, 1/2 of 2.25
        ("absolute", [1 / 9, 2 / 9, 4 / 9, 2 / 9]),
        # weights 4/5*1/5, 2/3*1/3, 1/2*1/2, 1/3*2/3
        ("fisher", [144 / 769, 200 / 769, 225 / 769, 200 / 769]),
        ("uniform", [1 / 4, 1 / 4, 1 / 4, 1 / 4]),
    ],
)
def test_each_law_by_hand(law: AllocationLaw, expected: list[float]):
    margins = np.log([1 / 4, 1 / 2, 1.0, 2.0])
    np.testing.assert_allclose(allocation_probabilities(margins, law, tau=1.0), expected, rtol=1e-14)


def test_a_budget_by_hand():
    margins = np.log([1 / 4, 1 / 2, 1.0, 2.0])
    assert spent(margins, "signed", 15, tau=1.0) == [8, 4, 2, 1]
    # 20/15 of that: 10.67, 5.33, 2.67, 1.33; of the two left over, one goes to each remainder of 0.67
    assert spent(margins, "signed", 20, tau=1.0) == [11, 5, 3, 1]


def test_the_four_laws_spend_differently():
    margins = np.array([-2.0, -0.5, 0.1, 1.0, 3.0])
    counts = {law: tuple(spent(margins, law, 100)) for law in LAWS}
    assert len(set(counts.values())) == len(LAWS)
    assert counts["uniform"] == (20, 20, 20, 20, 20)


@given(wide_margins, budgets, st.sampled_from(["signed", "absolute"]))
def test_a_softmax_law_with_tau_0_is_uniform(margins: FloatArray, budget: int, law: AllocationLaw):
    assert spent(margins, law, budget, tau=0.0) == spent(margins, "uniform", budget)


@given(grid_margins, laws, budgets, taus)
def test_pairs_with_one_margin_get_the_same_give_or_take_one(
    margins: FloatArray, law: AllocationLaw, budget: int, tau: float
):
    counts = spent(np.concatenate([margins, margins]), law, budget, tau=tau)
    for first, second in zip(counts[: len(margins)], counts[len(margins) :], strict=True):
        assert abs(first - second) <= 1


@given(wide_margins, laws, taus)
def test_shares_sum_to_one_and_are_never_negative(margins: FloatArray, law: AllocationLaw, tau: float):
    probabilities = allocation_probabilities(margins, law, tau=tau)
    assert (probabilities >= 0).all()
    assert probabilities.sum() == pytest.approx(1.0)


@given(wide_margins, laws, st.data())
def test_only_eligible_pairs_get_a_share(margins: FloatArray, law: AllocationLaw, data: st.DataObject):
    eligible = np.array(data.draw(st.lists(st.booleans(), min_size=len(margins), max_size=len(margins))), dtype=bool)
    probabilities = allocation_probabilities(margins, law, tau=0.5, eligible=eligible)
    assert (probabilities[~eligible] == 0).all()
    if eligible.any():
        np.testing.assert_allclose(
            probabilities[eligible], allocation_probabilities(margins[eligible], law, tau=0.5), rtol=1e-12
        )


def test_without_an_eligible_pair_nothing_is_spent():
    probabilities = allocation_probabilities(np.array([1.0, 2.0]), "signed", tau=0.5, eligible=np.zeros(2, dtype=bool))
    assert allocate_budget(probabilities, 10).tolist() == [0, 0]
    assert allocation_probabilities(np.zeros(0), "signed", tau=0.5).shape == (0,)


def test_standard_scale_makes_the_law_blind_to_the_unit_of_reward():
    margins = np.array([-1.0, 0.0, 2.0, 5.0])
    assert scale_margins(margins, "standard").std() == pytest.approx(1.0)
    np.testing.assert_allclose(scale_margins(margins, "standard"), scale_margins(1000 * margins, "standard"))
    np.testing.assert_array_equal(scale_margins(margins, "raw"), margins)
    np.testing.assert_array_equal(scale_margins(np.full(3, 0.5), "standard"), np.full(3, 0.5))


# ------------------------------------------------------------------------------------------------------- the budget


@given(wide_margins, laws, budgets, taus)
def test_the_budget_is_spent_exactly(margins: FloatArray, law: AllocationLaw, budget: int, tau: float):
    counts = spent(margins, law, budget, tau=tau)
    assert sum(counts) == budget
    assert min(counts) >= 0


@given(grid_margins, laws, budgets, taus)
def test_each_count_is_its_share_rounded_up_or_down(margins: FloatArray, law: AllocationLaw, budget: int, tau: float):
    probabilities = allocation_probabilities(margins, law, tau=tau)
    assert (np.abs(allocate_budget(probabilities, budget) - budget * probabilities) < 1 + 1e-8).all()


@given(grid_margins, budgets, taus, st.one_of(st.none(), st.integers(0, 200)))
def test_signed_law_never_gives_a_lower_margin_fewer(margins: FloatArray, budget: int, tau: float, cap: int | None):
    capacity = None if cap is None else np.full(len(margins), cap)
    counts = allocate_budget(allocation_probabilities(margins, "signed", tau=tau), budget, capacity=capacity)
    for margin, count in zip(margins, counts, strict=True):
        assert (counts[margins > margin] <= count).all()


@given(grid_margins, budgets, taus, st.integers(-6400, 6400), st.sampled_from(["signed", "uniform"]))
def test_adding_a_constant_to_all_margins_changes_nothing(
    margins: FloatArray, budget: int, tau: float, steps: int, law: AllocationLaw
):
    shifted = margins + steps / 64
    np.testing.assert_array_equal(
        allocation_probabilities(shifted, law, tau=tau), allocation_probabilities(margins, law, tau=tau)
    )
    assert spent(shifted, law, budget, tau=tau) == spent(margins, law, budget, tau=tau)


@given(wide_margins, laws, budgets, taus, st.data())
def test_capacity_is_respected_and_the_excess_handed_on(
    margins: FloatArray, law: AllocationLaw, budget: int, tau: float, data: st.DataObject
):
    capacity = np.array(data.draw(st.lists(st.integers(0, 100), min_size=len(margins), max_size=len(margins))))
    probabilities = allocation_probabilities(margins, law, tau=tau)
    counts = allocate_budget(probabilities, budget, capacity=capacity)
    assert (counts >= 0).all()
    assert (counts <= capacity).all()
    assert (counts[probabilities == 0] == 0).all()
    assert counts.sum() == min(budget, capacity[probabilities > 0].sum())


def test_the_excess_is_handed_on_by_the_same_shares():
    probabilities = np.array([0.5, 0.3, 0.2])
    # the first is full at 2; the other 8 go 3 to 2: 4.8 and 3.2
    assert allocate_budget(probabilities, 10, capacity=np.array([2, 100, 100])).tolist() == [2, 5, 3]
    # and where that fills the second too, the third takes the rest
    assert allocate_budget(probabilities, 10, capacity=np.array([2, 4, 100])).tolist() == [2, 4, 4]
    assert allocate_budget(probabilities, 10, capacity=np.array([2, 4, 1])).tolist() == [2, 4, 1]


def test_shares_too_small_to_divide_by_still_take_the_excess_and_warn_of_nothing():
    probabilities = np.array([1.0, 5e-324, 0.0])
    assert allocate_budget(probabilities, 10, capacity=np.array([3, 4, 5])).tolist() == [3, 4, 0]


def test_rounding_noise_does_not_decide_who_gets_a_pair():
    noisy = np.array([0.25 - 1e-13, 0.25, 0.25 + 1e-13, 0.25])
    assert allocate_budget(noisy, 6).tolist() == [2, 2, 1, 1]
    assert allocate_budget(np.full(3, 1 / 3), 300).tolist() == [100, 100, 100]


# ------------------------------------------------------------------------------------------------------ the summary


@given(wide_margins, laws, budgets, taus)
def test_effective_sample_size_lies_between_1_and_n(margins: FloatArray, law: AllocationLaw, budget: int, tau: float):
    probabilities = allocation_probabilities(margins, law, tau=tau)
    summary = summarize_allocation(probabilities, allocate_budget(probabilities, budget))
    assert 1 - 1e-12 <= summary.effective_sample_size <= len(margins) * (1 + 1e-12)


def test_summary_by_hand():
    summary = summarize_allocation(np.array([0.5, 0.5, 0.0, 0.0]), np.array([4, 3, 0, 0]))
    assert summary.pairs == 4
    assert summary.budget == 7
    assert summary.effective_sample_size == 2.0
    assert (summary.smallest, summary.largest, summary.zeros) == (0, 4, 2)


def test_effective_sample_size_at_its_ends():
    assert summarize_allocation(np.full(8, 0.125), np.ones(8, dtype=np.int64)).effective_sample_size == 8.0
    assert summarize_allocation(np.array([0.0, 1.0]), np.array([0, 9])).effective_sample_size == 1.0
    nothing = summarize_allocation(np.zeros(0), np.zeros(0, dtype=np.int64))
    assert (nothing.pairs, nothing.effective_sample_size, nothing.smallest, nothing.largest) == (0, 0.0, 0, 0)


def test_low_margin_pairs_are_those_with_more_than_an_equal_share():
    assert has_low_margin(np.array([0.5, 0.2, 0.2, 0.1])).tolist() == [True, False, False, False]
    assert not has_low_margin(np.full(3, 1 / 3)).any()
    assert not has_low_margin(np.full(3, 1 / 3) * (1 + 1e-12)).any()  # rounding noise


def test_the_margin_of_an_equal_share_parts_those_with_more_from_those_with_less():
    margins = np.random.default_rng(3).normal(0.5, 2.0, 400)
    for tau in (0.1, 0.5, 3.0):
        border = equal_share_margin(margins, tau=tau)
        assert ((margins < border) == has_low_margin(allocation_probabilities(margins, "signed", tau=tau))).all()
    assert equal_share_margin(margins, tau=0) == pytest.approx(margins.mean())
    assert equal_share_margin(margins, tau=1e-6) == pytest.approx(margins.mean(), abs=1e-4)


@pytest.mark.parametrize("scale", ["raw", "standard"])
@pytest.mark.parametrize("tau", [0.0, 0.5, 3.0])
def test_the_hard_are_those_that_get_more_than_an_equal_share(scale, tau):
    margins = np.random.default_rng(1).normal(0.3, 2.0, 500)
    border = hard_below(margins, scale=scale, tau=tau)
    scaled = margins / margins.std() if scale == "standard" else margins
    shares = allocation_probabilities(scaled, "signed", tau=tau or 1e-9)
    assert (margins < border).tolist() == (shares > 1 / 500).tolist()
