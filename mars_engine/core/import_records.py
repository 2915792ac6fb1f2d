"""What an import reads, keeps and drops, and the datasets that it leaves behind."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import Pair, Split


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """The pairs that one row of a source gave, and the reasons for what it did not give. `row` counts from 1.

    `notes` say what is odd about the pairs that were kept. `unused` are the columns that hold something and were not
    used, as they stand.
    """

    row: int
    pairs: tuple[Pair, ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unused: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class DroppedRow:
    """A row that gave no pair, with the reason."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class ColumnExample:
    """A column of a source: how many rows hold something in it, and an example. A column's field is `column.field`."""

    name: str
    rows: int
    example: str


@dataclass(frozen=True, slots=True)
class SourceColumns:
    """What a person chooses from where rows are not recognised, by the first rows of a source."""

    columns: tuple[ColumnExample, ...]
    roles: tuple[str, ...]
    """Names of roles in its turns that are not known."""
    suggested: Mapping[str, str]
    """From prompt, chosen, rejected to the columns that may be them; empty where nothing suggests it."""


@dataclass(frozen=True, slots=True)
class ImportReport(ShownAsTable):
    """What an import read, kept and dropped. `kept` counts new pairs, `already_present` those the store had."""

    dataset_id: str
    name: str
    format: str
    split: Split
    rows_read: int
    kept: int
    already_present: int
    dropped: Mapping[str, int]
    examples: tuple[DroppedRow, ...]
    """The first dropped rows of each reason, to look up in the file."""
    prompts_in_other_split: int
    """Kept pairs whose prompt also has pairs in the other split: an evaluation on them is less independent."""
    longer_wins: float
    """Accuracy of "the longer response is better" on the kept pairs, ties 0.5; NaN where nothing was kept."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """What is odd about rows that were kept, with the number of rows."""
    unused: tuple[ColumnExample, ...] = ()
    """Columns that were read past, for a person to see whether something of theirs was left out."""
    findings: Mapping[str, Any] | None = None
    """What all pairs then say against themselves, as plain JSON; None where it was not looked for."""


def import_report_from_plain(plain: Mapping[str, Any]) -> ImportReport:
    """Return an import's report from plain JSON, as it is stored with a dataset or printed.

    Raises:
        TypeError, KeyError: it is none.
    """
    longer_wins = math.nan if plain["longer_wins"] is None else plain["longer_wins"]
    examples = tuple(DroppedRow(**each) for each in plain["examples"])
    unused = tuple(ColumnExample(**each) for each in plain["unused"])
    return ImportReport(**{**plain, "longer_wins": longer_wins, "examples": examples, "unused": unused})
