"""From pairs to features: φ(x, y) is the embedding of the response alone, in its context, or both side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.words.config import Features
from mars_engine.words.protocols import Encoder, Progress
from mars_engine.words.records import Embeddings, FloatArray, Pair, Passage, Prompt, Truncation


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """φ of both sides of n pairs, shape (n, d) each, and what the length limit cut."""

    chosen: FloatArray
    rejected: FloatArray
    truncation: Truncation

    @property
    def differences(self) -> FloatArray:
        return self.chosen - self.rejected


def render_context(prompt: Prompt) -> str:
    """Return a prompt as the text before a response: one paragraph a turn, named by its role."""
    return "".join(f"{turn.role}: {turn.content}\n\n" for turn in prompt)


def pair_features(encoder: Encoder, pairs: Sequence[Pair], features: Features, *, progress: Progress) -> PairFeatures:
    """Return the features of both sides of each pair; all passages go to the encoder in one request."""
    sides = [(pair.prompt, response) for pair in pairs for response in (pair.chosen, pair.rejected)]
    alone = [Passage(response) for _, response in sides] if features != "context" else []
    in_context = (
        [Passage(response, render_context(prompt)) for prompt, response in sides] if features != "response" else []
    )
    encoded = encoder.encode([*alone, *in_context], progress=progress)
    blocks = [
        encoded.vectors[start : start + len(sides)] for start in range(0, len(alone) + len(in_context), len(sides) or 1)
    ]
    joined = np.hstack(blocks).astype(np.float64) if blocks else np.zeros((0, 1))
    return PairFeatures(joined[0::2], joined[1::2], _count_cut(encoded))


def _count_cut(encoded: Embeddings) -> Truncation:
    return Truncation(
        passages=len(encoded.vectors),
        contexts_cut=int((encoded.context_tokens_cut > 0).sum()),
        responses_cut=int((encoded.text_tokens_cut > 0).sum()),
    )
