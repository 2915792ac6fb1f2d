"""What an experiment is said to show: planted differences are found, their absence is said, and both are counted."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from experiment_fakes import make_plan

from mars_engine.cli.frame import as_plain
from mars_engine.core.errors import MarsError
from mars_engine.experiments.cells import CellKey, ExperimentCell
from mars_engine.experiments.plan import MATCHINGS, Method, TrainingSettings
from mars_engine.experiments.results import (
    cells_as_csv,
    points,
    results_as_csv,
    results_from_plain,
    say_how_many,
    say_verdict,
    summarize_experiment,
)

METHODS: tuple[Method, ...] = ("none", "uniform", "mars_signed", "adaboost")
SHARES = {"none": 0.6, "uniform": 0.6, "mars_signed": 0.75, "adaboost": 0.45}
"""How many held-out pairs each method is made to rank right: one gains much, one loses much."""


def cell(seed: int, method: Method, matching, *, heldout: int = 200) -> ExperimentCell:
    rng = np.random.default_rng([seed, METHODS.index(method), MATCHINGS.index(matching)])
    prompts = np.random.default_rng(seed).permutation(400)[:heldout]
    correct = (rng.random(heldout) < SHARES[method]).astype(float)
    return ExperimentCell(
        key=CellKey("fake", seed, method, matching),
        accuracy=float(correct.mean()),
        log_loss=0.69,
        steps=10 + seed,
        pairs_seen=80,
        training_pairs=20,
        new_pairs=4,
        wrong_labels=1,
        generation_tokens=100,
        training_tokens=1000,
        preparation_seconds=2.0,
        training_seconds=0.5,
        wrong_weight=0.0,
        wrong_loss=0.0,
        prompts=tuple(prompts.tolist()),
        correct=tuple(correct.tolist()),
    )


PLAN = make_plan(methods=METHODS, seeds=(0, 1, 2, 3), matchings=("epochs", "steps"))
CELLS = [cell(seed, method, matching) for seed in range(4) for method in METHODS for matching in ("epochs", "steps")]


@pytest.fixture(scope="module")
def results():
    return summarize_experiment(PLAN, CELLS)


def test_a_planted_difference_is_shown_and_its_absence_is_said(results):
    for comparison in results.comparisons:
        by_method = {result.method: result for result in comparison.methods}
        assert by_method["mars_signed"].against("uniform").verdict == "better than uniform"
        assert by_method["mars_signed"].against("none").verdict == "better than none"
        assert by_method["adaboost"].against("uniform").verdict == "worse than uniform"
        assert by_method["none"].against("uniform").verdict == "no difference shown"
        assert by_method["uniform"].against("none").verdict == "no difference shown"
        assert by_method["uniform"].against("uniform") is None
        assert "better than uniform (+" in say_verdict(by_method["mars_signed"], results.level)
        assert "no difference shown from none" in say_verdict(by_method["uniform"], results.level)


def test_methods_that_came_to_the_same_are_not_counted_as_compared(results):
    same = [
        replace(each, correct=twin.correct, accuracy=twin.accuracy) if each.key.method == "mars_signed" else each
        for each in CELLS
        for twin in CELLS
        if (twin.key.seed, twin.key.matching, twin.key.method) == (each.key.seed, each.key.matching, "uniform")
    ]
    found = summarize_experiment(PLAN, same)
    signed = next(each for each in found.comparisons[0].methods if each.method == "mars_signed")
    assert signed.against("uniform").verdict == "the same as uniform: nothing was compared"
    assert "mars_signed: the same as uniform: nothing was compared; " in say_verdict(signed, results.level)
    assert found.differences == results.differences - len(found.comparisons)


def test_the_spread_over_seeds_is_that_of_the_seeds_own_differences(results):
    signed = next(each for each in results.comparisons[0].methods if each.method == "mars_signed")
    chosen = {key: [c for c in CELLS if (c.key.method, c.key.matching) == (key, "epochs")] for key in METHODS}
    accuracies = np.array([each.accuracy for each in chosen["mars_signed"]])
    assert signed.accuracy.mean == pytest.approx(accuracies.mean())
    assert signed.accuracy.deviation == pytest.approx(accuracies.std(ddof=1))
    by_seed = accuracies - np.array([each.accuracy for each in chosen["uniform"]])
    found = signed.against("uniform")
    np.testing.assert_allclose(found.over_seeds.values, by_seed)
    assert (found.over_seeds.lowest, found.over_seeds.highest) == pytest.approx((min(by_seed), max(by_seed)))
    assert found.interval.estimate == pytest.approx(by_seed.mean())
    assert found.interval.low < by_seed.mean() < found.interval.high
    assert signed.steps == pytest.approx(11.5)


def test_comparisons_are_counted_once_and_said_with_what_chance_would_give(results):
    assert results.differences == 2 * (3 + 3 - 1)
    assert results.shown == 2 * 4
    assert results.expected_by_chance == pytest.approx(0.5)
    assert say_how_many(results).startswith("10 comparisons were made; in 8 of them the 95% interval misses 0.")
    assert results.shown_corrected == 8
    assert say_how_many(results).endswith("corrected for the number of comparisons (Holm), 8 are left.")
    alone = summarize_experiment(make_plan(methods=("uniform", "mars_signed"), seeds=(0, 1)), CELLS)
    assert alone.differences == 2


def test_results_stored_without_p_values_say_that_they_are_not_corrected(results):
    plain = as_plain(results)
    for interval in (
        each["interval"]
        for comparison in plain["comparisons"]
        for method in comparison["methods"]
        for each in method["differences"]
    ):
        del interval["p_value"]
    before = results_from_plain(json.loads(json.dumps(plain)))
    assert before.shown == results.shown
    assert before.shown_corrected is None
    assert say_how_many(before).endswith("the intervals are not corrected for it.")


def test_a_seed_counts_once_all_its_methods_are_finished():
    partial = [each for each in CELLS if (each.key.seed, each.key.method) != (3, "adaboost")]
    found = summarize_experiment(PLAN, partial)
    assert all(comparison.seeds == (0, 1, 2) for comparison in found.comparisons)
    assert (found.finished, found.cells) == (30, 32)
    with pytest.raises(MarsError, match="nothing to compare yet"):
        summarize_experiment(PLAN, partial[:3])


def test_results_survive_being_stored_as_json(results):
    plain = json.loads(json.dumps(as_plain(results)))
    assert results_from_plain(plain) == results
    one_seed = summarize_experiment(make_plan(methods=METHODS, seeds=(1,), matchings=("steps",)), CELLS)
    again = results_from_plain(json.loads(json.dumps(as_plain(one_seed))))
    assert np.isnan(again.comparisons[0].methods[0].accuracy.deviation)
    with pytest.raises(KeyError):
        results_from_plain({"name": "other"})


def test_results_name_a_backbone_of_the_plans_own_and_older_ones_named_none(results):
    assert results.trained == ""
    older = {name: value for name, value in as_plain(results).items() if name != "trained"}
    assert results_from_plain(older) == results
    training = TrainingSettings(learning_rate=2e-4, backbone="owner/name")
    plan = make_plan(methods=METHODS, seeds=(1,), matchings=("steps",), train="fine-tuned", training=training)
    assert summarize_experiment(plan, CELLS).trained.startswith("owner/name through LoRA (rank 16")


def test_the_tables_have_a_row_for_each_method_and_each_cell(results):
    rows = list(csv.DictReader(io.StringIO(results_as_csv(results))))
    assert len(rows) == 8
    signed = next(row for row in rows if row["method"] == "mars_signed")
    assert signed["verdict_against_none"] == "better than none"
    assert float(signed["minus_uniform_low"]) > 0
    assert next(row for row in rows if row["method"] == "none")["minus_none"] == ""
    cells = list(csv.DictReader(io.StringIO(cells_as_csv(CELLS))))
    assert len(cells) == 32
    assert set(cells[0]) >= {"dataset", "seed", "method", "matching", "accuracy", "training_tokens"}
    assert not {"prompts", "correct"} & set(cells[0])


@pytest.mark.parametrize(("share", "said"), [(0.01234, "+1.23"), (-0.005, "−0.50"), (-0.00001, "0.00")])
def test_points_have_a_sign_and_no_negative_zero(share, said):
    assert points(share) == said
