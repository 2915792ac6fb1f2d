"""Holding out part of a source by prompt, for data that come in one file."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mars_engine.core.import_records import ParsedRow
from mars_engine.core.protocols import CountedSource, PairSource
from mars_engine.core.records import Pair, Split

BUCKETS = 10_000


@dataclass(frozen=True)
class HoldoutPart:
    """The training part or the held-out part of a source; all pairs of one prompt are in the same part.

    The part depends on the prompt's text and the fraction alone, so that it is the same in every import.
    """

    source: PairSource
    fraction: float
    split: Split

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def location(self) -> str:
        return self.source.location

    @property
    def format(self) -> str:
        return self.source.format

    @property
    def expected_rows(self) -> int:
        whole = self.source.expected_rows if isinstance(self.source, CountedSource) else 0
        share = self.fraction if self.split == "heldout" else 1 - self.fraction
        return round(whole * share)

    @property
    def content_hash(self) -> str:
        return f"{self.source.content_hash}:{self.split}-of-{self.fraction}"

    def rows(self) -> Iterator[ParsedRow]:
        """Yield the rows of this part; rows that gave no pair count for the training part."""
        for parsed in self.source.rows():
            pairs = tuple(pair for pair in parsed.pairs if self._is_heldout(pair) == (self.split == "heldout"))
            dropped = parsed.dropped if self.split == "train" else ()
            if pairs or dropped:
                yield replace(parsed, pairs=pairs, dropped=dropped, notes=parsed.notes if pairs else ())

    def _is_heldout(self, pair: Pair) -> bool:
        bucket = int.from_bytes(hashlib.sha256(pair.prompt_id.encode()).digest()[:8]) % BUCKETS
        return bucket < self.fraction * BUCKETS
