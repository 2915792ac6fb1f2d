"""The label history: every review event in words that a spreadsheet or a script reads, as CSV and as JSON lines."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal, TextIO

from mars_engine.core.records import Pair, Prompt, Proposal
from mars_engine.core.review_records import ItemKind, Presentation, ReviewAction, ReviewEvent
from mars_engine.core.review_state import decisions_that_count, effective_events
from mars_engine.store import Store

Fate = Literal["standing", "replaced", "undone", "overruled", "no decision"]
"""What became of an event: it counts; its annotator decided anew; its annotator took it back; people overruled a policy
or an adjudicator overruled people; or it was a skip or an undo."""

HistoryFormat = Literal["csv", "jsonl"]
KINDS: tuple[ItemKind, ...] = ("pair", "proposal")
ITEMS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A review event and what it was about. Prompts are JSON: a list of {role, content}."""

    at: str
    """In UTC, ISO 8601."""
    annotator: str
    item_kind: ItemKind
    item_id: str
    source_id: str
    """The source pair: the item itself, or the pair that the proposal was made for."""
    action: ReviewAction
    standing: bool
    """Whether the decision counts now."""
    fate: Fate
    presented: Presentation
    seconds: float
    note: str
    prompt: str
    chosen: str
    rejected: str
    edited_prompt: str
    """The texts of an edit; empty where that part was not changed."""
    edited_chosen: str
    edited_rejected: str
    sequence: int


def label_history(store: Store) -> Iterator[HistoryRow]:
    """Yield all review events, of pairs and then of proposals, item by item, oldest first within an item.

    Texts are read a part at a time, so that any number of events is handed out in little memory.
    """
    for kind in KINDS:
        # Which items there are is read without texts; their events and texts follow a part at a time.
        items = list(dict.fromkeys(mark.item_id for mark in store.reviews.marks(kind)))
        for start in range(0, len(items), ITEMS_AT_ONCE):
            part = items[start : start + ITEMS_AT_ONCE]
            events = store.reviews.events(kind, part)
            found: Mapping[str, Pair | Proposal]
            found = store.pairs.by_id(part) if kind == "pair" else store.proposals.by_id(part)
            for item_id in part:
                yield from _rows(events.get(item_id, []), found.get(item_id))


def write_history(rows: Iterable[HistoryRow], stream: TextIO, form: HistoryFormat) -> int:
    """Write rows as CSV (with a header, every line break inside quotes) or JSON lines; return how many there were.

    Texts are written as they are. A spreadsheet may take one that begins with "=" for a formula: JSON lines are safe.
    """
    count = 0
    if form == "csv":
        table = csv.writer(stream, quoting=csv.QUOTE_ALL)
        table.writerow(field.name for field in fields(HistoryRow))
        for count, row in enumerate(rows, start=1):  # noqa: B007 (the count is returned)
            table.writerow(asdict(row).values())
    else:
        for count, row in enumerate(rows, start=1):  # noqa: B007 (the count is returned)
            stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
    return count


def fates(events: Sequence[ReviewEvent]) -> list[Fate]:
    """Return what became of each of an item's review events, as the label history tells it."""
    in_force = effective_events(events)
    counting = decisions_that_count(events)
    return [_fate(event, in_force.get(event.annotator, []), counting) for event in events]


def _fate(event: ReviewEvent, in_force: Sequence[ReviewEvent], counting: Mapping[str, ReviewEvent]) -> Fate:
    if event.action in ("skip", "undo"):
        return "no decision"
    if not any(each is event for each in in_force):
        return "undone"
    if in_force[-1] is not event:
        return "replaced"
    return "standing" if counting.get(event.annotator) is event else "overruled"


def _rows(events: Sequence[ReviewEvent], item: Pair | Proposal | None) -> Iterator[HistoryRow]:
    for event, fate in zip(events, fates(events), strict=True):
        yield HistoryRow(
            at=event.at.isoformat(),
            annotator=event.annotator,
            item_kind=event.item_kind,
            item_id=event.item_id,
            source_id=item.source_id if isinstance(item, Proposal) else event.item_id,
            action=event.action,
            standing=fate == "standing",
            fate=fate,
            presented=event.presented,
            seconds=event.seconds,
            note=event.note,
            prompt=_as_json(item.prompt if item else None),
            chosen=item.chosen if item else "",
            rejected=item.rejected if item else "",
            edited_prompt=_as_json(event.edited_prompt),
            edited_chosen=event.edited_chosen or "",
            edited_rejected=event.edited_rejected or "",
            sequence=event.sequence,
        )


def _as_json(prompt: Prompt | None) -> str:
    if prompt is None:
        return ""
    return json.dumps([{"role": turn.role, "content": turn.content} for turn in prompt], ensure_ascii=False)
