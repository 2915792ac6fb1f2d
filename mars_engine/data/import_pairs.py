"""Import: read every row of a source, count what is dropped and why, store the rest in one transaction."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from mars_engine.core.clock import Clock
from mars_engine.core.errors import LoadError
from mars_engine.core.import_records import ColumnExample, DroppedRow, ImportReport, ParsedRow
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.progress import Progress, ProgressTask
from mars_engine.core.records import DatasetRecord, Pair, Split, content_id
from mars_engine.data.holdout import HoldoutPart
from mars_engine.data.loaders.opening import CountedSource, PairSource
from mars_engine.data.loaders.values import shortened
from mars_engine.stats.metrics import pairwise_accuracy
from mars_engine.store import Store
from mars_engine.store.staging import StagedPairs

EXAMPLES_A_REASON = 3
PAIRS_IN_PREVIEW = 3
IDS_AT_A_TIME = 10_000
DUPLICATE = "duplicate of another pair of the source"
IN_OTHER_SPLIT = {
    "train": "already a held-out pair: training on it would leak the evaluation",
    "heldout": "already a training pair: evaluating on it would leak the training",
}


@dataclass
class Sieve:
    """Collects what is kept and what is dropped while a source is read; what is kept is on the disk."""

    kept: StagedPairs
    dropped: Counter[str] = field(default_factory=Counter)
    examples: list[DroppedRow] = field(default_factory=list)
    rows_read: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    unused_examples: dict[str, str] = field(default_factory=dict)

    def take(self, parsed: ParsedRow) -> None:
        """Keep the row's pairs, and count what was dropped of it."""
        self.rows_read += 1
        for reason in parsed.dropped:
            self.drop(parsed.row, reason)
        for pair in parsed.pairs:
            self.keep(parsed.row, pair)
        if parsed.pairs:
            self.note(parsed.notes, parsed.unused)

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
        earlier = self.kept.add(row, pair)
        if earlier is not None:
            self.drop(row, DUPLICATE, detail=f"duplicate of the pair in row {earlier}")


@dataclass(frozen=True, slots=True)
class ImportPreview(ShownAsTable):
    """What importing a source would do, and its first pairs."""

    report: ImportReport
    first: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class _Standing:
    """How what was kept stands to what the store has."""

    present: frozenset[str]
    """Ids of the pairs that were there before."""
    shared_prompts: int


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
    again adds nothing, also at the same time. Memory is bounded: pairs wait on the disk.
    `may_be_empty` is for a part of a source, which may get no pair: `validate_some_kept` judges all parts together.

    Raises:
        LoadError: the source cannot be read, or has no usable pair; nothing was stored.
    """
    with store.pairs.staging() as staged:
        sieve = _read(source, staged, progress)
        return _store(source, sieve, store, split, clock, progress, may_be_empty=may_be_empty)


def import_held_out(
    parts: Sequence[HoldoutPart], store: Store, *, clock: Clock, progress: Progress
) -> list[ImportReport]:
    """Import the parts of one source, a report each; the source is read once.

    Either part may be empty: `validate_some_kept` judges both together.

    Raises:
        LoadError: the source cannot be read; nothing was stored.
    """
    with _read_in_parts(parts, store, progress) as sieves:
        return [
            _store(part, sieve, store, part.split, clock, progress, may_be_empty=True)
            for part, sieve in zip(parts, sieves, strict=True)
        ]


def preview_import(
    source: PairSource, store: Store, *, split: Split, progress: Progress, may_be_empty: bool = False
) -> ImportPreview:
    """Return what `import_pairs` would report, and the first pairs that it would keep; nothing is stored.

    Raises:
        LoadError: as `import_pairs`.
    """
    with store.pairs.staging() as staged:
        sieve = _read(source, staged, progress)
        return _preview(source, sieve, store, split, may_be_empty=may_be_empty)


def preview_held_out(parts: Sequence[HoldoutPart], store: Store, *, progress: Progress) -> list[ImportPreview]:
    """Return what `import_held_out` would report of each part, and the first pairs it would keep; nothing is stored.

    Raises:
        LoadError: as `import_held_out`.
    """
    with _read_in_parts(parts, store, progress) as sieves:
        return [
            _preview(part, sieve, store, part.split, may_be_empty=True)
            for part, sieve in zip(parts, sieves, strict=True)
        ]


def _store(
    source: PairSource,
    sieve: Sieve,
    store: Store,
    split: Split,
    clock: Clock,
    progress: Progress,
    *,
    may_be_empty: bool,
) -> ImportReport:
    while True:
        revision = store.browse.revisions().get("pairs", 0)
        standing = _sift(source, sieve, store, split, may_be_empty=may_be_empty)
        report = _report(source, sieve, split, standing)
        if not len(sieve.kept):
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
        with progress.task(f"store {source.name}", report.kept) as task:
            fresh = _advancing(_fresh(sieve.kept, standing), task)
            if store.pairs.add_dataset(dataset, fresh, since=revision):
                return report  # else others stored pairs meanwhile, which may be the same


def _preview(source: PairSource, sieve: Sieve, store: Store, split: Split, *, may_be_empty: bool) -> ImportPreview:
    standing = _sift(source, sieve, store, split, may_be_empty=may_be_empty)
    first = tuple(pair for _, pair in islice(sieve.kept.pairs(), PAIRS_IN_PREVIEW))
    return ImportPreview(_report(source, sieve, split, standing), first)


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


def _sift(source: PairSource, sieve: Sieve, store: Store, split: Split, *, may_be_empty: bool) -> _Standing:
    """Drop what the other split has, and return how the rest stands to the store."""
    other_split: Split = "heldout" if split == "train" else "train"
    present: set[str] = set()
    leaking: list[tuple[str, int]] = []
    shared_prompts = 0
    ids = sieve.kept.ids()
    while group := list(islice(ids, IDS_AT_A_TIME)):
        found = store.pairs.present([pair_id for pair_id, _, _ in group])
        present |= {pair_id for pair_id, stored_in in found.items() if stored_in == split}
        leaking += [(pair_id, row) for pair_id, _, row in group if found.get(pair_id, split) != split]
        prompts_of_kept = [prompt for pair_id, prompt, _ in group if found.get(pair_id, split) == split]
        shared = store.pairs.prompts_present(other_split, prompts_of_kept)
        shared_prompts += sum(prompt in shared for prompt in prompts_of_kept)
    for _, row in leaking:
        sieve.drop(row, IN_OTHER_SPLIT[split])
    sieve.kept.discard(pair_id for pair_id, _ in leaking)
    if not may_be_empty and not len(sieve.kept):
        raise _nothing_usable(source.location, source.format, sieve.rows_read, sieve.dropped)
    return _Standing(frozenset(present), shared_prompts)


def _fresh(staged: StagedPairs, standing: _Standing) -> Iterator[tuple[int, Pair]]:
    return ((row, pair) for row, pair in staged.pairs() if pair.id not in standing.present)


def _advancing(pairs: Iterator[tuple[int, Pair]], task: ProgressTask) -> Iterator[tuple[int, Pair]]:
    for each in pairs:
        yield each
        task.advance()


def _read(source: PairSource, staged: StagedPairs, progress: Progress) -> Sieve:
    sieve = Sieve(staged)
    for parsed in _rows(source, progress):
        sieve.take(parsed)
    return sieve


@contextmanager
def _read_in_parts(parts: Sequence[HoldoutPart], store: Store, progress: Progress) -> Iterator[list[Sieve]]:
    """Read the source of the parts once, each of its rows into the parts that it belongs to."""
    with ExitStack() as stagings:
        sieves = [Sieve(stagings.enter_context(store.pairs.staging())) for _ in parts]
        for parsed in _rows(parts[0].source, progress):
            for part, sieve in zip(parts, sieves, strict=True):
                if (row := part.part_of(parsed)) is not None:
                    sieve.take(row)
        yield sieves


def _rows(source: PairSource, progress: Progress) -> Iterator[ParsedRow]:
    expected = source.expected_rows if isinstance(source, CountedSource) else 0
    with progress.task(f"read {source.name}", expected) as task:
        for parsed in source.rows():
            task.advance()
            yield parsed


def _report(source: PairSource, sieve: Sieve, split: Split, standing: _Standing) -> ImportReport:
    kept = len(sieve.kept)
    return ImportReport(
        dataset_id=content_id(source.content_hash, source.format, split),
        name=source.name,
        format=source.format,
        split=split,
        rows_read=sieve.rows_read,
        kept=kept - len(standing.present),
        already_present=len(standing.present),
        dropped=dict(sieve.dropped.most_common()),
        examples=tuple(sieve.examples),
        prompts_in_other_split=standing.shared_prompts,
        longer_wins=_longer_wins_accuracy(sieve.kept),
        notes=dict(sieve.notes.most_common()),
        unused=tuple(
            ColumnExample(name, rows, sieve.unused_examples[name]) for name, rows in sieve.unused.most_common()
        ),
    )


def _longer_wins_accuracy(pairs: StagedPairs) -> float:
    """Return the accuracy of "the longer response is the better one", ties 0.5."""
    differences = np.fromiter((len(pair.chosen) - len(pair.rejected) for _, pair in pairs.pairs()), dtype=np.float64)
    return pairwise_accuracy(differences)


def _reasons(dropped: Counter[str]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "it is empty"
