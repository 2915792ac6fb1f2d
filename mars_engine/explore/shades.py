"""By what the points of Explore are coloured: a number on a scale, or a group with a colour and a symbol of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.records import Float32Array, IntArray
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex
from mars_engine.evaluate.series import SERIES
from mars_engine.explore.view import ColourBy

MOST_GROUPS = len(SERIES)
"""Groups that have a colour of their own; the smaller ones are put together."""
OTHERS = "others"
LABEL_STATES = ("not in doubt", "suspected", "label right", "flipped", "dropped", "ambiguous", "disputed", "held-out")
_STATE_OF_DECISION = {
    "label_right": "label right",
    "flip": "flipped",
    "drop": "dropped",
    "ambiguous": "ambiguous",
    "disputed": "disputed",
}


@dataclass(frozen=True, slots=True, eq=False)
class Shade:
    """What colours the pairs of an index: `values` on the scale of margins, or `groups`."""

    title: str
    """With the unit in brackets."""
    values: Float32Array
    """One for each pair, NaN where it is not known; the margins where the colours are of groups."""
    groups: IntArray | None = None
    """Index of each pair's group in `names`."""
    names: tuple[str, ...] = ()


def margin_shade(index: PairIndex, margins: Float32Array | None = None, *, of: str = "margin") -> Shade:
    """Colour by margins: those of the index, or others in its order."""
    return Shade(f"{of} (reward units)", index.margin if margins is None else margins)


def shade_of(index: PairIndex, by: ColourBy, *, rounds: IntArray | None = None) -> Shade:
    """Return what colours the pairs.

    Args:
        index: the pairs.
        by: what to colour by.
        rounds: for "round": the newest round in which something was proposed for each pair, 0 where nothing was.
    """
    if by == "margin":
        return margin_shade(index)
    if by == "out_of_fold":
        return margin_shade(index, index.out_of_fold_margin, of="out-of-fold margin")
    if by == "label":
        return _grouped(index, "label", _label_states(index), LABEL_STATES)
    if by == "subset":
        return _grouped(
            index, "subset", index.subset.astype(np.int64), [name or "(none)" for name in index.subset_names]
        )
    if by == "dataset":
        return _grouped(index, "dataset", index.dataset.astype(np.int64), index.dataset_names)
    found = np.zeros(len(index), dtype=np.int64) if rounds is None else rounds
    names = ["nothing proposed", *(f"round {number}" for number in range(1, int(found.max(initial=0)) + 1))]
    return _grouped(index, "newest round", found, names)


def _label_states(index: PairIndex) -> IntArray:
    """The state of each pair's label: what was decided, else whether triage suspects it."""
    states = np.where(index.verdict == VERDICT_CODES.index("suspected"), LABEL_STATES.index("suspected"), 0)
    states = np.where(index.split == SPLIT_CODES.index("heldout"), LABEL_STATES.index("held-out"), states)
    for code, decision in enumerate(DECISION_CODES):
        if decision:
            states = np.where(index.decision == code, LABEL_STATES.index(_STATE_OF_DECISION[decision]), states)
    return states.astype(np.int64)


def _grouped(index: PairIndex, title: str, codes: IntArray, names: Sequence[str]) -> Shade:
    """Keep the largest groups, those of one name as one, and put the others together; the largest comes first."""
    distinct = list(dict.fromkeys(names))
    same = np.array([distinct.index(name) for name in names], dtype=np.int64)
    codes = same[codes]
    counts = np.bincount(codes, minlength=len(distinct))
    order = [int(each) for each in np.argsort(-counts, kind="stable") if counts[each]]
    kept = order if len(order) <= MOST_GROUPS else order[: MOST_GROUPS - 1]
    renumbered = np.full(len(distinct), len(kept), dtype=np.int64)
    renumbered[kept] = np.arange(len(kept))
    shown = [distinct[each] for each in kept]
    return Shade(title, index.margin, renumbered[codes], tuple(shown if len(kept) == len(order) else [*shown, OTHERS]))
