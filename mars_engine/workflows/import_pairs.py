"""Import: read every row of a source, count what is dropped and why, store the rest in one transaction."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from mars_engine.maths.metrics import longer_wins, pairwise_accuracy
from mars_engine.words.errors import LoadError
from mars_engine.words.protocols import Clock, PairSource, Progress, Store
from mars_engine.words.records import DatasetRecord, DroppedRow, ImportReport, Pair, Split, content_id

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


def import_pairs(source: PairSource, store: Store, *, split: Split, clock: Clock, progress: Progress) -> ImportReport:
    """Import a source's pairs into a split.

    Nothing is stored before the last row has been read, and then all in one transaction. Importing the same source
    again adds nothing.

    Raises:
        LoadError: the source cannot be read, or has no usable pair; nothing was stored.
    """
    sieve, fresh, report = _sift(source, store, split, progress)
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


def preview_import(source: PairSource, store: Store, *, split: Split, progress: Progress) -> ImportPreview:
    """Return what `import_pairs` would report, and the first pairs that it would keep; nothing is stored.

    Raises:
        LoadError: as `import_pairs`.
    """
    sieve, _, report = _sift(source, store, split, progress)
    return ImportPreview(report, tuple(pair for _, pair in list(sieve.kept.values())[:PAIRS_IN_PREVIEW]))


def _sift(
    source: PairSource, store: Store, split: Split, progress: Progress
) -> tuple[Sieve, list[tuple[int, Pair]], ImportReport]:
    """Return what was kept and dropped, what of it is new, and the report."""
    sieve = _read(source, progress)
    present = store.pairs.present(sieve.kept)
    for pair_id, stored_split in present.items():
        if stored_split != split:
            row, _ = sieve.kept.pop(pair_id)
            sieve.drop(row, IN_OTHER_SPLIT[split])
    if not sieve.kept:
        raise LoadError(
            f"{source.location} has no usable pair in {sieve.rows_read} row(s): {_reasons(sieve.dropped)}",
            expected=f"rows in the format {source.format!r}",
            remedy="look at the rows named, or name another format with --format",
        )
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
    )


def longer_wins_accuracy(pairs: Sequence[Pair]) -> float:
    """Return the accuracy of "the longer response is the better one", ties 0.5."""
    return pairwise_accuracy(longer_wins([pair.chosen for pair in pairs], [pair.rejected for pair in pairs]))


def _reasons(dropped: Counter[str]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "it is empty"
