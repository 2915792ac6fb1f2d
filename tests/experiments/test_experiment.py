"""An experiment from plan to cells: all methods, equal steps, resuming, and what each method trains on."""

from dataclasses import replace

import numpy as np
import pytest
from experiment_fakes import ListedCells, make_plan, make_tools
from fakes import make_pairs

from mars_engine.core.errors import LoadError
from mars_engine.core.records import Pair
from mars_engine.experiments.draws import DatasetPairs, draw_pairs
from mars_engine.experiments.experiment import experiment_id, forecast_experiment, run_experiment, wanted_cells
from mars_engine.experiments.methods import Laboratory
from mars_engine.experiments.plan import METHODS, DatasetPlan, ExperimentPlan, Method, TrainingSettings
from mars_engine.experiments.tools import ExperimentTools, TrainedMargins
from mars_engine.stats.metrics import sigmoid

LEAVING_OUT = ("leave_out", "leave_out_uniform", "mars_triage")
PAIRS = list(make_pairs(70, pairs_a_prompt=2))
DATA = {"fake": DatasetPairs(PAIRS)}


def laboratory(tools: ExperimentTools, plan: ExperimentPlan, seed: int = 0) -> Laboratory:
    return Laboratory("fake", plan, draw_pairs(DatasetPairs(PAIRS), plan.datasets[0], seed), tools)


def without_seconds(cells):
    return [replace(cell, preparation_seconds=0.0, training_seconds=0.0) for cell in cells]


@pytest.fixture(scope="module")
def finished():
    plan = make_plan()
    tools = make_tools(plan)
    return plan, tools, run_experiment(plan, DATA, tools)


def test_every_cell_of_the_plan_is_there_in_its_order(finished):
    plan, tools, cells = finished
    assert [cell.key for cell in cells] == wanted_cells(plan)
    assert len(cells) == len(METHODS) * 2 * 3
    assert {cell.key.method for cell in cells} == set(METHODS)
    assert all(0 <= cell.accuracy <= 1 and np.isfinite(cell.log_loss) for cell in cells)
    assert all(len(cell.correct) == len(cell.prompts) == 20 for cell in cells)
    assert not tools.laboratories.benches, "what is no longer needed is discarded"


def test_equal_steps_are_really_equal_and_are_those_of_mars(finished):
    _, tools, cells = finished
    for seed in (0, 1):
        steps = {cell.steps for cell in cells if cell.key.matching == "steps" and cell.key.seed == seed}
        (of_mars,) = (
            cell.steps
            for cell in cells
            if (cell.key.seed, cell.key.matching, cell.key.method) == (seed, "epochs", "mars_signed")
        )
        assert steps == {of_mars}
    asked = [cell.steps for cell in cells if cell.key.matching != "convex"]
    assert tools.stepwise.steps == asked, "what is reported is what was trained"


def test_equal_epochs_mean_steps_in_proportion_to_the_training_pairs(finished):
    _, _, cells = finished
    for cell in cells:
        if cell.key.matching == "epochs":
            assert cell.steps == int(np.ceil(3 * cell.training_pairs / 8))
            assert cell.pairs_seen == 8 * cell.steps
        if cell.key.matching == "convex":
            assert (cell.steps, cell.pairs_seen) == (0, cell.training_pairs)


def test_the_budget_is_spent_and_only_methods_that_write_texts_cost_tokens(finished):
    _, _, cells = finished
    writing = {"uniform", "west_of_n", "mars_signed", "mars_absolute", "mars_no_semantic", "semantic_only"}
    writing |= {"leave_out_uniform", "mars_triage", "middle"}
    for cell in cells:
        assert (cell.generation_tokens > 0) == (cell.key.method in writing)
        left_out = 2 if cell.key.method in LEAVING_OUT else 0
        assert cell.training_pairs == 16 - left_out + cell.new_pairs
        if cell.key.method in (*writing, "dropout_views"):
            assert cell.new_pairs == 3 * 16
        if cell.key.method in ("none", "adaboost", "leave_out", "judge"):
            assert cell.new_pairs == 0


@pytest.mark.slow
def test_an_interrupted_experiment_computes_nothing_twice_and_ends_the_same(finished):
    plan, _, undisturbed = finished
    cells = ListedCells(interrupt_after=17)
    tools = make_tools(plan, cells=cells)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(plan, DATA, tools)
    assert len(cells.cells) == 17
    assert tools.laboratories.benches, "what was made for a draw is still there"
    cells.interrupt_after = -1
    resumed = run_experiment(plan, DATA, tools)
    assert len(cells.appended) == len(set(cells.appended)) == 90
    assert without_seconds(resumed) == without_seconds(undisturbed)
    again = make_tools(plan, cells=cells)
    run_experiment(plan, DATA, again)
    assert not again.laboratories.opened
    assert len(cells.appended) == 90


@pytest.mark.slow
def test_a_plan_that_grows_keeps_its_id_and_its_cells(finished):
    plan, _, _ = finished
    small = make_plan(methods=("none", "uniform"), seeds=(1,), matchings=("epochs",))
    assert small.decisive_settings() == plan.decisive_settings()
    cells = ListedCells()
    run_experiment(small, DATA, make_tools(small, cells=cells))
    assert len(cells.cells) == 2
    run_experiment(make_plan(methods=("none", "uniform"), seeds=(1, 2)), DATA, make_tools(plan, cells=cells))
    assert len(cells.appended) == len(set(cells.appended)) == 12
    ids = {
        experiment_id(each, DATA, encoder="e", generators=["g"])
        for each in (plan, small, make_plan(training=plan.training.model_copy(update={"epochs": 4})))
    }
    assert len(ids) == 2
    assert experiment_id(plan, DATA, encoder="other", generators=["g"]) not in ids
    assert experiment_id(plan, {"fake": DatasetPairs(PAIRS[1:])}, encoder="e", generators=["g"]) not in ids


def test_files_that_were_moved_are_the_same_experiment_and_other_pairs_of_them_are_not():
    plan = make_plan()
    (dataset,) = plan.datasets
    moved = replace_dataset(plan, dataset.model_copy(update={"paths": ("elsewhere/pairs.jsonl",)}))
    larger = replace_dataset(plan, dataset.model_copy(update={"base_pairs": dataset.base_pairs + 1}))
    first, second, third = (experiment_id(each, DATA, encoder="e", generators=["g"]) for each in (plan, moved, larger))
    assert first == second != third


def replace_dataset(plan: ExperimentPlan, dataset: DatasetPlan) -> ExperimentPlan:
    return plan.model_copy(update={"datasets": (dataset,)})


def test_methods_do_not_depend_on_which_others_are_run(finished):
    plan, _, cells = finished
    alone = make_plan(methods=("dropout_views",))
    few = run_experiment(alone, DATA, make_tools(alone))
    assert without_seconds(few) == without_seconds(
        [cell for cell in cells if cell.key.method == "dropout_views" and cell.key.dataset == plan.datasets[0].name]
    )


# ------------------------------------------------------------------------------------------------- the methods' sets


@pytest.mark.parametrize(
    ("method", "layer", "refines"),
    [("mars_signed", "with", True), ("semantic_only", "with", True), ("mars_no_semantic", "without", False)],
)
def test_only_the_semantic_layer_refines(method: Method, layer: str, refines: bool):
    plan = make_plan()
    tools = make_tools(plan)
    with laboratory(tools, plan) as opened:
        opened.training_rows(method)
        store = tools.laboratories.benches[f"fake {layer} the semantic layer"].store
        written = {proposal.method for proposal in store.proposals.proposals()}
        assert ("refined+paraphrase" in written) is refines
        plan_stored = store.proposals.latest_plan()
        assert plan_stored.law == ("uniform" if method == "semantic_only" else "signed")


def test_proposals_are_written_once_for_all_methods_of_a_layer():
    plan = make_plan()
    tools = make_tools(plan)
    with laboratory(tools, plan) as opened:
        opened.training_rows("uniform")
        paraphraser = tools.laboratories.benches["fake without the semantic layer"].paraphraser
        asked = len(paraphraser.asked)
        assert asked > 0
        for method in ("west_of_n", "mars_no_semantic", "none"):
            opened.training_rows(method)
        assert len(paraphraser.asked) == asked
        assert opened.preparation_seconds("west_of_n") > opened.preparation_seconds("none") > 0


def test_west_of_n_keeps_the_highest_margins_of_each_source():
    plan = make_plan()
    tools = make_tools(plan)
    with laboratory(tools, plan) as opened:
        rows = opened.training_rows("west_of_n")
        model = opened.training_rows("none")
        head = opened.linear.fit(model.differences, model.weights, model.label_confidence)
        uniform = opened.training_rows("uniform")
        assert len(rows) == len(uniform) == 16 * 4
        assert (rows.differences[16:] @ head).mean() > (uniform.differences[16:] @ head).mean()


def test_adaboost_weighs_what_the_warm_up_ranks_wrong_more():
    plan = make_plan()
    tools = make_tools(plan)
    with laboratory(tools, plan) as opened:
        none, rows = opened.training_rows("none"), opened.training_rows("adaboost")
        head = opened.linear.fit(none.differences, none.weights, none.label_confidence)
        margins = none.differences @ head
        assert np.argsort(-rows.weights).tolist() == np.argsort(margins).tolist()
        assert rows.weights.mean() == pytest.approx(1)
        np.testing.assert_array_equal(rows.differences, none.differences)


def test_self_training_takes_confident_pairs_as_the_warm_up_labels_them_and_counts_the_wrong_ones():
    plan = make_plan()
    draw = draw_pairs(DatasetPairs(PAIRS), plan.datasets[0], 0)
    exchanged = tuple(Pair.of(pair.prompt, pair.rejected, pair.chosen) for pair in draw.unlabelled)
    results = []
    for hidden in (draw.unlabelled, exchanged):
        tools = make_tools(plan)
        with Laboratory("fake", plan, replace(draw, unlabelled=hidden), tools) as opened:
            none, rows = opened.training_rows("none"), opened.training_rows("self_training")
            head = opened.linear.fit(none.differences, none.weights, none.label_confidence)
            margins = opened.linear.feature_differences(hidden, progress=tools.progress) @ head
            sure = sigmoid(np.abs(margins)) >= 0.55
            assert rows.new_pairs == sure.sum() > 0
            assert rows.wrong_labels == (margins[sure] < 0).sum()
            assert (rows.differences[16:] @ head > 0).all()
            results.append(rows)
    right, wrong = results
    np.testing.assert_allclose(right.differences, wrong.differences)
    assert right.wrong_labels + wrong.wrong_labels == right.new_pairs


@pytest.mark.slow
def test_triage_policies_hold_for_all_methods():
    plan = make_plan(triage=make_plan().triage.model_copy(update={"policy": "leave_out", "folds": 3, "seeds": 2}))
    noisy = [Pair.of(p.prompt, p.rejected, p.chosen) if number % 4 == 0 else p for number, p in enumerate(PAIRS)]
    cells = run_experiment(plan, {"fake": DatasetPairs(noisy)}, make_tools(plan))
    left = {cell.key.seed: cell.training_pairs for cell in cells if cell.key.method == "none"}
    assert min(left.values()) < 16
    assert all(
        cell.training_pairs - cell.new_pairs == left[cell.key.seed]
        for cell in cells
        if cell.key.method not in LEAVING_OUT
    )


# ------------------------------------------------------------------------------------------------------------- draws


@pytest.mark.parametrize("seed", range(5))
def test_heldout_prompts_are_in_no_other_part(seed):
    dataset = DatasetPlan(name="d", paths=("p",), base_pairs=20, heldout_pairs=15, unlabelled_pairs=9)
    draw = draw_pairs(DatasetPairs(PAIRS), dataset, seed)
    held = {pair.prompt_id for pair in draw.heldout}
    assert (len(draw.base), len(draw.heldout), len(draw.unlabelled)) == (20, 15, 9)
    assert not held & {pair.prompt_id for pair in (*draw.base, *draw.unlabelled)}
    assert not {pair.id for pair in draw.base} & {pair.id for pair in draw.unlabelled}
    assert (
        draw.base
        == draw_pairs(DatasetPairs(PAIRS), dataset, seed).base
        != draw_pairs(DatasetPairs(PAIRS), dataset, seed + 10).base
    )
    ids = sorted({pair.prompt_id for pair in PAIRS})
    assert [ids[number] for number in draw.heldout_prompts] == [pair.prompt_id for pair in draw.heldout]


def test_too_few_pairs_are_said_in_numbers():
    dataset = DatasetPlan(name="small one", paths=("p",), base_pairs=60, heldout_pairs=15)
    with pytest.raises(LoadError, match=r"'small one' has 70 pairs of 35 prompts, of which 54 pairs remain"):
        draw_pairs(DatasetPairs(PAIRS), dataset, 0)


def test_the_outlook_counts_what_is_missing(finished):
    plan, _, cells = finished
    before = forecast_experiment(plan, DATA, [])
    assert (before.cells, before.finished, before.missing) == (90, 0, 90)
    assert before.seconds > 0
    assert before.texts_to_embed > 140
    midway = forecast_experiment(plan, DATA, cells[:30])
    assert (midway.finished, midway.missing) == (30, 60)
    assert forecast_experiment(plan, DATA, cells).seconds == 0


def test_how_long_transformers_take_is_said_by_finished_cells_alone(finished):
    _, _, cells = finished
    plan = make_plan(train="fine-tuned", methods=("none", "uniform"), matchings=("steps",))
    assert forecast_experiment(plan, DATA, []).seconds is None
    done = [cell for cell in cells if cell.key.matching == "steps" and cell.key.method == "none"]
    assert forecast_experiment(plan, DATA, done).seconds > 0


def test_a_fine_tuned_cell_is_trained_on_the_methods_texts_for_equal_steps():
    plan = make_plan(methods=("none", "uniform", "mars_signed"), seeds=(0,), matchings=("steps",), train="fine-tuned")
    asked = []

    def fine_tune(linear, training_set, heldout, *, steps, seed):  # noqa: ARG001
        asked.append((len(training_set.pairs), steps, seed))
        count = len(training_set.pairs)
        return TrainedMargins(np.full(count, 2.0), np.where(np.arange(len(heldout)) < 15, 1.0, -1.0))

    cells = run_experiment(plan, DATA, replace(make_tools(plan), fine_tune=fine_tune))
    assert asked == [(16, 24, 0), (64, 24, 0), (64, 24, 0)]
    assert [(cell.accuracy, cell.steps) for cell in cells] == [(0.75, 24)] * 3
    head = make_plan(methods=plan.methods, seeds=(0,), matchings=("steps",))
    assert head.decisive_settings() != plan.decisive_settings()


def test_another_backbone_is_another_experiment():
    training = TrainingSettings(learning_rate=2e-4, backbone="a/b")
    plans = [
        make_plan(train="fine-tuned", methods=("none",), matchings=("steps",), training=each)
        for each in (training, training.model_copy(update={"backbone": "here/b"}))
    ]
    ids = [experiment_id(each, DATA, encoder="e", generators=["g"], backbone="f1") for each in plans]
    assert ids[0] == ids[1], "the same files under another name"
    assert experiment_id(plans[0], DATA, encoder="e", generators=["g"], backbone="f2") != ids[0]
    assert experiment_id(plans[0], DATA, encoder="e", generators=["g"]) != ids[0]
