"""What training and scoring take from the world, in one place; `augment/workbench.py` adds generators and judges."""

from collections.abc import Callable
from dataclasses import dataclass

from mars_engine.core.clock import Clock
from mars_engine.core.config import MarsConfig
from mars_engine.core.progress import Progress
from mars_engine.embeddings.protocols import Encoder
from mars_engine.reward_models.protocols import ModelShelf, ProbeFitter, RewardModelTrainer
from mars_engine.store import Store

AddPoint = Callable[[str, int, float], None]
"""Notes a metric's value at a step, for the curves that are seen while a run works."""


def forget_point(_metric: str, _step: int, _value: float) -> None:
    """Store no point of a curve: for work that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class ModelWorkbench:
    """A workspace's settings, memory and reward models: all that training and scoring need."""

    config: MarsConfig
    store: Store
    encoder: Encoder
    trainer: RewardModelTrainer
    """Trains what is configured."""
    probe_trainer: ProbeFitter
    """For triage, which asks the probe whatever is trained: its out-of-fold models cost next to nothing."""
    shelf: ModelShelf
    clock: Clock
    progress: Progress
    add_point: AddPoint = forget_point
