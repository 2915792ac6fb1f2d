"""An experiment: methods × seeds × datasets × matchings from one plan, cell by cell.

For each dataset and seed the parts are drawn, the training rows of each method are made, heads are trained on them,
and the held-out pairs are ranked. A finished cell is kept at once and never computed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mars_engine.core.records import FloatArray, content_id
from mars_engine.experiments.cells import CellKey, ExperimentCell, say_data, wanted_cells
from mars_engine.experiments.draws import DatasetPairs, draw_pairs, flip_labels
from mars_engine.experiments.methods import Laboratory, TrainingRows
from mars_engine.experiments.plan import DatasetPlan, ExperimentPlan
from mars_engine.experiments.tools import ExperimentTools
from mars_engine.stats.metrics import correctness

FORMAT = 2
"""Raised when a change of the code makes earlier cells incomparable with new ones."""


@dataclass(frozen=True, slots=True)
class ExperimentForecast:
    """What running a plan would mean."""

    cells: int
    finished: int
    texts_to_embed: int
    """At most, views under dropout counted one by one; what is in the cache of embeddings already costs nothing."""
    seconds: float
    """Rough; for the cells that are missing."""

    @property
    def missing(self) -> int:
        return self.cells - self.finished


def experiment_id(
    plan: ExperimentPlan, datasets: Mapping[str, DatasetPairs], *, encoder: str, generators: Sequence[str]
) -> str:
    """Return the id of what a plan's cells depend on: its decisive settings, the pairs, the encoder, the generators."""
    contents = {name: data.content for name, data in datasets.items()}
    return content_id(FORMAT, plan.decisive_settings(), contents, encoder, list(generators))


def run_experiment(
    plan: ExperimentPlan, datasets: Mapping[str, DatasetPairs], tools: ExperimentTools
) -> list[ExperimentCell]:
    """Compute the plan's missing cells, and return all of its cells.

    Args:
        plan: what to do.
        datasets: the pairs of each dataset, by its name.
        tools: memories and models.

    Raises:
        LoadError: a dataset has too few pairs.
        NotReadyError: not one new pair could be made for a draw.
    """
    finished = {cell.key for cell in tools.cells.load()}
    missing = [key for key in wanted_cells(plan) if key not in finished]
    with tools.progress.task("cells of the experiment", len(missing)) as task:
        for dataset, flipped, seed in product(plan.datasets, plan.flipped, plan.seeds):
            keys = [key for key in missing if (key.dataset, key.flipped, key.seed) == (dataset.name, flipped, seed)]
            if not keys:
                continue
            with open_laboratory(plan, dataset, seed, datasets[dataset.name], tools, flipped=flipped) as laboratory:
                for key in keys:
                    cell = compute_cell(laboratory, key)
                    tools.cells.append(cell)
                    tools.add_point(
                        f"{say_data(key.dataset, key.flipped)}, {key.matching}: {key.method}", seed, cell.accuracy
                    )
                    task.advance()
                laboratory.discard()
    return plan_cells(plan, tools.cells.load())


def plan_cells(plan: ExperimentPlan, cells: Sequence[ExperimentCell]) -> list[ExperimentCell]:
    """Return those of the finished cells that a plan asks for, in its order."""
    by_key = {cell.key: cell for cell in cells}
    return [by_key[key] for key in wanted_cells(plan) if key in by_key]


def compute_cell(laboratory: Laboratory, key: CellKey) -> ExperimentCell:
    """Train one method's head in one way, and rank the held-out pairs by it."""
    tools, rows = laboratory.tools, laboratory.training_rows(key.method)
    steps = _steps(laboratory, key, rows)
    started = tools.seconds()
    if key.matching == "convex":
        head, pairs_seen = laboratory.linear.fit(rows.differences, rows.weights, rows.label_confidence), len(rows)
    else:
        rng = np.random.default_rng(key.seed)
        head = tools.stepwise.fit(rows.differences, rows.weights, rows.label_confidence, steps=steps, rng=rng)
        pairs_seen = steps * tools.stepwise.pairs_a_step(len(rows))
    seconds = tools.seconds() - started
    margins: FloatArray = laboratory.heldout_differences @ head
    correct = correctness(margins)
    wrong = rows.of_wrong_labels
    losses = rows.weights * label_losses(rows.differences @ head, rows.label_confidence)
    return ExperimentCell(
        key=key,
        accuracy=float(correct.mean()),
        log_loss=float(np.logaddexp(0.0, -margins).mean()),
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


def label_losses(margins: FloatArray, label_confidence: FloatArray) -> FloatArray:
    """Return each pair's Bradley–Terry loss, −p log σ(Δ) − (1 − p) log σ(−Δ), in nats, shape (n,)."""
    right = label_confidence * np.logaddexp(0.0, -margins)
    return np.asarray(right + (1 - label_confidence) * np.logaddexp(0.0, margins), dtype=np.float64)


def _steps(laboratory: Laboratory, key: CellKey, rows: TrainingRows) -> int:
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
    name = f"{dataset.name} {seed}" + (f" flipped {flipped:g}" if flipped else "")
    return Laboratory(name, plan, draw, tools)


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
    """Return how many cells are missing, and about how long they take: by the finished cells, or else by a guess."""
    wanted = wanted_cells(plan)
    finished = plan_cells(plan, cells)
    texts = sum(_texts_to_embed(plan, dataset, datasets[dataset.name]) for dataset in plan.datasets)
    missing = len(wanted) - len(finished)
    seconds = _seconds_a_cell(finished) * missing if finished else texts * SECONDS_A_TEXT + missing * SECONDS_A_CELL
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
