"""Everything that an experiment needs of the world, in one place."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig
from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, IntArray, Pair, TrainingSet
from mars_engine.experiments.cells import CellStore
from mars_engine.experiments.draws import Draw
from mars_engine.reward_models.protocols import LinearTrainer
from mars_engine.reward_models.workbench import AddPoint, forget_point


class Laboratories(Protocol):
    """Workbenches of an experiment's own, each on a memory of its own that outlives a kill."""

    def open(self, name: str, config: MarsConfig) -> AbstractContextManager[Workbench]:
        """Open the workbench of that name, with the probe as its reward model; what it had made is there again."""
        ...

    def discard(self, name: str) -> None:
        """Delete the experiment's workbench of that name with all that it made, if there is one."""
        ...


class StepTrainer(Protocol):
    """Trains an experiment's linear reward models step by step, on features that are there already."""

    def steps_for_epochs(self, pairs: int) -> int:
        """Return the optimizer steps that take the configured number of passes over so many pairs."""
        ...

    def pairs_a_step(self, pairs: int) -> int:
        """Return the size of an experiment's batch where there are so many pairs; every batch is full."""
        ...

    def fit(
        self,
        differences: FloatArray,
        weights: FloatArray,
        label_confidence: FloatArray,
        *,
        steps: int,
        rng: np.random.Generator,
    ) -> FloatArray:
        """Return the weight vector, shape (d,), after exactly so many steps on n differences, shape (n, d)."""
        ...


class ViewFeatures(Protocol):
    """Features of views of a pair, for the methods that train on them: the same texts, seen otherwise."""

    @property
    def most(self) -> int:
        """How many different views a pair has."""
        ...

    def feature_differences(
        self, pairs: Sequence[Pair], count: int, *, like: LinearTrainer, progress: Progress
    ) -> FloatArray:
        """Return the feature differences of `count` views of each pair, in another's features, shape (n, count, d)."""
        ...


@dataclass(frozen=True, slots=True)
class TrainedMargins:
    """What a trained model says of its training rows and of the held-out pairs; each of shape (n,)."""

    train: FloatArray
    heldout: FloatArray


class FineTune(Protocol):
    """Fine-tunes a transformer on a training set."""

    def __call__(
        self, linear: LinearTrainer, training_set: TrainingSet, heldout: Sequence[Pair], *, steps: int, seed: int
    ) -> TrainedMargins:
        """Take so many optimizer steps, and return margins; nothing is kept of the model.

        Args:
            linear: the probe of the draw, for those that start from it.
            training_set: what is trained on.
            heldout: what is ranked beside it.
            steps: how many optimizer steps.
            seed: fixes a new head, dropout and the order of the pairs.
        """
        ...


@dataclass(frozen=True)
class ExperimentTools:
    """Memories, models and clocks of an experiment."""

    laboratories: Laboratories
    cells: CellStore
    stepwise: StepTrainer
    views: ViewFeatures
    fine_tune: FineTune
    count_tokens: Callable[[Sequence[str]], IntArray]
    with_rewrites: Callable[[Workbench, Draw], Workbench]
    """Makes a workbench write what is recorded for a draw's pairs."""
    claim: Callable[[str, bool], AbstractContextManager[bool]]
    """Keeps all other processes from a draw of this name meanwhile; true where it is ours. With true as its second
    argument it waits until no other process has the draw."""
    seconds: Callable[[], float]
    """A clock that only ever goes forward, in seconds."""
    progress: Progress
    add_point: AddPoint = forget_point
