"""How far answers lie from what a reward model was trained on: far from its data, a reward is a guess.

The distance of an answer is that to the k-th nearest training response, Euclidean, between embeddings of unit length
(Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", arXiv:2204.06507).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import Float32Array, FloatArray, Pair, Passage
from mars_engine.embeddings.protocols import Encoder

NEIGHBOUR = 10
"""k; the last one where there are fewer responses."""
MOST_RESPONSES = 2_000
"""Responses that are embedded; of more, so many are drawn."""


@dataclass(frozen=True)
class TrainingDistance:
    """Measures how far answers lie from training responses.

    Args:
        encoder: embeds the answers.
        responses: embeddings of unit length, shape (n, d).
    """

    encoder: Encoder
    responses: Float32Array

    @classmethod
    def of(cls, encoder: Encoder, responses: Sequence[str], *, progress: Progress) -> "TrainingDistance":
        """Embed training responses, one at least."""
        return cls(encoder, encoder.encode([Passage(text) for text in responses], progress=progress).vectors)

    def measure(self, texts: Sequence[str]) -> FloatArray:
        """Return the distance of each answer, 0 to 2.

        An empty answer is not embedded; it gets the largest distance of the others, one of which has a text.
        """
        written = np.array([bool(text.strip()) for text in texts])
        passages = [Passage(text) for text, is_written in zip(texts, written, strict=True) if is_written]
        vectors = self.encoder.encode(passages, progress=SilentProgress()).vectors
        cosines = vectors.astype(np.float64) @ self.responses.T.astype(np.float64)
        place = min(NEIGHBOUR, len(self.responses)) - 1
        nearest = -np.partition(-cosines, place, axis=1)[:, place]
        found = np.sqrt(np.clip(2 - 2 * nearest, 0.0, 4.0))
        distances = np.full(len(texts), found.max())
        distances[written] = found
        return distances


def draw_responses(pairs: Iterable[Pair], *, seed: int) -> tuple[str, ...]:
    """Return the distinct responses of training pairs that answers are held against, at most `MOST_RESPONSES`."""
    distinct = list(dict.fromkeys(text for pair in pairs for text in (pair.chosen, pair.rejected)))
    if len(distinct) <= MOST_RESPONSES:
        return tuple(distinct)
    places = np.random.default_rng(seed).choice(len(distinct), MOST_RESPONSES, replace=False)
    return tuple(distinct[place] for place in np.sort(places))
