"""How far apart two texts are in meaning, by their embeddings."""

from collections.abc import Sequence

import numpy as np

from mars_engine.core.progress import Progress
from mars_engine.core.records import Float32Array, FloatArray, Pair, Passage
from mars_engine.embeddings.protocols import Encoder
from mars_engine.store import Store


def semantic_distance(chosen: Float32Array, rejected: Float32Array) -> FloatArray:
    """Return 1 − cos of the responses' embeddings, row by row: 0 (same direction) to 2 (opposite).

    Args:
        chosen: unit-length rows, shape (n, d).
        rejected: unit-length rows, shape (n, d).
    """
    cosine: FloatArray = np.einsum("nd,nd->n", chosen.astype(np.float64), rejected.astype(np.float64))
    return np.clip(1.0 - cosine, 0.0, 2.0)  # rows are of unit length to seven digits only


def response_distances(encoder: Encoder, pairs: Sequence[Pair], *, progress: Progress) -> FloatArray:
    """Return the semantic distance of each pair's two responses, shape (n,)."""
    passages = [Passage(text) for pair in pairs for text in (pair.chosen, pair.rejected)]
    vectors = encoder.encode(passages, progress=progress).vectors
    return semantic_distance(vectors[0::2], vectors[1::2])


def store_distances(store: Store, encoder: Encoder, pairs: Sequence[Pair], *, progress: Progress) -> None:
    """Embed the pairs that have no semantic distance under this encoder, and store theirs."""
    known = store.pairs.distances(encoder.fingerprint)
    missing = [pair for pair in pairs if pair.id not in known]
    if missing:
        distances = response_distances(encoder, missing, progress=progress).tolist()
        store.pairs.save_distances(
            encoder.fingerprint, dict(zip([pair.id for pair in missing], distances, strict=True))
        )
