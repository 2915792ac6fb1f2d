"""An experiment: methods × seeds × datasets × matchings from one plan, cell by cell.

For each dataset and seed the parts are drawn, the training rows of each method are made, heads are trained on them,
and the held-out pairs are ranked. A finished cell is kept at once and never computed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mars_engine.core.records import FloatArray, TrainingSet, content_id
from mars_engine.experiments.cells import CellKey, ExperimentCell, say_data, wanted_cells
from mars_engine.experiments.draws import DatasetPairs, draw_pairs, flip_labels
from mars_engine.experiments.methods import Laboratory, TrainingRows
from mars_engine.experiments.plan import DatasetPlan, ExperimentPlan
from mars_engine.experiments.tools import ExperimentTools, TrainedMargins
from mars_engine.reward_models.bradley_terry import bradley_terry_losses
from mars_engine.stats.metrics import correctness, log_losses

FORMAT = 2
"""Raised when a change of the code makes earlier cells incomparable with new ones."""


@dataclass(frozen=True, slots=True)
class ExperimentForecast:
    """What running a plan would mean."""

    cells: int
    finished: int
    texts_to_embed: int
    """At most, views under dropout counted one by one; what is in the cache of embeddings already costs nothing."""
    seconds: float | None
    """Rough; for the cells that are missing. None where transformers are trained and no cell is finished."""

    @property
    def missing(self) -> int:
        return self.cells - self.finished


def experiment_id(
    plan: ExperimentPlan,
    datasets: Mapping[str, DatasetPairs],
    *,
    encoder: str,
    generators: Sequence[str],
    backbone: str = "",
) -> str:
    """Return the id of what a plan's cells depend on: its decisive settings, the pairs and the models.

    Args:
        plan: the plan.
        datasets: the pairs of each dataset, by its name.
        encoder: the encoder's fingerprint.
        generators: those of the generators.
        backbone: that of what is trained through LoRA; empty where nothing is.
    """
    contents = {name: data.content for name, data in datasets.items()}
    trained = [backbone] if backbone else []
    return content_id(FORMAT, plan.decisive_settings(), contents, encoder, list(generators), *trained)


def run_experiment(
    plan: ExperimentPlan, datasets: Mapping[str, DatasetPairs], tools: ExperimentTools
) -> list[ExperimentCell]:
    """Compute the plan's missing cells, and return all of its cells.

    Several processes may run one plan at once: they share the draws out between them, and each returns once all cells
    are finished. What a killed process had begun is done by the others.

    Args:
        plan: what to do.
        datasets: the pairs of each dataset, by its name.
        tools: memories and models.

    Raises:
        LoadError: a dataset has too few pairs.
        NotReadyError: not one new pair could be made for a draw.
    """
    draws = [
        (dataset, flipped, seed)
        for dataset, flipped, seed in product(plan.datasets, plan.flipped, plan.seeds)
        if missing_cells(plan, tools, dataset.name, flipped, seed)
    ]
    with tools.progress.task("draws of the experiment", len(draws)) as task:
        # Draws that another process works on are come back to: by then it has finished them, or was killed.
        for wait in (False, True):
            others: list[tuple[DatasetPlan, float, int]] = []
            for dataset, flipped, seed in draws:
                with tools.claim(draw_name(dataset.name, flipped, seed), wait) as is_ours:
                    if not is_ours:
                        others.append((dataset, flipped, seed))
                        continue
                    # Asked anew: another process may have finished some since.
                    keys = missing_cells(plan, tools, dataset.name, flipped, seed)
                    _run_draw(plan, keys, dataset, datasets[dataset.name], tools)
                task.advance()
            draws = others
    return plan_cells(plan, tools.cells.load())


def missing_cells(
    plan: ExperimentPlan, tools: ExperimentTools, dataset: str, flipped: float, seed: int
) -> list[CellKey]:
    """Return the cells of one draw that are not finished, as of now."""
    finished = {cell.key for cell in tools.cells.load()}
    return [
        key
        for key in wanted_cells(plan)
        if (key.dataset, key.flipped, key.seed) == (dataset, flipped, seed) and key not in finished
    ]


def _run_draw(
    plan: ExperimentPlan, keys: Sequence[CellKey], dataset: DatasetPlan, data: DatasetPairs, tools: ExperimentTools
) -> None:
    """Compute cells of one draw, each kept as soon as it is finished."""
    if not keys:
        return
    with open_laboratory(plan, dataset, keys[0].seed, data, tools, flipped=keys[0].flipped) as laboratory:
        for key in keys:
            cell = compute_cell(laboratory, key)
            tools.cells.append(cell)
            said = say_data(key.dataset, key.flipped)
            tools.add_point(f"{said}, {key.matching}: {key.method}", key.seed, cell.accuracy)
        laboratory.discard()


def plan_cells(plan: ExperimentPlan, cells: Sequence[ExperimentCell]) -> list[ExperimentCell]:
    """Return those of the finished cells that a plan asks for, in its order."""
    by_key = {cell.key: cell for cell in cells}
    return [by_key[key] for key in wanted_cells(plan) if key in by_key]


def compute_cell(laboratory: Laboratory, key: CellKey) -> ExperimentCell:
    """Train on one method's pairs in one way, and rank the held-out pairs by it."""
    tools, rows = laboratory.tools, laboratory.training_rows(key.method)
    steps = steps_of(laboratory, key, rows)
    started = tools.seconds()
    trained = _train(laboratory, key, rows, steps)
    seconds = tools.seconds() - started
    pairs_seen = len(rows) if key.matching == "convex" else steps * tools.stepwise.pairs_a_step(len(rows))
    margins = trained.heldout
    correct = correctness(margins)
    wrong = rows.of_wrong_labels
    losses = rows.weights * bradley_terry_losses(trained.train, rows.label_confidence)
    return ExperimentCell(
        key=key,
        accuracy=float(correct.mean()),
        log_loss=float(log_losses(margins).mean()),
        steps=steps,
        pairs_seen=pairs_seen,
        training_pairs=len(rows),
        new_pairs=rows.new_pairs,
        wrong_labels=rows.wrong_labels,
        generation_tokens=rows.generation_tokens,
        training_tokens=round(float(rows.tokens.mean()) * pairs_seen),
        preparation_seconds=round(laboratory.preparation_seconds(key.method), 3),
        training_seconds=round(seconds, 4),
        wrong_weight=float(rows.weights[wrong].sum() / rows.weights.sum()),
        wrong_loss=float(losses[wrong].sum() / losses.sum()),
        prompts=tuple(laboratory.draw.heldout_prompts.tolist()),
        correct=tuple(correct.tolist()),
    )


def _train(laboratory: Laboratory, key: CellKey, rows: TrainingRows, steps: int) -> TrainedMargins:
    tools = laboratory.tools
    if laboratory.plan.train == "fine-tuned":
        training_set = TrainingSet(rows.pairs, rows.weights, rows.label_confidence)
        return tools.fine_tune(laboratory.linear, training_set, laboratory.draw.heldout, steps=steps, seed=key.seed)
    head = train_head(laboratory, key, rows, steps)
    return TrainedMargins(rows.differences @ head, laboratory.heldout_differences @ head)


def train_head(laboratory: Laboratory, key: CellKey, rows: TrainingRows, steps: int) -> FloatArray:
    """Return a cell's linear head, shape (d,), after so many optimizer steps, or of the exact fit."""
    if key.matching == "convex":
        return laboratory.linear.fit(rows.differences, rows.weights, rows.label_confidence)
    rng = np.random.default_rng(key.seed)
    return laboratory.tools.stepwise.fit(rows.differences, rows.weights, rows.label_confidence, steps=steps, rng=rng)


def steps_of(laboratory: Laboratory, key: CellKey, rows: TrainingRows) -> int:
    """Return the optimizer steps that a cell's head takes; 0 for the exact fit."""
    if key.matching == "convex":
        return 0
    return laboratory.mars_steps if key.matching == "steps" else laboratory.tools.stepwise.steps_for_epochs(len(rows))


def open_laboratory(
    plan: ExperimentPlan,
    dataset: DatasetPlan,
    seed: int,
    data: DatasetPairs,
    tools: ExperimentTools,
    *,
    flipped: float = 0.0,
) -> Laboratory:
    """Return the laboratory of one draw of a dataset, with a share of its labels flipped."""
    draw = flip_labels(draw_pairs(data, dataset, seed), flipped, seed)
    return Laboratory(draw_name(dataset.name, flipped, seed), plan, draw, tools)


def draw_name(dataset: str, flipped: float, seed: int) -> str:
    """Return what a draw is called among those of a plan."""
    return f"{dataset} {seed}" + (f" flipped {flipped:g}" if flipped else "")


# ------------------------------------------------------------------------------------------------------------- outlook

SECONDS_A_TEXT = 0.03
"""To embed a text of 100 tokens with the packaged encoder, on two cores: nothing but a first guess."""
SECONDS_A_CELL = 0.5
"""To train and evaluate a head, once its texts are embedded: nothing but a first guess."""
TEXTS_A_REFINED_PAIR = 20
"""Sentences and tries that are embedded to sharpen the contrast of a pair: nothing but a first guess."""


def forecast_experiment(
    plan: ExperimentPlan, datasets: Mapping[str, DatasetPairs], cells: Sequence[ExperimentCell]
) -> ExperimentForecast:
    """Return how many cells are missing, and about how long they take: by the finished cells, or else by a guess.

    How long a transformer takes is not guessed: between models and machines lie factors of thousands.
    """
    wanted = wanted_cells(plan)
    finished = plan_cells(plan, cells)
    texts = sum(_texts_to_embed(plan, dataset, datasets[dataset.name]) for dataset in plan.datasets)
    missing = len(wanted) - len(finished)
    seconds: float | None = None
    if finished:
        seconds = _seconds_a_cell(finished) * missing
    elif plan.train == "head":
        seconds = texts * SECONDS_A_TEXT + missing * SECONDS_A_CELL
    return ExperimentForecast(len(wanted), len(finished), texts, seconds)


def _seconds_a_cell(finished: Sequence[ExperimentCell]) -> float:
    """The finished cells' mean, their draws' shared work (the dearest cell's preparation, in each layer) included."""
    dearest: dict[tuple[str, float, int], float] = {}
    for cell in finished:
        draw = (cell.key.dataset, cell.key.flipped, cell.key.seed)
        dearest[draw] = max(dearest.get(draw, 0.0), cell.preparation_seconds)
    return (2 * sum(dearest.values()) + sum(cell.training_seconds for cell in finished)) / len(finished)


def _texts_to_embed(plan: ExperimentPlan, dataset: DatasetPlan, data: DatasetPairs) -> int:
    """At most: seeds draw overlapping pairs, whose texts are embedded once."""
    pairs = [*data.pairs, *data.heldout]
    responses = len({text for pair in pairs for text in (pair.chosen, pair.rejected)})
    base_pairs = min(len(pairs), len(plan.seeds) * dataset.base_pairs)
    base = min(responses, 2 * base_pairs)
    wanted = set(plan.methods)
    measured_on = len(data.heldout) or len(plan.seeds) * dataset.heldout_pairs
    count = responses if "self_training" in wanted else min(responses, base + 2 * measured_on)
    if {"uniform", "west_of_n", "mars_no_semantic", "leave_out_uniform", "middle"} & wanted:
        count += base * plan.propose.variants
    if {"mars_signed", "mars_absolute", "semantic_only", "mars_triage"} & wanted or "steps" in plan.matchings:
        count += base * plan.propose.variants // 2 + TEXTS_A_REFINED_PAIR * base_pairs // 2
    if "dropout_views" in wanted:
        count += base * plan.baselines.dropout_views
    return count
