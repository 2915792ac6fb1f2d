"""What can be done with a selection: put its pairs together as a set, and hand them out as rows to export."""

from collections.abc import Collection, Iterator

import numpy as np

from mars_engine.core.clock import Clock
from mars_engine.core.errors import MarsError
from mars_engine.core.records import ExportRow, PairSet, content_id
from mars_engine.data.pair_index import PairIndex
from mars_engine.explore.explorer import Positions
from mars_engine.store import Store

MOST_NAME_CHARACTERS = 80
PAIRS_AT_ONCE = 1_000


def put_together(store: Store, pair_ids: Collection[str], *, name: str, annotator: str, clock: Clock) -> PairSet:
    """Store a set of pairs under a name and return it. `store.pair_sets.remove` undoes it.

    Raises:
        MarsError: the name or the set is empty, or the name is too long.
        StoreError: a pair is not stored.
    """
    name = name.strip()
    if not name or len(name) > MOST_NAME_CHARACTERS:
        raise MarsError(
            f"the name of the set has {len(name)} characters", expected=f"1 to {MOST_NAME_CHARACTERS} characters"
        )
    if not pair_ids:
        raise MarsError("no pair is selected", expected="at least one", remedy="widen the filters or clear a brush")
    now = clock()
    made = PairSet(content_id(name, annotator, now.isoformat()), name, annotator, now, len(set(pair_ids)))
    store.pair_sets.add(made, pair_ids)
    return made


def rows_to_export(store: Store, index: PairIndex, positions: Positions) -> Iterator[ExportRow]:
    """Yield the pairs of a selection as imported, with margin and distance; few texts are in memory at a time."""
    for start in range(0, len(positions), PAIRS_AT_ONCE):
        some = positions[start : start + PAIRS_AT_ONCE]
        ids = [pair_id.decode() for pair_id in index.ids[some].tolist()]
        pairs = store.pairs.by_id(ids)
        for pair_id, position in zip(ids, some.tolist(), strict=True):
            margin, distance = float(index.margin[position]), float(index.distance[position])
            yield ExportRow(
                pair=pairs[pair_id],
                margin=None if np.isnan(margin) else margin,
                round=0,
                source_id=pair_id,
                method="original",
                semantic_distance=None if np.isnan(distance) else distance,
            )
