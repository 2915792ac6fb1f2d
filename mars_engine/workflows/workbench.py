"""Everything that the method needs of the world, in one place: what the assembly builds and the rounds use."""

from dataclasses import dataclass

from mars_engine.words.config import MarsConfig
from mars_engine.words.protocols import (
    Clock,
    Encoder,
    ModelShelf,
    Paraphraser,
    Progress,
    Refiner,
    RewardModelTrainer,
    Store,
)


@dataclass(frozen=True)
class Workbench:
    """A workspace's settings, memory, models and generators."""

    config: MarsConfig
    store: Store
    encoder: Encoder
    trainer: RewardModelTrainer
    shelf: ModelShelf
    paraphraser: Paraphraser
    refiner: Refiner
    clock: Clock
    progress: Progress
