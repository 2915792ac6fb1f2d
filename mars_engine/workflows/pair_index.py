"""The pair index: what is known of every pair, as columns, so that hundreds of thousands are filtered at once."""

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mars_engine.words.protocols import Store
from mars_engine.words.records import ModelRecord, Plan

Codes = NDArray[np.int16]
Column = NDArray[np.float32]
Counts = NDArray[np.int32]

SPLIT_CODES = ("train", "heldout")
VERDICT_CODES = ("", "clear", "hard", "suspected")
GATE_CODES = ("", "low", "high")
DECISION_CODES = ("", "label_right", "flip", "drop", "ambiguous", "disputed")


@dataclass(frozen=True, eq=False)
class PairIndex:
    """Columns over all n pairs in the order of their import. What is not known yet is NaN, code 0, or count 0."""

    revision: str
    """Differs whenever anything here does: the key for caching what is computed from the index."""
    ids: NDArray[np.bytes_]
    """Pair ids, ASCII, shape (n,)."""
    split: Codes
    """Index into SPLIT_CODES."""
    dataset: Codes
    dataset_names: tuple[str, ...]
    subset: Codes
    subset_names: tuple[str, ...]
    chars_chosen: Counts
    chars_rejected: Counts
    model: ModelRecord | None
    """The newest model that has scored pairs, whose margins these are."""
    margin: Column
    """Score margin as labelled (not exchanged where the label was flipped), in reward units."""
    out_of_fold_margin: Column
    """Mean over the draws of triage, under the newest warm-up."""
    out_of_fold_std: Column
    verdict: Codes
    """Index into VERDICT_CODES."""
    distance: Column
    """Semantic distance, 1 − cos, of the newest plan's encoder or of what was stored last."""
    plan: Plan | None
    budget: Counts
    """New pairs that the newest plan gives the pair."""
    gate: Codes
    """Index into GATE_CODES, under the newest plan."""
    decision: Codes
    """Index into DECISION_CODES: what was decided of its label."""
    proposals: Counts
    pending: Counts
    accepted: Counts
    rejected: Counts
    """Proposals of the pair: all, and by status; flagged and disputed ones are counted in `proposals` alone."""

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, pair_ids: "list[str]") -> NDArray[np.int64]:
        """Positions of these pairs, those that are not here left out."""
        raise NotImplementedError


@dataclass
class PairIndexCache:
    """The newest index of a store; what has changed is read again, the rest is kept. Threads may share it."""

    store: Store
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def current(self) -> PairIndex:
        """The index as of now. Where nothing has changed it is the very same object, in a millisecond."""
        raise NotImplementedError
