"""Everything the method needs, in one place: opening a workspace builds it, the rounds use it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mars_engine.core.config import MarsConfig
from mars_engine.core.protocols import (
    Clock,
    Encoder,
    FluencyModel,
    Judge,
    LanguageDetector,
    ModelShelf,
    Paraphraser,
    ProbeFitter,
    Progress,
    Refiner,
    RewardModelTrainer,
)
from mars_engine.store import Store

AddPoint = Callable[[str, int, float], None]
"""Notes a metric's value at a step, for the curves that are seen while a run works."""


def forget_point(_metric: str, _step: int, _value: float) -> None:
    """Store no point of a curve: for work that nobody watches."""


BenchmarkTexts = Callable[[], Mapping[str, Sequence[str]]]
"""Returns the texts of the benchmarks that were evaluated, by the name they are told by."""


def no_benchmarks() -> Mapping[str, Sequence[str]]:
    return {}


@dataclass(frozen=True)
class Workbench:
    """A workspace's settings, memory, models and generators."""

    config: MarsConfig
    store: Store
    encoder: Encoder
    trainer: RewardModelTrainer
    """Trains what is configured."""
    probe_trainer: ProbeFitter
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
    label_judge: Judge | None = None
    """The chat model as a judge of source pairs' labels, whether or not that gate is on."""
    fluency: FluencyModel | None = None
    """For the gate that asks a language model whether a text reads worse than its source."""
