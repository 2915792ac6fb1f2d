"""Embedding texts that are longer than the encoder reads: in pieces, beside the beginning that it does read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.augment.quality.text_facts import in_pieces
from mars_engine.core.progress import Progress
from mars_engine.core.records import Embeddings, FloatArray, Passage
from mars_engine.embeddings.protocols import Encoder

MOST_HALVINGS = 6
"""A text is read in 64 pieces at most; what an encoder cuts from those is not looked at."""


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """Unit-length embeddings of texts: `whole`, as far as the encoder reads, shape (d,); and those read in pieces."""

    whole: Mapping[str, FloatArray]
    parts: Mapping[str, FloatArray]

    def pieces(self, text: str) -> FloatArray:
        """Return the embeddings of a text's pieces, shape (pieces, d): one of a text that is read to its end."""
        return self.parts[text] if text in self.parts else self.whole[text][None]


def embed_texts(encoder: Encoder, families: Sequence[Sequence[str]], *, progress: Progress) -> EmbeddedTexts:
    """Embed texts for the quality gates, those too that the encoder cuts in pieces.

    Args:
        encoder: embeds.
        families: texts that are compared with each other: where one is cut, all are embedded in as many pieces.
        progress: shows how far it has come.
    """
    texts = list(dict.fromkeys(text for family in families for text in family))
    encoded = _encode(encoder, texts, progress)
    whole = dict(zip(texts, encoded.vectors.astype(np.float64), strict=True))
    cut = {text for text, tokens in zip(texts, encoded.text_tokens_cut, strict=True) if tokens}
    parts: dict[str, FloatArray] = {}
    for halvings in range(1, MOST_HALVINGS + 1):
        halved = dict.fromkeys(text for family in families if not cut.isdisjoint(family) for text in family)
        if not halved:
            break
        pieces = {text: in_pieces(text, halvings) for text in halved}
        encoded = _encode(encoder, [piece for each in pieces.values() for piece in each], progress)
        ends = np.cumsum([len(each) for each in pieces.values()])[:-1]
        vectors = np.split(encoded.vectors.astype(np.float64), ends)
        parts |= dict(zip(pieces, vectors, strict=True))
        tokens_cut = np.split(encoded.text_tokens_cut, ends)
        cut = {text for text, tokens in zip(pieces, tokens_cut, strict=True) if tokens.any()}
    return EmbeddedTexts(whole, parts)


def _encode(encoder: Encoder, texts: Sequence[str], progress: Progress) -> Embeddings:
    return encoder.encode([Passage(text) for text in texts], progress=progress)
