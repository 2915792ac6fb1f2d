"""Views of a passage under the encoder's own dropout, as in SimCSE (Gao et al. 2021, arXiv 2104.08821)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mars_engine.words.records import Embeddings, Float32Array, Passage
from mars_engine.world.encoders.embedding_cache import BatchEncoder
from mars_engine.world.encoders.sentence_encoder import TokenizedPassage


class EncoderWithDropout(BatchEncoder, Protocol):
    """`SentenceEncoder`, or a fake in tests."""

    def encode_views(self, row: TokenizedPassage, *, views: int, dropout_rate: float, seed: int) -> Float32Array: ...


@dataclass(frozen=True)
class DropoutViewEncoder:
    """A batch encoder whose row is a passage's views side by side, so that `CachedEncoder` keeps them like embeddings.

    A passage's views depend on it alone, not on what is encoded with it.
    """

    encoder: EncoderWithDropout
    views: int
    dropout_rate: float

    @property
    def fingerprint(self) -> str:
        return f"{self.encoder.fingerprint}-{self.views}-views-{self.dropout_rate:g}"

    def tokenize(self, passages: Sequence[Passage]) -> list[TokenizedPassage]:
        return self.encoder.tokenize(passages)

    def plan_batches(self, rows: Sequence[TokenizedPassage]) -> list[list[int]]:
        return self.encoder.plan_batches(rows)

    def encode_batch(self, rows: Sequence[TokenizedPassage]) -> Embeddings:
        """Return the rows' views, shape (n, views·d); each row is encoded alone, its views in one batch."""
        vectors = [
            self.encoder.encode_views(
                row, views=self.views, dropout_rate=self.dropout_rate, seed=_seed_of(row.token_ids)
            ).ravel()
            for row in rows
        ]
        return Embeddings(
            np.stack(vectors),
            context_tokens_cut=np.array([row.context_tokens_cut for row in rows], dtype=np.int64),
            text_tokens_cut=np.array([row.text_tokens_cut for row in rows], dtype=np.int64),
        )


def _seed_of(token_ids: Sequence[int]) -> int:
    digest = hashlib.sha256(",".join(map(str, token_ids)).encode()).digest()
    return int.from_bytes(digest[:8])
