"""Coefficients of agreement against published worked examples, each other, and plain loops."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mars_engine.stats.agreement_coefficients import MISSING, cohens_kappa, krippendorffs_alpha, raw_agreement

RNG = np.random.default_rng


def matrix(*raters: str) -> np.ndarray:
    """One string a rater, one sign an item, "." where missing."""
    signs = sorted({sign for rater in raters for sign in rater} - {"."})
    return np.array([[MISSING if sign == "." else signs.index(sign) for sign in rater] for rater in raters]).T


# Krippendorff 2011, "Computing Krippendorff's alpha-reliability": sections A (binary), B (nominal) and C (four
# observers with missing answers; the twelfth unit has one answer alone).
MEG_AND_OWEN = matrix("0100000010", "1110010000")
BEN_AND_GERRY = matrix("aabbdcccedda", "babbbccceddd")
FOUR_OBSERVERS = matrix("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


@pytest.mark.parametrize(("ratings", "alpha"), [(MEG_AND_OWEN, 0.095), (BEN_AND_GERRY, 0.692), (FOUR_OBSERVERS, 0.743)])
def test_alpha_of_krippendorffs_own_examples(ratings, alpha):
    found = krippendorffs_alpha(ratings, rng=RNG(0))
    assert round(found.interval.estimate, 3) == alpha
    assert found.interval.low <= alpha <= found.interval.high


def test_items_with_one_answer_do_not_count():
    assert krippendorffs_alpha(FOUR_OBSERVERS, rng=RNG(0)).items == 11
    assert krippendorffs_alpha(FOUR_OBSERVERS, rng=RNG(0)) == krippendorffs_alpha(FOUR_OBSERVERS[:11], rng=RNG(0))


def from_table(table) -> tuple[np.ndarray, np.ndarray]:
    cells = [(row, column) for row, counts in enumerate(table) for column, n in enumerate(counts) for _ in range(n)]
    return np.array(cells).T[0], np.array(cells).T[1]


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        # Cohen 1960, in hundredths; Fleiss 1981, two psychologists; two reviewers of 50 grant applications.
        ([[25, 13, 12], [12, 2, 16], [3, 15, 2]], (0.29 - 0.35) / 0.65),
        ([[75, 1, 4], [5, 4, 1], [0, 0, 10]], 0.6765),
        ([[20, 5], [10, 15]], 0.4),
    ],
)
def test_kappa_of_published_examples(table, kappa):
    found = cohens_kappa(*from_table(table), rng=RNG(0))
    assert found.interval.estimate == pytest.approx(kappa, abs=5e-5)
    assert found.items == np.sum(table)


def test_the_intervals_are_near_the_large_sample_ones():
    # Cohen 1960: the standard error of κ is about √(p(1 − p)/n)/(1 − e), here with p = 0.7, e = 0.5 and n = 50.
    found = cohens_kappa(*from_table([[20, 5], [10, 15]]), rng=RNG(0)).interval
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(np.sqrt(0.7 * 0.3 / 50) / 0.5, abs=0.01)
    ones = np.array([[0, 0]] * 70 + [[0, 1]] * 30)
    raw = raw_agreement(ones, rng=RNG(0)).interval
    assert raw.estimate == 0.7
    assert (raw.high - raw.low) / (2 * 1.96) == pytest.approx(np.sqrt(0.7 * 0.3 / 100), abs=0.004)


# ---------------------------------------------------------------------------------------------------------- undefined


@pytest.mark.parametrize(
    "ratings", [np.zeros((0, 0), dtype=int), np.zeros((3, 0), dtype=int), matrix("aa..", "..bb"), matrix("ab")]
)
def test_without_overlap_agreement_is_undefined_and_says_so(ratings):
    for found in (krippendorffs_alpha(ratings, rng=RNG(0)), raw_agreement(ratings, rng=RNG(0))):
        assert (found.defined, found.interval, found.items) == (False, None, 0)
        assert "two people" in found.reason


def test_where_all_answers_are_the_same_alpha_and_kappa_are_undefined_and_raw_is_one():
    same = matrix("aaa.", "aaab")
    for found in (krippendorffs_alpha(same, rng=RNG(0)), cohens_kappa(same[:, 0], same[:, 1], rng=RNG(0))):
        assert (found.defined, found.items) == (False, 3)
        assert "by chance" in found.reason
    raw = raw_agreement(same, rng=RNG(0)).interval
    assert (raw.estimate, raw.low, raw.high) == (1.0, 1.0, 1.0)


def test_two_who_always_differ_have_a_kappa():
    assert cohens_kappa(np.array([0, 0]), np.array([1, 1]), rng=RNG(0)).interval.estimate == 0.0
    assert krippendorffs_alpha(matrix("aa", "bb"), rng=RNG(0)).interval.estimate == -0.5


# --------------------------------------------------------------------------------------------------------- properties

RATINGS = st.integers(1, 8).flatmap(
    lambda items: st.integers(2, 5).flatmap(
        lambda raters: st.lists(
            st.lists(st.integers(MISSING, 3), min_size=raters, max_size=raters), min_size=items, max_size=items
        ).map(np.array)
    )
)


def alpha_by_loops(ratings: np.ndarray) -> float | None:
    """α as it is defined: observed over expected disagreement of pairs of values."""
    units = [[value for value in row if value != MISSING] for row in ratings.tolist()]
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    observed = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    expected = sum(a != b for a, b in permutations(values, 2))
    return 1 - (observed / len(values)) / (expected / (len(values) * (len(values) - 1))) if expected else None


@given(RATINGS)
def test_alpha_is_what_its_definition_says(ratings):
    found = krippendorffs_alpha(ratings, rng=RNG(0), resamples=20)
    expected = alpha_by_loops(ratings)
    assert found.defined == (expected is not None)
    if expected is not None:
        assert found.interval.estimate == pytest.approx(expected)
        assert np.isfinite([found.interval.low, found.interval.high]).all()


@given(RATINGS, st.randoms())
def test_neither_the_order_of_items_and_raters_nor_the_names_of_categories_matter(ratings, random):
    names = random.sample(range(4), 4)
    renamed = np.array([[names[value] if value != MISSING else MISSING for value in row] for row in ratings.tolist()])
    shuffled = renamed[random.sample(range(len(ratings)), len(ratings))]
    shuffled = shuffled[:, random.sample(range(ratings.shape[1]), ratings.shape[1])]
    for coefficient in (krippendorffs_alpha, raw_agreement):
        one, other = (coefficient(each, rng=RNG(0), resamples=10) for each in (ratings, shuffled))
        assert (one.defined, one.items) == (other.defined, other.items)
        if one.defined:
            assert one.interval.estimate == pytest.approx(other.interval.estimate)


@given(RATINGS)
def test_those_who_always_agree_agree_perfectly_and_nobody_more(ratings):
    first = ratings[:, 0]
    copies = np.stack([first, first], axis=1)
    answered = first[first != MISSING]
    assume(len(set(answered.tolist())) > 1)
    for found in (krippendorffs_alpha(copies, rng=RNG(0)), cohens_kappa(first, first, rng=RNG(0))):
        assert (found.interval.estimate, found.interval.low, found.interval.high) == pytest.approx((1, 1, 1))
    alpha = krippendorffs_alpha(ratings, rng=RNG(0), resamples=10)
    assert not alpha.defined or alpha.interval.estimate <= 1 + 1e-12


@given(RATINGS)
def test_raw_agreement_of_two_is_the_share_of_equal_answers(ratings):
    first, second = ratings[:, 0], ratings[:, 1]
    both = (first != MISSING) & (second != MISSING)
    found = raw_agreement(ratings[:, :2], rng=RNG(0), resamples=10)
    assert found.items == both.sum()
    if both.any():
        assert found.interval.estimate == pytest.approx((first == second)[both].mean())


def test_chance_answers_agree_no_more_than_by_chance():
    rng = RNG(3)
    ratings = rng.choice(3, size=(20_000, 3), p=[0.6, 0.3, 0.1])
    assert abs(krippendorffs_alpha(ratings, rng=rng).interval.estimate) < 0.02
    assert abs(cohens_kappa(ratings[:, 0], ratings[:, 1], rng=rng).interval.estimate) < 0.03


def test_the_same_generator_gives_the_same_interval():
    assert krippendorffs_alpha(FOUR_OBSERVERS, rng=RNG(5)) == krippendorffs_alpha(FOUR_OBSERVERS, rng=RNG(5))
