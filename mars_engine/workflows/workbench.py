"""Everything the method needs, in one place: opening a workspace builds it, the rounds use it."""

from dataclasses import dataclass

from mars_engine.words.config import MarsConfig
from mars_engine.words.protocols import (
    AddPoint,
    BenchmarkTexts,
    Clock,
    Encoder,
    FoldTrainer,
    Judge,
    LanguageDetector,
    ModelShelf,
    Paraphraser,
    Progress,
    Refiner,
    RewardModelTrainer,
    Store,
    forget_point,
    no_benchmarks,
)


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
    languages: LanguageDetector | None = None
    """For the gate that asks whether a text's language has changed."""
    benchmark_texts: BenchmarkTexts = no_benchmarks
    """For the gate that asks whether a proposal stands in a benchmark that was evaluated."""
    judge: Judge | None = None
    """For the gate that asks a judge model in both orders."""
