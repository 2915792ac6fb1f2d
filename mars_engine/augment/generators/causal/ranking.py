"""A language model as a reader of what others write: how likely it finds a text, and the likeliest kept.

Nothing heavy is loaded before the first text is read.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mars_engine.augment.generators.causal.generators import causal_model
from mars_engine.augment.generators.protocols import Generation, Paraphraser, ParaphraseRequest, Prefetching
from mars_engine.augment.quality.protocols import FluencyModel
from mars_engine.core.config import CausalConfig
from mars_engine.core.progress import Progress
from mars_engine.core.records import FloatArray, GeneratorCard, Passage, Prompt

if TYPE_CHECKING:
    from mars_engine.augment.generators.causal.fluency import FluencyMeter

MOST_TOKENS = 1024
"""Of a prompt and its answer, that are read; the prompt is cut first."""


class CausalFluency:
    """Measures fluency with the model of [causal]; a text that was measured is not read again.

    Args:
        config: the model, and where it runs.
        progress: shows how far the reading has come.
        may_download: whether a model of the hub may be downloaded.
    """

    def __init__(self, config: CausalConfig, *, progress: Progress, may_download: bool = True) -> None:
        self._config, self._progress = config, progress
        self._known: dict[tuple[Prompt, str], float] = {}
        self._model = causal_model(config, progress=progress, may_download=may_download)

    @property
    def card(self) -> GeneratorCard:
        return GeneratorCard(
            name="causal-fluency",
            version="1",
            settings={"model": self._model.short_name, "weights": self._model.fingerprint, "max_tokens": MOST_TOKENS},
            stand_in=False,
            note="the mean log-likelihood of a text's tokens under a causal language model",
        )

    def measure(self, texts: Sequence[tuple[Prompt, str]]) -> FloatArray:
        """Return the mean log-likelihood of each text's tokens as an answer to its prompt, in nats, shape (n,)."""
        new = [each for each in dict.fromkeys(texts) if each not in self._known]
        if new:
            context_of = self._meter.passages.context_of
            passages = [Passage(text, context_of(prompt)) for prompt, text in new]
            self._known.update(zip(new, self._meter.measure(passages, progress=self._progress).tolist(), strict=True))
        return np.array([self._known[each] for each in texts], dtype=float)

    @cached_property
    def _meter(self) -> "FluencyMeter":
        from mars_engine.augment.generators.causal.fluency import load_meter

        return load_meter(
            self._model.folder,
            max_tokens=MOST_TOKENS,
            device=self._config.device,
            precision=self._config.precision,
            batch_tokens=self._config.batch_tokens,
        )


def rank_paraphrases(paraphraser: Paraphraser, fluency: FluencyModel, spare: int) -> "RankedParaphraser":
    """Return a paraphraser whose texts are ranked; it prefetches where the one that writes does."""
    kind = PrefetchingRanked if isinstance(paraphraser, Prefetching) else RankedParaphraser
    return kind(paraphraser, fluency, spare)


class RankedParaphraser:
    """Asks a paraphraser for more than is wanted, and keeps what a language model finds most fluent, the best first.

    Args:
        paraphraser: who writes.
        fluency: who reads.
        spare: how many paraphrases are asked for beyond those wanted.
    """

    def __init__(self, paraphraser: Paraphraser, fluency: FluencyModel, spare: int) -> None:
        self._paraphraser, self._fluency, self._spare = paraphraser, fluency, spare

    @property
    def card(self) -> GeneratorCard:
        card = self._paraphraser.card
        ranked_by = dict(self._fluency.card.settings)
        return replace(card, settings={**card.settings, "ranked_by": ranked_by, "rank_spare": self._spare})

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Answer each request, in order, from the most fluent paraphrases on; those of which nothing is known last."""
        written = self._paraphraser.paraphrase(self._with_spare(requests))
        figures = iter(self._fluency.measure([((), text) for each in written for text in each.candidates]).tolist())
        return [
            self._kept(answer, request, [next(figures) for _ in answer.candidates])
            for answer, request in zip(written, requests, strict=True)
        ]

    def _with_spare(self, requests: Sequence[ParaphraseRequest]) -> list[ParaphraseRequest]:
        return [replace(request, count=request.count + self._spare) for request in requests]

    def _kept(self, answer: Generation, request: ParaphraseRequest, figures: Sequence[float]) -> Generation:
        order = np.argsort(-np.nan_to_num(np.array(figures), nan=-np.inf), kind="stable")[: request.count]
        kept = tuple(answer.candidates[place] for place in order.tolist())
        is_short_of_spare_alone = len(kept) == request.count
        return replace(answer, candidates=kept, failure="" if is_short_of_spare_alone else answer.failure)


class PrefetchingRanked(RankedParaphraser):
    """Ranks the texts of a paraphraser that can start on requests before their answers are needed."""

    def prefetch(self, requests: Sequence[ParaphraseRequest], *, soon: bool = False) -> None:
        if isinstance(self._paraphraser, Prefetching):
            self._paraphraser.prefetch(self._with_spare(requests), soon=soon)
