"""What models are called where several stand beside each other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mars_engine.core.errors import ModelError
from mars_engine.core.records import ModelRecord


def with_distinct_labels(records: Sequence[ModelRecord]) -> list[ModelRecord]:
    """Add the beginning of its id to a label that several reward models share."""
    uses = Counter(record.label for record in records)
    return [
        replace(record, label=f"{record.label} ({record.id[:6]})") if uses[record.label] > 1 else record
        for record in records
    ]


SHORTEST_ID = 6
"""Characters of an id that name a model; as many stand beside a label that several share."""


def models_named(records: Sequence[ModelRecord], name: str) -> list[ModelRecord]:
    """Return the reward models of an id, its beginning, or a label, with or without the id that sets it apart."""
    return [
        record
        for record, distinct in zip(records, with_distinct_labels(records), strict=True)
        if name in (record.id, record.label, distinct.label)
        or (len(name) >= SHORTEST_ID and record.id.startswith(name))
    ]


def named_model(models: Sequence[ModelRecord], name: str) -> ModelRecord:
    """Return the newest reward model of an id, its beginning, or a label."""
    found = models_named(models, name)
    if not found:
        raise ModelError(
            f"the workspace has no reward model {name!r}",
            expected="an id, its beginning, or a label of one: "
            + (", ".join(model.label for model in with_distinct_labels(models)) or "none"),
            remedy="correct the name",
        )
    return found[-1]
