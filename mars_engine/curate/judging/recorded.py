"""Opinions on labels that were recorded elsewhere, taken from files."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mars_engine.core.clock import Clock
from mars_engine.core.errors import LoadError, NotReadyError
from mars_engine.core.judge_records import LabelOpinion, Preference
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import DatasetRecord, Pair
from mars_engine.curate.judging.verdicts import merge_orders
from mars_engine.data.loaders.formats import FORMATS
from mars_engine.data.loaders.reading import RawRow, reader_of
from mars_engine.store import Store

RECORDED = "recorded"
"""The judge's name under which opinions from files are kept."""
OPINIONS: Mapping[str, Preference] = {"chosen": "chosen", "rejected": "rejected", "tie": "tie"}
EXCHANGED: Mapping[Preference, Preference] = {"chosen": "rejected", "rejected": "chosen", "tie": "tie"}
WHAT_A_ROW_SAYS = (
    "rows with a pair, as pair_id, as its texts prompt, chosen and rejected, or as its row (from 1) or i (from 0) in "
    "the imported file; and with opinion (chosen, rejected or tie) or label_doubt (true or false)"
)
NOT_HERE = "no such training pair in the workspace"


@dataclass(frozen=True, slots=True)
class RecordedOpinions(ShownAsTable):
    """What files said of labels, and what of it was taken."""

    rows: int
    taken: int
    """Pairs with an opinion now."""
    taken_as_right: int
    """Of these, those that only doubts left out: in files that note doubts alone, the other rows call labels right."""
    opinions: Mapping[str, int]
    dropped: Mapping[str, int]
    """Rows that gave no opinion, by reason."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a file of recorded opinions: where it stands, and what it holds."""

    place: str
    number: int
    cells: Mapping[str, Any]


def take_recorded_opinions(store: Store, paths: Sequence[Path], *, clock: Clock, dataset: str = "") -> RecordedOpinions:
    """Keep the opinions that files have on training pairs, as the judge "recorded"; new ones replace earlier ones.

    Where some rows of the files have `label_doubt` and others no opinion at all, the files note doubts alone, and the
    others are taken as saying that the label is right.

    Args:
        store: the workspace's memory.
        paths: JSON lines, JSON, CSV or Parquet, each row as WHAT_A_ROW_SAYS.
        clock: tells when.
        dataset: the name or id of the dataset that rows counted by `row` or `i` are of; may be empty where only one
            training set was imported.

    Raises:
        LoadError: a file cannot be read, a row says nothing that can be understood, or two rows contradict each other.
            Nothing is stored.
        NotReadyError: there are no training pairs.
    """
    training = {pair.id for pair in store.pairs.pairs("train")}
    if not training:
        raise NotReadyError("there are no training pairs", remedy="run 'mars import FILE' first")
    rows = [row for path in paths for row in _rows_of(path)]
    notes_doubts = any("label_doubt" in row.cells for row in rows)
    finder = _PairFinder(store, dataset, training)
    said: dict[str, tuple[Preference, str]] = {}
    notes: dict[str, str] = {}
    dropped: Counter[str] = Counter()
    as_right = 0
    for row in rows:
        opinion, is_silent = _opinion_of(row, notes_doubts=notes_doubts)
        pair_id, is_exchanged = finder.find(row)
        if pair_id is None:
            dropped[NOT_HERE] += 1
            continue
        opinion = EXCHANGED[opinion] if is_exchanged else opinion
        earlier = said.setdefault(pair_id, (opinion, row.place))
        if earlier[0] != opinion:
            raise LoadError(
                f"{earlier[1]} and {row.place} say different things of one pair: {earlier[0]} and {opinion}",
                expected="one opinion on each pair",
                remedy="leave one of them out",
            )
        notes[pair_id] = str(row.cells.get("note") or "")
        as_right += is_silent
    at = clock()
    store.opinions.keep(
        [
            LabelOpinion(
                RECORDED, pair_id, merge_orders(says, says), says, says, notes[pair_id], retryable=False, at=at
            )
            for pair_id, (says, _) in said.items()
        ]
    )
    counts = Counter(opinion for opinion, _ in said.values())
    return RecordedOpinions(len(rows), len(said), as_right, dict(counts.most_common()), dict(dropped))


def _rows_of(path: Path) -> Iterator[_Row]:
    for raw in reader_of(path)(path):
        place = f"{path.name}, row {raw.number}"
        yield _Row(place, raw.number, _cells_of(raw, place))


def _cells_of(raw: RawRow, place: str) -> Mapping[str, Any]:
    if raw.row is None:
        raise LoadError(f"{place}: {raw.problem}", expected=WHAT_A_ROW_SAYS, remedy="correct or remove the row")
    return raw.row


def _opinion_of(row: _Row, *, notes_doubts: bool) -> tuple[Preference, bool]:
    """Return a row's opinion, and whether it is only that it has no doubt noted."""
    given, doubt = row.cells.get("opinion"), row.cells.get("label_doubt")
    if isinstance(given, str) and given.strip().lower() in OPINIONS:
        return OPINIONS[given.strip().lower()], False
    if given is None and (isinstance(doubt, bool) or str(doubt).lower() in ("true", "false")):
        return ("rejected" if str(doubt).lower() == "true" else "chosen"), False
    if given is None and doubt is None and notes_doubts:
        return "chosen", True
    found = f"opinion {given!r}" if given is not None else f"label_doubt {doubt!r}"
    raise LoadError(
        f"{row.place} has the {found}" if (given, doubt) != (None, None) else f"{row.place} has no opinion",
        expected=WHAT_A_ROW_SAYS,
        remedy="correct or remove the row",
    )


@dataclass
class _PairFinder:
    """Finds the training pair that a row is about."""

    store: Store
    dataset: str
    training: set[str]
    _by_row: dict[int, str] | None = None

    def find(self, row: _Row) -> tuple[str | None, bool]:
        """Return the pair's id, None where it is no training pair here, and whether its sides stand exchanged."""
        cells = row.cells
        if isinstance(given := cells.get("pair_id"), str):
            return (given if given in self.training else None), False
        if "chosen" in cells and "rejected" in cells:
            pair = _pair_of(row)
            flipped = pair.exchanged
            if pair.id in self.training:
                return pair.id, False
            return (flipped.id, True) if flipped.id in self.training else (None, False)
        number = _row_number(row)
        if self._by_row is None:
            self._by_row = self.store.pairs.ids_by_row(_dataset(self.store, self.dataset).id)
        found = self._by_row.get(number)
        return (found if found in self.training else None), False


def _pair_of(row: _Row) -> Pair:
    for each in FORMATS:
        if each.recognises(row.cells):
            parsed = each.parsed(row.number, row.cells)
            if len(parsed.pairs) == 1:
                return parsed.pairs[0]
    raise LoadError(
        f"{row.place} has texts that are no pair",
        expected="prompt, chosen and rejected, as a file that is imported has them",
        remedy="give the pair_id instead, which 'mars export' writes",
    )


def _row_number(row: _Row) -> int:
    for name, first in (("row", 1), ("i", 0)):
        given = row.cells.get(name)
        if isinstance(given, int | str) and not isinstance(given, bool) and str(given).isdecimal():
            return int(given) - first + 1
    raise LoadError(f"{row.place} names no pair", expected=WHAT_A_ROW_SAYS, remedy="add one of these to the row")


def _dataset(store: Store, name: str) -> DatasetRecord:
    datasets = [each for each in store.pairs.datasets() if each.split == "train"]
    found = [each for each in datasets if name in (each.id, each.name)] if name else datasets
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{each.name} ({each.id})" for each in datasets)
    raise LoadError(
        f"rows are counted, but {'no' if not found else 'more than one'} training set is meant"
        + (f" by {name!r}" if name else ""),
        expected=f"one of: {known}",
        remedy="name its id by --dataset",
    )
