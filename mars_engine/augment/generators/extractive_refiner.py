"""A refiner that invents nothing: it leaves out what the rejected answer shares with the chosen one."""

from collections.abc import Sequence

import numpy as np

from mars_engine.augment.generators.passages.sentences import SplitText, split_sentences
from mars_engine.augment.generators.protocols import Generation, RefineRequest
from mars_engine.core.progress import Progress
from mars_engine.core.records import Float32Array, GeneratorCard, Passage
from mars_engine.embeddings.protocols import Encoder


class ExtractiveRefiner:
    """Raises contrast by dropping the sentences of the rejected answer that are nearest to the chosen answer.

    Guarantees: every sentence of a candidate is one of the rejected answer's, unchanged and in its order; at least one
    sentence stays; one batch is one call of the encoder, and what else is in the batch changes no answer.

    Args:
        encoder: embeds the sentences.
        progress: shows how far the encoder has come.
    """

    def __init__(self, encoder: Encoder, *, progress: Progress) -> None:
        self._encoder = encoder
        self._progress = progress

    @property
    def card(self) -> GeneratorCard:
        return GeneratorCard(
            name="extractive-refiner",
            version="1",
            settings={"encoder": self._encoder.fingerprint},
            stand_in=True,
            note="a stand-in for demonstrations and tests: it writes nothing new, it only leaves out the sentences "
            "of the rejected answer that say most nearly what the chosen answer says",
        )

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        """Answer each request, in order: candidates without the nearest sentence, the nearest two, and so on."""
        splits = [(split_sentences(request.rejected), split_sentences(request.chosen)) for request in requests]
        failures = [_why_not(request, *split) for request, split in zip(requests, splits, strict=True)]
        answerable = [split for split, failure in zip(splits, failures, strict=True) if not failure]
        vectors = self._embed({body for split in answerable for part in split for body in _bodies(part)})
        return [
            Generation(request.key, (), failure=failure) if failure else _cuts(request, *split, vectors)
            for request, split, failure in zip(requests, splits, failures, strict=True)
        ]

    def _embed(self, bodies: set[str]) -> dict[str, Float32Array]:
        if not bodies:
            return {}
        ordered = sorted(bodies)
        embeddings = self._encoder.encode([Passage(body) for body in ordered], progress=self._progress)
        return dict(zip(ordered, embeddings.vectors, strict=True))


def _why_not(request: RefineRequest, rejected: SplitText, chosen: SplitText) -> str:
    """Return why a request cannot be answered, or nothing."""
    if request.side == "chosen":
        return (
            "the extractive refiner rewrites the rejected answer only: cutting the chosen one could make it the worse"
        )
    if not rejected.sentences:
        return "the rejected answer is empty: nothing can be dropped"
    if len(rejected.sentences) == 1:
        return "the rejected answer has one sentence only: nothing can be dropped"
    if not chosen.sentences:
        return "the chosen answer is empty: there is nothing to be near to"
    return ""


def _cuts(
    request: RefineRequest, rejected: SplitText, chosen: SplitText, vectors: dict[str, Float32Array]
) -> Generation:
    ours = np.stack([vectors[body] for body in _bodies(rejected)])
    theirs = np.stack([vectors[body] for body in _bodies(chosen)])
    # An encoder's batching may change a similarity by 1e-6; rounded, it does not change the order.
    nearness = np.round((ours @ theirs.T).max(axis=1), 5)
    nearest_first = np.argsort(-nearness, kind="stable").tolist()
    candidates: dict[str, None] = {}
    for dropped in range(1, min(request.count, len(nearest_first) - 1) + 1):
        cut = rejected.keeping(set(nearest_first[dropped:]))
        if cut.strip() and cut != request.rejected:
            candidates[cut] = None
    failure = "" if len(candidates) >= request.count else f"only {len(candidates)} of {request.count} cuts possible"
    return Generation(request.key, tuple(candidates), failure=failure)


def _bodies(split: SplitText) -> list[str]:
    return [sentence.body.strip() for sentence in split.sentences]
