"""Acts: what an annotator did in one go, to one item or to many; and which acts still stand.

The events of one act share its sequence. An undo takes back the newest act that stands, by one undo event for each of
its items, so that an item's own events (see review_state) say the same of it as the acts do.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from mars_engine.core.review_records import ReviewAction, StandingAct


class Trace(NamedTuple):
    """One event of an annotator."""

    sequence: int
    item_id: str
    action: ReviewAction
    row: int = 0
    """Its place among all events as they were stored."""


def standing_acts(newest_first: Iterable[Trace]) -> Iterator[StandingAct]:
    """Yield the acts of one annotator and kind that stand, the newest first.

    An act stands on those of its items on which it was not taken back. Reading goes no further than the acts that are
    asked for.

    Args:
        newest_first: all events of the annotator on items of the kind, by falling sequence, those of
            one sequence in the order opposite to that in which they were stored.
    """
    undos: Counter[str] = Counter()
    for sequence, events in groupby(newest_first, key=itemgetter(0)):
        standing = []
        for _, item_id, action, _ in events:
            if action == "undo":
                undos[item_id] += 1
            elif undos[item_id]:
                undos[item_id] -= 1
            else:
                standing.append(item_id)
        if standing:
            yield StandingAct(sequence, tuple(reversed(standing)))
