"""The table of the pairs that a view selects, a page at a time."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mars_engine.core.records import Pair
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex
from mars_engine.explore.excerpts import excerpt, last_question
from mars_engine.explore.explorer import Positions, Scene
from mars_engine.store import Store

ROWS_A_PAGE = 100


@dataclass(frozen=True, slots=True)
class TableRow:
    """A pair as the table lists it. Texts are excerpts on one line; what is not known is NaN or empty."""

    pair_id: str
    margin: float
    out_of_fold_margin: float
    distance: float
    verdict: str
    decision: str
    prompt: str
    """Of the prompt's last turn of the user."""
    chosen: str
    rejected: str
    proposals: int
    pending: int
    budget: int
    split: str
    dataset: str
    subset: str
    similarity: float = math.nan
    """Cosine with the text that is searched for; NaN where none is."""


@dataclass(frozen=True, slots=True)
class TablePage:
    """Some rows of the selection. `page` counts from 1 and is one of `pages`."""

    rows: tuple[TableRow, ...]
    page: int
    pages: int
    first: int
    """The first row's number among the selected, from 1."""


def table_page(store: Store, scene: Scene) -> TablePage:
    """Return the page of the table that a view is on, or the last where it has fewer."""
    index, view = scene.index, scene.view
    order = ordered(scene)
    pages = max(1, -(-len(order) // ROWS_A_PAGE))
    page = min(view.page, pages)
    start = (page - 1) * ROWS_A_PAGE
    positions = order[start : start + ROWS_A_PAGE]
    pairs = store.pairs.by_id([index.ids[position].decode() for position in positions])
    nearest = scene.lookups.nearest
    cosines = dict(zip(nearest.positions.tolist(), nearest.cosines.tolist(), strict=True)) if nearest else {}
    rows = [
        _row(index, position, pairs[index.ids[position].decode()], similarity=cosines.get(position, math.nan))
        for position in positions.tolist()
    ]
    return TablePage(tuple(rows), page, pages, start + 1)


def ordered(scene: Scene) -> Positions:
    """Return the selected pairs in the view's order; pairs whose value is not known come last."""
    index, view = scene.index, scene.view
    positions = np.flatnonzero(scene.selected)
    if scene.sort == "nearest" and scene.lookups.nearest is not None:
        nearest = scene.lookups.nearest.positions[scene.selected[scene.lookups.nearest.positions]]
        return nearest[::-1] if view.descending else nearest
    values: Any = {
        "margin": index.margin,
        "distance": index.distance,
        "out_of_fold": index.out_of_fold_margin,
        "budget": index.budget,
        "proposals": index.proposals,
    }.get(scene.sort)
    if values is None:
        return positions[::-1] if view.descending else positions
    keys = values[positions].astype(np.float32)
    in_order: Positions = positions[np.argsort(-keys if view.descending else keys, kind="stable")]
    return in_order


def _row(index: PairIndex, position: int, pair: Pair, *, similarity: float) -> TableRow:
    return TableRow(
        pair_id=pair.id,
        margin=float(index.margin[position]),
        out_of_fold_margin=float(index.out_of_fold_margin[position]),
        distance=float(index.distance[position]),
        verdict=VERDICT_CODES[index.verdict[position]],
        decision=DECISION_CODES[index.decision[position]],
        prompt=excerpt(last_question(pair)),
        chosen=excerpt(pair.chosen),
        rejected=excerpt(pair.rejected),
        proposals=int(index.proposals[position]),
        pending=int(index.pending[position]),
        budget=int(index.budget[position]),
        split=SPLIT_CODES[index.split[position]],
        dataset=index.dataset_names[index.dataset[position]],
        subset=pair.subset,
        similarity=similarity,
    )
