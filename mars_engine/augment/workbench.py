"""Everything the method needs, in one place: opening a workspace builds it, the rounds use it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mars_engine.augment.generators.protocols import Paraphraser, Refiner
from mars_engine.augment.quality.languages import PackagedLanguageDetector
from mars_engine.augment.quality.protocols import FluencyModel, Judge
from mars_engine.reward_models.workbench import ModelWorkbench

BenchmarkTexts = Callable[[], Mapping[str, Sequence[str]]]
"""Returns the texts of the benchmarks that were evaluated, by the name they are told by."""


def no_benchmarks() -> Mapping[str, Sequence[str]]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Workbench(ModelWorkbench):
    """A workspace's settings, memory and reward models, with its generators, judges and detectors."""

    paraphraser: Paraphraser
    refiner: Refiner
    languages: PackagedLanguageDetector | None = None
    """For the gate that asks whether a text's language has changed."""
    benchmark_texts: BenchmarkTexts = no_benchmarks
    """For the gate that asks whether a proposal stands in a benchmark that was evaluated."""
    judge: Judge | None = None
    """For the gate that asks a judge model in both orders."""
    label_judge: Judge | None = None
    """The chat model as a judge of source pairs' labels, whether or not that gate is on."""
    fluency: FluencyModel | None = None
    """For the gate that asks a language model whether a text reads worse than its source."""
