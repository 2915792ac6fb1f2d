"""What models are called where several stand beside each other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mars_engine.core.records import ModelRecord


def with_distinct_labels(records: Sequence[ModelRecord]) -> list[ModelRecord]:
    """Add the beginning of its id to a label that several models share."""
    uses = Counter(record.label for record in records)
    return [
        replace(record, label=f"{record.label} ({record.id[:6]})") if uses[record.label] > 1 else record
        for record in records
    ]
