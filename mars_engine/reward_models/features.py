"""From pairs to features: φ(x, y) is what an encoder's hidden states say of a response, each dimension on a scale."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mars_engine.core.progress import Progress
from mars_engine.core.records import (
    Embeddings,
    FloatArray,
    HiddenState,
    Pair,
    Passage,
    Pooling,
    Truncation,
)
from mars_engine.embeddings.protocols import Encoder

Reading = Literal["response", "context", "all"]


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """φ of both sides of n pairs, shape (n, d) each, and what the length limit cut."""

    chosen: FloatArray
    rejected: FloatArray
    truncation: Truncation

    @property
    def differences(self) -> FloatArray:
        return self.chosen - self.rejected


@dataclass(frozen=True, slots=True)
class TextStates:
    """Which vectors of a response's text make its features.

    Attributes:
        reading: which tokens count: of the response alone, of the response in the context of its prompt, or all.
        pooling: the mean of their states, or the state of the last.
        layers: the hidden layers, side by side; none stands for the sentence embedding.
    """

    reading: Reading
    pooling: Pooling
    layers: tuple[int, ...]

    @property
    def states(self) -> tuple[HiddenState, ...]:
        tokens: Literal["text", "all"] = "all" if self.reading == "all" else "text"
        return tuple(HiddenState(layer, tokens, self.pooling) for layer in self.layers)

    def of(self, encoder: Encoder, pairs: Sequence[Pair], *, progress: Progress) -> PairFeatures:
        """Return the vectors of both sides of each pair; all passages go to the encoder in one request."""
        passages = []
        for pair in pairs:
            context = "" if self.reading == "response" else encoder.context_of(pair.prompt)
            passages += [Passage(pair.chosen, context), Passage(pair.rejected, context)]
        if self.layers:
            found = encoder.hidden_states(passages, self.states, progress=progress)
        else:
            found = encoder.encode(passages, progress=progress)
        vectors = found.vectors.astype(np.float64)
        return PairFeatures(vectors[0::2], vectors[1::2], _count_cut(found))


@dataclass(frozen=True, eq=False)
class ProbeFeatures:
    """Features of responses: φ_j = h_j / (s_j √d), so that the squared length of Δφ is 1 in the mean where they came
    from.

    Attributes:
        text: which vectors h of a text.
        scale: s_j, the root of the mean square of a dimension's differences within pairs, shape (d,).
    """

    text: TextStates
    scale: FloatArray

    @property
    def width(self) -> int:
        return len(self.scale)

    @property
    def settings(self) -> dict[str, Any]:
        """Plain JSON that tells these features from others."""
        return {
            "reading": self.text.reading,
            "pooling": self.text.pooling,
            "layers": list(self.text.layers),
            "scale_sha256": hashlib.sha256(self.scale.tobytes()).hexdigest(),
        }

    def of(self, encoder: Encoder, pairs: Sequence[Pair], *, progress: Progress) -> PairFeatures:
        """Return φ of both sides of each pair, shape (n, d) each."""
        if not pairs:  # the vectors of no passages do not say how wide they are
            nothing = np.zeros((0, self.width))
            return PairFeatures(nothing, nothing, Truncation(0, 0, 0))
        raw = self.text.of(encoder, pairs, progress=progress)
        divisor = self.scale * np.sqrt(self.width)
        return PairFeatures(raw.chosen / divisor, raw.rejected / divisor, raw.truncation)


def fit_scale(differences: FloatArray) -> FloatArray:
    """Return the root of the mean square of each dimension's differences, shape (d,); 1 where it is 0.

    It is the same whichever side of a pair is the chosen one, so that no label enters the features.
    """
    scale = np.sqrt((differences**2).mean(axis=0))
    return np.where(scale > 0, scale, 1.0)


def _count_cut(read: Embeddings) -> Truncation:
    return Truncation(
        passages=len(read.vectors),
        contexts_cut=int((read.context_tokens_cut > 0).sum()),
        responses_cut=int((read.text_tokens_cut > 0).sum()),
    )
