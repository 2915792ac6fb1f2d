"""Views of a passage under the encoder's own dropout, as in SimCSE (Gao et al. 2021, arXiv 2104.08821)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import HiddenState, Passage, Prompt
from mars_engine.embeddings.passage_tokens import TokenizedPassage
from mars_engine.embeddings.sentence_encoder import BatchReading, SentenceEncoder


@dataclass(frozen=True)
class DropoutViewEncoder:
    """A batch encoder whose row is a passage's views side by side, so that `CachedEncoder` keeps them like embeddings.

    A passage's views depend on it alone, not on what is encoded with it.
    """

    encoder: SentenceEncoder
    views: int
    dropout_rate: float

    @property
    def fingerprint(self) -> str:
        return f"{self.encoder.fingerprint}-{self.views}-views-{self.dropout_rate:g}"

    @property
    def depth(self) -> int:
        return self.encoder.depth

    def context_of(self, prompt: Prompt) -> str:
        return self.encoder.context_of(prompt)

    def tokenize(self, passages: Sequence[Passage]) -> list[TokenizedPassage]:
        return self.encoder.tokenize(passages)

    def plan_batches(self, rows: Sequence[TokenizedPassage]) -> list[list[int]]:
        return self.encoder.plan_batches(rows)

    def read_batch(
        self, rows: Sequence[TokenizedPassage], *, sentence: bool, states: Sequence[HiddenState] = ()
    ) -> BatchReading:
        """Return the rows' views, shape (n, views·d) each; each row is read alone, its views in one batch."""
        readings = [
            self.encoder.read_views(
                row,
                sentence=sentence,
                states=states,
                views=self.views,
                dropout_rate=self.dropout_rate,
                seed=_seed_of(row.token_ids),
            )
            for row in rows
        ]
        sentences = [reading.sentence.ravel() for reading in readings if reading.sentence is not None]
        return BatchReading(
            np.stack(sentences) if sentences else None,
            {state: np.stack([reading.states[state].ravel() for reading in readings]) for state in states},
        )


def _seed_of(token_ids: Sequence[int]) -> int:
    digest = hashlib.sha256(",".join(map(str, token_ids)).encode()).digest()
    return int.from_bytes(digest[:8])
