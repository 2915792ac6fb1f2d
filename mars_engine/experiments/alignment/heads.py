"""The reward models of a comparison: a head of each method under each seed, trained once and kept."""

from dataclasses import asdict, dataclass

import numpy as np

from mars_engine.align.training.rewards import RewardSource
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Pair, content_id
from mars_engine.experiments.cells import CellKey, wanted_cells
from mars_engine.experiments.draws import Draw, draw_pairs
from mars_engine.experiments.experiment import open_laboratory, steps_of, train_head
from mars_engine.experiments.files import WorkspaceExperiment
from mars_engine.experiments.methods import Laboratory
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.reward_models.shelf import ProbeShelf, is_whole_probe
from mars_engine.stats.metrics import correctness

HEADS = "heads"


@dataclass(frozen=True)
class RewardHead:
    """A reward model of one method under one seed, its rewards at mean 0 and deviation 1 on its base pairs."""

    source: RewardSource
    accuracy: float
    """Share of the workspace's held-out pairs that it ranks right; NaN where there are none."""


def train_heads(experiment: WorkspaceExperiment) -> dict[CellKey, RewardHead]:
    """Train the heads that are not kept yet, each kept at once, and return all of the plan's.

    Raises:
        LoadError: the workspace has too few pairs.
        NotReadyError: not one new pair could be made for a draw.
        ModelError: what is kept of a head cannot be read.
    """
    plan, (dataset,) = experiment.plan, experiment.plan.datasets
    data, tools = experiment.datasets[dataset.name], experiment.tools()
    found: dict[CellKey, RewardHead] = {}
    shelf = ProbeShelf(experiment.folder, experiment.folder / HEADS, ProbeTrainer(plan.probe, experiment.encoder))
    ids = {key: content_id(experiment.id, asdict(key)) for key in wanted_cells(plan)}
    with tools.progress.task("seeds of the reward models", len(plan.seeds)) as task:
        for seed in plan.seeds:
            keys = [key for key in ids if key.seed == seed]
            missing = [key for key in keys if not is_whole_probe(shelf.folder / ids[key])]
            if missing:
                with open_laboratory(plan, dataset, seed, data, tools) as laboratory:
                    for key in missing:
                        shelf.save(_train(laboratory, key, ids[key]))
                    laboratory.discard()
            draw = draw_pairs(data, dataset, seed)
            for key in keys:
                found[key] = _head(shelf.read(ids[key], shelf.folder / ids[key]), key, draw)
            task.advance()
    return found


def _train(laboratory: Laboratory, key: CellKey, model_id: str) -> Probe:
    trainer, rows = laboratory.linear, laboratory.training_rows(key.method)
    choice = trainer.kept_choice() if isinstance(trainer, ProbeTrainer) else None
    if not isinstance(trainer, ProbeTrainer) or choice is None:
        raise TypeError(f"heads are trained on a probe's features, not on those of {type(trainer).__name__}")
    weights = train_head(laboratory, key, rows, steps_of(laboratory, key, rows))
    return Probe(model_id, weights, choice.l2, choice, trainer.encoder)


def _head(probe: Probe, key: CellKey, draw: Draw) -> RewardHead:
    base = probe.score(draw.base, progress=SilentProgress())
    sides = np.concatenate([base.chosen, base.rejected])
    source = RewardSource(
        f"{key.method}, seed {key.seed}", probe, mean=float(sides.mean()), deviation=float(sides.std()) or 1.0
    )
    return RewardHead(source, _accuracy(probe, draw.heldout))


def _accuracy(probe: Probe, heldout: tuple[Pair, ...]) -> float:
    if not heldout:
        return float("nan")
    return float(correctness(probe.score(heldout, progress=SilentProgress()).margins).mean())
