"""Import: read every row of a source, count what is dropped and why, store the rest in one transaction."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mars_engine.maths.metrics import longer_wins, pairwise_accuracy
from mars_engine.words.errors import LoadError
from mars_engine.words.protocols import Clock, PairSource, Progress, Store
from mars_engine.words.records import (
    ColumnExample,
    DatasetRecord,
    DroppedRow,
    ImportReport,
    Pair,
    Split,
    content_id,
    shortened,
)

EXAMPLES_A_REASON = 3
PAIRS_IN_PREVIEW = 3
DUPLICATE = "duplicate of another pair of the source"
IN_OTHER_SPLIT = {
    "train": "already a held-out pair: training on it would leak the evaluation",
    "heldout": "already a training pair: evaluating on it would leak the training",
}


@dataclass
class Sieve:
    """Collects what is kept and what is dropped while a source is read."""

    kept: dict[str, tuple[int, Pair]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    examples: list[DroppedRow] = field(default_factory=list)
    rows_read: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    unused_examples: dict[str, str] = field(default_factory=dict)

    def note(self, notes: Sequence[str], unused: Mapping[str, Any]) -> None:
        """Count what is odd about a row that was kept, and the columns of it that nothing was made of."""
        self.notes.update(notes)
        self.unused.update(unused.keys())
        for name, value in unused.items():
            if name not in self.unused_examples:
                self.unused_examples[name] = shortened(value)

    def drop(self, row: int, reason: str, *, detail: str = "") -> None:
        self.dropped[reason] += 1
        if self.dropped[reason] <= EXAMPLES_A_REASON:
            self.examples.append(DroppedRow(row, detail or reason))

    def keep(self, row: int, pair: Pair) -> None:
        if pair.id in self.kept:
            self.drop(row, DUPLICATE, detail=f"duplicate of the pair in row {self.kept[pair.id][0]}")
        else:
            self.kept[pair.id] = (row, pair)


@dataclass(frozen=True, slots=True)
class ImportPreview:
    """What importing a source would do, and its first pairs."""

    report: ImportReport
    first: tuple[Pair, ...]


def import_pairs(
    source: PairSource,
    store: Store,
    *,
    split: Split,
    clock: Clock,
    progress: Progress,
    may_be_empty: bool = False,
) -> ImportReport:
    """Import a source's pairs into a split.

    Nothing is stored before the last row has been read, and then all in one transaction. Importing the same source
    again adds nothing. `may_be_empty` is for a part of a source, which may get no pair; `validate_some_kept` then
    judges all parts together.

    Raises:
        LoadError: the source cannot be read, or has no usable pair; nothing was stored.
    """
    sieve, fresh, report = _sift(source, store, split, progress, may_be_empty=may_be_empty)
    if not sieve.kept:
        return report
    dataset = DatasetRecord(
        id=report.dataset_id,
        name=source.name,
        location=source.location,
        format=source.format,
        split=split,
        content_hash=source.content_hash,
        imported_at=clock(),
        pair_count=len(sieve.kept),
        report=asdict(report),
    )
    store.pairs.add_dataset(dataset, fresh)
    return report


def preview_import(
    source: PairSource, store: Store, *, split: Split, progress: Progress, may_be_empty: bool = False
) -> ImportPreview:
    """Return what `import_pairs` would report, and the first pairs that it would keep; nothing is stored.

    Raises:
        LoadError: as `import_pairs`.
    """
    sieve, _, report = _sift(source, store, split, progress, may_be_empty=may_be_empty)
    return ImportPreview(report, tuple(pair for _, pair in list(sieve.kept.values())[:PAIRS_IN_PREVIEW]))


def validate_some_kept(location: str, reports: Sequence[ImportReport]) -> None:
    """Raise LoadError where no part of a source has a usable pair."""
    if not any(report.kept + report.already_present for report in reports):
        dropped = sum((Counter(report.dropped) for report in reports), Counter[str]())
        raise _nothing_usable(location, reports[0].format, sum(report.rows_read for report in reports), dropped)


def _nothing_usable(location: str, format: str, rows: int, dropped: Counter[str]) -> LoadError:
    return LoadError(
        f"{location} has no usable pair in {rows} row(s): {_reasons(dropped)}",
        expected=f"rows in the format {format!r}",
        remedy=_remedy(dropped),
    )


def _remedy(dropped: Counter[str]) -> str:
    """Return what helps against the commonest reason."""
    reason = next((each for each, _ in dropped.most_common(1)), "")
    if reason in IN_OTHER_SPLIT.values():
        return "import other pairs, or take these out of the other split first"
    if "the roles are" in reason:
        return "say who is who, such as --roles name=user,other=assistant, where roles go by names of their own"
    if "may be" in reason:
        return "name the columns: --columns prompt=…,chosen=…,rejected=…"
    return "look at the rows, or name another format with --format"


def _sift(
    source: PairSource, store: Store, split: Split, progress: Progress, *, may_be_empty: bool
) -> tuple[Sieve, list[tuple[int, Pair]], ImportReport]:
    """Return what was kept and dropped, what of it is new, and the report."""
    sieve = _read(source, progress)
    present = store.pairs.present(sieve.kept)
    for pair_id, stored_split in present.items():
        if stored_split != split:
            row, _ = sieve.kept.pop(pair_id)
            sieve.drop(row, IN_OTHER_SPLIT[split])
    if not sieve.kept and not may_be_empty:
        raise _nothing_usable(source.location, source.format, sieve.rows_read, sieve.dropped)
    fresh = [(row, pair) for pair_id, (row, pair) in sieve.kept.items() if pair_id not in present]
    other_split: Split = "heldout" if split == "train" else "train"
    other_prompts = {pair.prompt_id for pair in store.pairs.pairs(other_split)}
    shared = sum(pair.prompt_id in other_prompts for _, pair in sieve.kept.values())
    return sieve, fresh, _report(source, sieve, split, fresh=len(fresh), shared=shared)


def _read(source: PairSource, progress: Progress) -> Sieve:
    sieve = Sieve()
    with progress.task(f"read {source.name}", 0) as task:
        for parsed in source.rows():
            sieve.rows_read += 1
            task.advance()
            for reason in parsed.dropped:
                sieve.drop(parsed.row, reason)
            for pair in parsed.pairs:
                sieve.keep(parsed.row, pair)
            if parsed.pairs:
                sieve.note(parsed.notes, parsed.unused)
    return sieve


def _report(source: PairSource, sieve: Sieve, split: Split, *, fresh: int, shared: int) -> ImportReport:
    pairs = [pair for _, pair in sieve.kept.values()]
    return ImportReport(
        dataset_id=content_id(source.content_hash, source.format, split),
        name=source.name,
        format=source.format,
        split=split,
        rows_read=sieve.rows_read,
        kept=fresh,
        already_present=len(pairs) - fresh,
        dropped=dict(sieve.dropped.most_common()),
        examples=tuple(sieve.examples),
        prompts_in_other_split=shared,
        longer_wins=longer_wins_accuracy(pairs),
        notes=dict(sieve.notes.most_common()),
        unused=tuple(
            ColumnExample(name, rows, sieve.unused_examples[name]) for name, rows in sieve.unused.most_common()
        ),
    )


def longer_wins_accuracy(pairs: Sequence[Pair]) -> float:
    """Return the accuracy of "the longer response is the better one", ties 0.5; NaN of no pairs."""
    if not pairs:
        return math.nan
    return pairwise_accuracy(longer_wins([pair.chosen for pair in pairs], [pair.rejected for pair in pairs]))


def _reasons(dropped: Counter[str]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "it is empty"
