"""Triage: folds that keep a prompt together, and verdicts on labels."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.reward_models.triage import assign_folds, judge_labels

groups = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=60)


@given(groups, st.integers(2, 6), st.integers(0, 1000))
def test_pairs_of_one_prompt_share_a_fold_and_folds_are_even(groups: list[str], folds: int, seed: int):
    assigned = assign_folds(groups, folds, np.random.default_rng(seed))
    fold_of = dict(zip(groups, assigned.tolist(), strict=True))
    assert [fold_of[group] for group in groups] == assigned.tolist()
    sizes = Counter(fold_of.values())
    counts = [sizes[fold] for fold in range(folds)]
    assert sum(counts) == len(fold_of)
    assert max(counts) - min(counts) <= 1


def test_folds_depend_on_the_draw_and_not_on_the_order_of_pairs():
    names = [f"prompt {number}" for number in range(40)]
    folds = assign_folds(names, 5, np.random.default_rng(1))
    np.testing.assert_array_equal(folds, assign_folds(names, 5, np.random.default_rng(1)))
    np.testing.assert_array_equal(folds[::-1], assign_folds(names[::-1], 5, np.random.default_rng(1)))
    assert (folds != assign_folds(names, 5, np.random.default_rng(2))).any()


def test_verdicts_by_hand():
    margins = np.array(
        [
            [3.0, -2.0, -0.1, -4.0, 0.5, 0.0],
            [2.0, -3.0, -0.1, 1.0, -0.4, 0.0],
        ]
    )
    judgement = judge_labels(margins, near_zero=0.25)
    # The boundary is a quarter of the standard deviation of all margins, 1.9: about -0.47.
    assert judgement.verdicts == ("clear", "suspected", "hard", "hard", "clear", "indistinct")
    np.testing.assert_allclose(judgement.margin_mean, [2.5, -2.5, -0.1, -1.5, 0.05, 0.0])
    np.testing.assert_allclose(judgement.margin_std, [0.5, 0.5, 0.0, 2.5, 0.45, 0.0])
    np.testing.assert_allclose(judgement.negative_share, [0.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    assert judgement.suspected.tolist() == [False, True, False, False, False, False]


def test_with_near_zero_0_every_consistently_negative_pair_is_suspected():
    judgement = judge_labels(np.array([[-0.001, 5.0], [-0.001, 5.0]]), near_zero=0.0)
    assert judgement.verdicts == ("suspected", "clear")


def test_a_larger_near_zero_suspects_fewer_and_never_others():
    margins = np.random.default_rng(0).normal(-0.5, 1.0, (3, 200))
    strict, lenient = (judge_labels(margins, near_zero=each).suspected for each in (0.1, 0.8))
    assert 0 < lenient.sum() < strict.sum()
    assert (strict | ~lenient).all()


def test_the_unit_of_reward_does_not_matter():
    margins = np.random.default_rng(0).normal(0.0, 1.0, (5, 100))
    assert judge_labels(margins, near_zero=0.25).verdicts == judge_labels(margins * 64, near_zero=0.25).verdicts


def test_no_pairs_give_no_verdicts():
    judgement = judge_labels(np.zeros((3, 0)), near_zero=0.25)
    assert judgement.verdicts == ()
    assert judgement.suspected.shape == (0,)


def test_a_tie_under_every_draw_is_indistinct_and_counts_half():
    margins = np.array([[0.0, 5e-7, -5e-7, 0.0, -1.0], [0.0, 0.0, 0.0, -1.0, 0.0]])
    judgement = judge_labels(margins, near_zero=0.0)
    assert judgement.verdicts == ("indistinct", "indistinct", "indistinct", "hard", "hard")
    np.testing.assert_allclose(judgement.negative_share, [0.5, 0.5, 0.5, 0.75, 0.75])
