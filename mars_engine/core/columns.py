"""Facts of many pairs as numpy columns, one value a row: what a store hands out where records would be too many."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mars_engine.core.records import BoolArray, Float32Array, FloatArray
from mars_engine.core.review_records import ItemKind, ReviewAction

IdArray = NDArray[np.bytes_]
"""Ids, ASCII, 24 bytes each."""

WordArray = NDArray[np.bytes_]
"""Words out of a small fixed list, ASCII: a split, a verdict."""

Int32Array = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class PairColumns:
    ids: IdArray
    split: WordArray
    dataset: Int32Array
    """Index into `dataset_ids`."""
    dataset_ids: tuple[str, ...]
    subset: Int32Array
    """Index into `subsets`."""
    subsets: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LengthColumns:
    """Characters of the pairs' answers."""

    pair_ids: IdArray
    chosen: Int32Array
    rejected: Int32Array


@dataclass(frozen=True, slots=True, eq=False)
class MarginColumns:
    pair_ids: IdArray
    margin: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class RewardColumns:
    """Rewards in full precision, since comparisons of models are made of them."""

    pair_ids: IdArray
    chosen: FloatArray
    rejected: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TriageColumns:
    pair_ids: IdArray
    margin_mean: Float32Array
    margin_std: Float32Array
    verdict: WordArray


@dataclass(frozen=True, slots=True, eq=False)
class DistanceColumns:
    pair_ids: IdArray
    distance: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class PlanColumns:
    pair_ids: IdArray
    budget: Int32Array
    distance: Float32Array
    gate: WordArray


@dataclass(frozen=True, slots=True, eq=False)
class ProposalColumns:
    ids: IdArray
    source_ids: IdArray


@dataclass(frozen=True, slots=True, eq=False)
class SourceRounds:
    """The newest round in which something was proposed for each of these pairs."""

    source_ids: IdArray
    rounds: Int32Array


@dataclass(frozen=True, slots=True, eq=False)
class ProposalFacts:
    """What the order of reading proposals is made of."""

    ids: IdArray
    source_ids: IdArray
    flipped: BoolArray
    """Whether it was written for its source with the sides exchanged."""
    variant: Int32Array
    margin_before: Float32Array
    distance_before: Float32Array
    distance_after: Float32Array
    information_gain: Float32Array
    """NaN where it is not known."""


@dataclass(frozen=True, slots=True)
class ReviewTally:
    """How many review events of one kind an annotator made, undone ones included."""

    item_kind: ItemKind
    annotator: str
    action: ReviewAction
    events: int
    seconds: float
    """Spent on them in all, as far as it was noted."""
    undone: int = 0
    """How many of them were taken back."""


@dataclass(frozen=True, slots=True)
class ReviewedItems:
    """Items with review events of which the newest has this number; 0 where there are none."""

    newest: int
    pair_ids: frozenset[str]
    proposal_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class PairRewards:
    """One pair's two rewards under one model."""

    model_id: str
    model_label: str
    chosen: float
    rejected: float

    @property
    def margin(self) -> float:
        return self.chosen - self.rejected
