"""The method on arrays: what it gives, and what it says of what it cannot use."""

import numpy as np
import pytest

import mars_engine as mars


def test_the_whole_budget_goes_to_low_margins_first():
    spent = mars.allocate([-2.0, 0.0, 2.0], 10, tau=1.0)
    assert spent.counts.sum() == 10
    assert spent.counts.tolist() == sorted(spent.counts.tolist(), reverse=True)
    assert "<table>" in spent._repr_html_()


def test_what_nobody_can_take_is_said():
    spent = mars.allocate([0.0, 1.0], 10, cap=3)
    assert (spent.unspent, spent.why_unspent) == (4, "All that are eligible are at the cap.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0.0], 1, {"law": "none"}), "there is no law 'none'"),
        (([0.0, float("nan")], 1, {}), "1 of 2 margins are NaN"),
        (([[0.0]], 1, {}), "margins have shape"),
        (([0.0], 0, {}), "budget is 0"),
        ((["a"], 1, {}), "margins are no numbers"),
    ],
)
def test_bad_input_is_told_clearly(arguments, words):
    margins, budget, options = arguments
    with pytest.raises(mars.MarsError, match=words.replace("[", r"\[")):
        mars.allocate(margins, budget, **options)


def test_a_negative_pair_is_suspected_and_one_near_zero_is_hard():
    assert mars.triage([[3.0, -3.0, -0.01], [2.0, -2.0, -0.01]]).verdicts == ("clear", "suspected", "hard")


def test_the_gate_passes_what_is_far_apart():
    assert mars.gate([0.1, 0.5], rule="fixed", threshold=0.3).passes.tolist() == [False, True]


def test_a_grid_drops_what_says_the_same_and_says_so():
    grid = mars.compose(["good", "fine", "Fine"], ["bad", "fine"], count=5)
    assert grid.pairs
    assert ("good", "bad") not in grid.pairs
    assert grid.dropped == {"a chosen text that says the same as another": 1, "both sides say the same": 1}
    assert grid.short == 3


def test_a_probe_learns_a_direction():
    differences = np.random.default_rng(0).normal(size=(200, 3)) + np.array([1.0, 0.0, 0.0])
    probe = mars.fit_probe(differences, l2=0.01)
    assert probe.weights[0] > abs(probe.weights[1])
    assert probe.margins(differences).shape == (200,)
    with pytest.raises(mars.MarsError, match="Expected"):
        probe.margins([[1.0]])
