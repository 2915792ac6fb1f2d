"""An experiment's world in memory: quick, without models, and counting what it is asked for."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np
from fakes import make_bench

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import AllocationConfig, EvaluateConfig, MarsConfig, ProposeConfig
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import Pair
from mars_engine.experiments.cells import CellKey, ExperimentCell
from mars_engine.experiments.plan import BaselineSettings, DatasetPlan, ExperimentPlan, TrainingSettings
from mars_engine.experiments.recorded_rewrites import with_rewrites
from mars_engine.experiments.step_trainer import AdamWTrainer
from mars_engine.experiments.tools import ExperimentTools, TrainedMargins
from mars_engine.reward_models.protocols import LinearTrainer


@dataclass
class MemoryLaboratories:
    """Keeps workbenches by name until they are discarded."""

    benches: dict[str, Workbench] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    @contextmanager
    def open(self, name: str, config: MarsConfig) -> Iterator[Workbench]:
        self.opened.append(name)
        yield self.benches.setdefault(name, make_bench(config))

    def discard(self, name: str) -> None:
        self.discarded.append(name)
        self.benches.pop(name, None)


@dataclass
class ListedCells:
    """Keeps cells in a list; interrupts once it has kept as many as `interrupt_after`."""

    cells: list[ExperimentCell] = field(default_factory=list)
    appended: list[CellKey] = field(default_factory=list)
    interrupt_after: int = -1

    def load(self) -> list[ExperimentCell]:
        return list(self.cells)

    def append(self, cell: ExperimentCell) -> None:
        self.cells.append(cell)
        self.appended.append(cell.key)
        if len(self.appended) == self.interrupt_after:
            raise KeyboardInterrupt


@dataclass
class NoisyViews:
    """Views that are the pair's own features with a little noise."""

    most: int = 9

    def feature_differences(
        self, pairs: Sequence[Pair], count: int, *, like: LinearTrainer, progress: Progress
    ) -> np.ndarray:
        own = like.feature_differences(pairs, progress=progress)
        noise = np.random.default_rng(0).standard_normal((len(pairs), count, own.shape[1]))
        return own[:, None] + 0.05 * noise


@dataclass
class CountingTrainer:
    """AdamW that notes the steps of each fit."""

    inner: AdamWTrainer
    steps: list[int] = field(default_factory=list)

    def steps_for_epochs(self, pairs: int) -> int:
        return self.inner.steps_for_epochs(pairs)

    def pairs_a_step(self, pairs: int) -> int:
        return self.inner.pairs_a_step(pairs)

    def fit(self, differences, weights, label_confidence, *, steps: int, rng) -> np.ndarray:
        self.steps.append(steps)
        return self.inner.fit(differences, weights, label_confidence, steps=steps, rng=rng)


def fitted_without_steps(linear, training_set, heldout, *, steps: int, seed: int) -> TrainedMargins:  # noqa: ARG001
    """Margins of the exact fit, in the place of a fine-tuned encoder's."""
    parts = [linear.feature_differences(pairs, progress=SilentProgress()) for pairs in (training_set.pairs, heldout)]
    head = linear.fit(parts[0], training_set.weights, training_set.label_confidence)
    return TrainedMargins(parts[0] @ head, parts[1] @ head)


def make_plan(**changes: object) -> ExperimentPlan:
    """Return a small plan over the dataset "fake"."""
    settings = {
        "name": "small",
        "datasets": (DatasetPlan(name="fake", paths=("none",), base_pairs=16, heldout_pairs=20),),
        "seeds": (0, 1),
        "review": "accept-all",
        "allocation": AllocationConfig(budget_per_pair=3, tau=1.0, scale="standard"),
        "propose": ProposeConfig(variants=2),
        "training": TrainingSettings(epochs=3, batch_size=8),
        "baselines": BaselineSettings(confidence=0.55),
        "evaluate": EvaluateConfig(resamples=1_000),
    }
    return ExperimentPlan(**(settings | changes))


def make_tools(plan: ExperimentPlan, *, cells: ListedCells | None = None) -> ExperimentTools:
    """Return tools in memory, with the real probe on a fake encoder."""
    ticks = itertools.count()
    return ExperimentTools(
        laboratories=MemoryLaboratories(),
        cells=cells if cells is not None else ListedCells(),
        stepwise=CountingTrainer(AdamWTrainer(plan.training)),
        views=NoisyViews(),
        fine_tune=fitted_without_steps,
        count_tokens=lambda texts: np.array([len(text.split()) for text in texts], dtype=np.int64),
        with_rewrites=with_rewrites,
        claim=lambda name, wait: nullcontext(True),  # noqa: ARG005
        seconds=lambda: float(next(ticks)),
        progress=SilentProgress(),
    )
