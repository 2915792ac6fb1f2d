"""Everything that the method needs of the world, in one place: what the assembly builds and the rounds use."""

from collections.abc import Callable
from dataclasses import dataclass

from mars_engine.words.config import MarsConfig
from mars_engine.words.protocols import (
    Clock,
    Encoder,
    FoldTrainer,
    ModelShelf,
    Paraphraser,
    Progress,
    Refiner,
    RewardModelTrainer,
    Store,
)

AddPoint = Callable[[str, int, float], None]
"""Notes a metric's value at a step, for the curves that are seen while a run works."""


def forget_point(_metric: str, _step: int, _value: float) -> None:
    """For work that nobody watches."""


@dataclass(frozen=True)
class Workbench:
    """A workspace's settings, memory, models and generators."""

    config: MarsConfig
    store: Store
    encoder: Encoder
    trainer: RewardModelTrainer
    """Trains what is configured."""
    probe_trainer: FoldTrainer
    """For triage, which asks the probe whatever is trained: its out-of-fold models cost next to nothing."""
    shelf: ModelShelf
    paraphraser: Paraphraser
    refiner: Refiner
    clock: Clock
    progress: Progress
    add_point: AddPoint = forget_point
