"""Experiments on labels that are wrong: flipped by the plan or known to be, left out, set right, and what they cost."""

from datetime import UTC, datetime

import numpy as np
import pytest
from experiment_fakes import make_plan, make_tools
from fakes import make_pairs

from mars_engine.cli.frame import as_plain
from mars_engine.core.errors import LoadError
from mars_engine.core.records import Pair
from mars_engine.experiments.draws import DatasetPairs, draw_pairs, flip_labels
from mars_engine.experiments.experiment import open_laboratory, run_experiment
from mars_engine.experiments.page import experiment_html
from mars_engine.experiments.plan import BaselineSettings, DatasetPlan, NewPairWeights
from mars_engine.experiments.results import results_as_csv, results_from_plain, summarize_experiment, wrong_label_rows

PAIRS = list(make_pairs(70, pairs_a_prompt=2))
DATA = DatasetPairs(PAIRS)
DATASET = DatasetPlan(name="fake", paths=("none",), base_pairs=40, heldout_pairs=20)


@pytest.mark.parametrize("seed", range(3))
def test_exactly_a_share_is_flipped_and_never_a_heldout_pair(seed):
    draw = draw_pairs(DATA, DATASET, seed)
    few, many = (flip_labels(draw, share, seed) for share in (0.1, 0.25))
    for flipped, count in ((few, 4), (many, 10)):
        changed = [(old, new) for old, new in zip(draw.base, flipped.base, strict=True) if old.id != new.id]
        assert len(changed) == count
        assert all((new.chosen, new.rejected) == (old.rejected, old.chosen) for old, new in changed)
        assert flipped.wrong == {new.id for _, new in changed}
        assert flipped.heldout == draw.heldout
    assert few.wrong < many.wrong
    assert flip_labels(draw, 0.0, seed).base == draw.base


def test_a_wrong_label_that_is_flipped_is_right():
    draw = draw_pairs(DatasetPairs(PAIRS, mislabelled=frozenset(pair.id for pair in PAIRS)), DATASET, 0)
    assert len(draw.wrong) == 40
    flipped = flip_labels(draw, 0.25, 0)
    assert len(flipped.wrong) == 30
    assert flipped.wrong == {pair.id for pair in draw.base} & {pair.id for pair in flipped.base}


def test_a_pair_in_both_directions_cannot_be_flipped():
    pairs = [*PAIRS[:30], *[pair.exchanged for pair in PAIRS[:30]]]
    draw = draw_pairs(DatasetPairs(pairs, heldout=PAIRS[40:]), DATASET.model_copy(update={"base_pairs": 60}), 0)
    with pytest.raises(LoadError, match="both directions"):
        flip_labels(draw, 0.25, 0)


def test_own_heldout_pairs_stay_and_their_prompts_are_never_trained_on():
    train, heldout = PAIRS[:61], PAIRS[59:]
    dataset = DATASET.model_copy(update={"heldout_pairs": 0})
    for seed in (0, 1):
        draw = draw_pairs(DatasetPairs(train, heldout), dataset, seed)
        assert draw.heldout == tuple(heldout)
        held = {pair.prompt_id for pair in heldout}
        assert not held & {pair.prompt_id for pair in (*draw.base, *draw.unlabelled)}
        assert len(draw.base) == 40


def test_a_flipped_pair_takes_its_paraphrases_with_it_and_leaves_the_refined_answers():
    rewrites = {
        pair.id: {"chosen_p": [f"c{n}"], "rejected_p": [f"r{n}"], "rejected_refined": ["x"], "prompt_p": "p"}
        for n, pair in enumerate(PAIRS)
    }
    draw = draw_pairs(DatasetPairs(PAIRS, rewrites=rewrites), DATASET, 0)
    flipped = flip_labels(draw, 0.25, 0)
    for old, new in zip(draw.base, flipped.base, strict=True):
        if old.id == new.id:
            assert flipped.rewrites[new.id] == rewrites[old.id]
        else:
            before = rewrites[old.id]
            assert flipped.rewrites[new.id] == {
                "chosen_p": before["rejected_p"],
                "rejected_p": before["chosen_p"],
                "prompt_p": "p",
            }


@pytest.fixture(scope="module")
def noisy():
    plan = make_plan(
        datasets=(DATASET,),
        methods=("none", "uniform", "leave_out", "leave_out_uniform", "mars_signed", "mars_triage", "middle", "judge"),
        seeds=(0, 1),
        matchings=("convex",),
        flipped=(0.0, 0.25),
        baselines=BaselineSettings(leave_out=0.25, judge_accuracy=1.0),
    )
    tools = make_tools(plan)
    return plan, tools, run_experiment(plan, {"fake": DATA}, tools)


@pytest.mark.slow
def test_the_share_of_wrong_labels_is_counted_with_the_new_pairs_made_of_them(noisy):
    plan, _, cells = noisy
    clean = [cell for cell in cells if not cell.key.flipped]
    assert all((cell.wrong_weight, cell.wrong_loss) == (0.0, 0.0) for cell in clean)
    results = summarize_experiment(plan, cells)
    assert [comparison.flipped for comparison in results.comparisons] == [0.0, 0.25]
    assert [comparison.knows_wrong_labels for comparison in results.comparisons] == [False, True]
    share = {result.method: result.wrong_weight for result in results.comparisons[1].methods}
    assert share["none"] == pytest.approx(0.25)
    assert share["uniform"] == pytest.approx(0.25, abs=0.02)
    assert share["mars_signed"] > share["uniform"]
    assert share["leave_out"] < 0.15
    assert share["leave_out_uniform"] < 0.15
    assert share["mars_triage"] < share["mars_signed"]
    assert share["judge"] < 0.15
    loss = {result.method: result.wrong_loss for result in results.comparisons[1].methods}
    assert loss["none"] > share["none"]


def test_what_is_left_out_has_the_lowest_out_of_fold_margins(noisy):
    plan, _, _ = noisy
    with open_laboratory(plan, DATASET, 0, DATA, make_tools(plan), flipped=0.25) as opened:
        base = opened.training_rows("none").pairs
        kept = {pair.id for pair in opened.training_rows("leave_out").pairs}
        left_out = [pair for pair in base if pair.id not in kept]
        assert len(left_out) == 10
        assert len({pair.id for pair in left_out} & opened.draw.wrong) >= 7
        uniform = opened.training_rows("leave_out_uniform")
        assert {pair.id for pair in uniform.pairs[:30]} == kept
        assert uniform.new_pairs == opened.training_rows("uniform").new_pairs == 120
        prompts_left = {pair.prompt_id for pair in left_out} - {p.prompt_id for p in base if p.id in kept}
        assert not prompts_left & {pair.prompt_id for pair in uniform.pairs}


def test_a_judge_who_is_always_right_flips_only_wrong_labels(noisy):
    plan, _, _ = noisy
    with open_laboratory(plan, DATASET, 0, DATA, make_tools(plan), flipped=0.25) as opened:
        rows = opened.training_rows("judge")
        was_wrong = np.array([pair.id in opened.draw.wrong for pair in rows.pairs])
        assert (rows.label_confidence == 0).sum() >= 7
        assert (was_wrong & (rows.label_confidence == 1) == rows.of_wrong_labels).all()


def test_new_pairs_make_up_their_share_of_the_weight():
    plan = make_plan(new_pairs=NewPairWeights(augmented_share=0.3))
    with open_laboratory(plan, plan.datasets[0], 0, DATA, make_tools(plan)) as opened:
        rows = opened.training_rows("uniform")
        assert rows.weights[16:].sum() / rows.weights.sum() == pytest.approx(0.3)
        np.testing.assert_array_equal(opened.training_rows("none").weights, np.ones(16))
        assert (rows.weights[:16] == 1).all()


def test_exchanging_twice_gives_the_pair_back():
    pair = Pair.of((), "a", "b", subset="s")
    assert (pair.exchanged.chosen, pair.exchanged.rejected, pair.exchanged.subset) == ("b", "a", "s")
    assert pair.exchanged.exchanged == pair


def test_the_report_shows_what_wrong_labels_have_of_the_loss(noisy):
    plan, _, cells = noisy
    results = summarize_experiment(plan, cells)
    clean, flipped = results.comparisons
    assert wrong_label_rows(clean) == []
    rows = {method: (share, better) for method, share, better in wrong_label_rows(flipped)}
    assert rows["none"][1] == 0
    assert rows["leave_out"][0] < rows["none"][0]
    page = experiment_html(results, plan, made_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert page.count("share of the training loss that wrong labels have") == 1
    assert "fake, 25% of the labels flipped, convex" in page
    assert results_from_plain(as_plain(results)) == results
    assert f"{rows['none'][0]}" in results_as_csv(results)
