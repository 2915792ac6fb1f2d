"""Everything that an experiment needs of the world, in one place."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig
from mars_engine.core.progress import Progress
from mars_engine.core.protocols import LinearTrainer, StepTrainer, ViewFeatures
from mars_engine.core.records import FloatArray, IntArray, Pair, TrainingSet
from mars_engine.experiments.cells import CellStore
from mars_engine.experiments.draws import Draw
from mars_engine.reward_models.workbench import AddPoint, forget_point


class Laboratories(Protocol):
    """Workbenches of an experiment's own, each on a memory of its own that outlives a kill."""

    def open(self, name: str, config: MarsConfig) -> AbstractContextManager[Workbench]:
        """Open the workbench of that name, with the probe as its reward model; what it had made is there again."""
        ...

    def discard(self, name: str) -> None:
        """Delete what is kept under a name, if there is anything."""
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
