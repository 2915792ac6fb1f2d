"""Holding out part of a source by prompt, for data that come in one file."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mars_engine.core.import_records import ParsedRow
from mars_engine.core.records import Pair, Split
from mars_engine.data.loaders.opening import PairSource

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
    def content_hash(self) -> str:
        return f"{self.source.content_hash}:{self.split}-of-{self.fraction}"

    def rows(self) -> Iterator[ParsedRow]:
        """Yield the source's rows as far as they belong to this part of the hold-out."""
        return (row for parsed in self.source.rows() if (row := self.part_of(parsed)) is not None)

    def part_of(self, parsed: ParsedRow) -> ParsedRow | None:
        """Return what of a row is of this part, None where nothing is; what gave no pair counts for the training."""
        pairs = tuple(pair for pair in parsed.pairs if self._is_heldout(pair) == (self.split == "heldout"))
        dropped = parsed.dropped if self.split == "train" else ()
        if not pairs and not dropped:
            return None
        return replace(parsed, pairs=pairs, dropped=dropped, notes=parsed.notes if pairs else ())

    def _is_heldout(self, pair: Pair) -> bool:
        bucket = int.from_bytes(hashlib.sha256(pair.prompt_id.encode()).digest()[:8]) % BUCKETS
        return bucket < self.fraction * BUCKETS
