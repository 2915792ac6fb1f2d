"""The pair index: what is known of every pair, as columns, so that hundreds of thousands are filtered at once."""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mars_engine.core.columns import IdArray, PlanColumns, WordArray
from mars_engine.core.records import BoolArray, Float32Array, FloatArray, ModelRecord, Plan
from mars_engine.core.review_records import ReviewEvent
from mars_engine.core.review_state import (
    ProposalStatus,
    is_by_policy_alone,
    label_decision,
    label_is_disputed,
    plain_status,
    proposal_state,
)
from mars_engine.store import Store

Codes = NDArray[np.int16]
Column = NDArray[np.float32]
Counts = NDArray[np.int32]
Positions = NDArray[np.int64]

SPLIT_CODES = ("train", "heldout")
VERDICT_CODES = ("", "clear", "hard", "suspected", "indistinct")
GATE_CODES = ("", "low", "high")
DECISION_CODES = ("", "label_right", "flip", "drop", "ambiguous", "disputed")

SUBJECTS = ("pairs", "models", "scores", "triage", "plans", "distances", "proposals", "reviews")
"""The subjects of the store's revisions that the index is made of."""

STATUS_CODES: tuple[ProposalStatus, ...] = ("pending", "accepted", "rejected", "flagged", "disputed")

_Value = TypeVar("_Value", bound=np.generic)
_MarginArray = TypeVar("_MarginArray", Float32Array, FloatArray)

ITEMS_AT_ONCE = 5_000
"""Items whose review events exist as Python objects at one time."""


@dataclass(frozen=True, eq=False)
class PairIndex:
    """Columns over all n pairs in the order of their import. What is not known yet is NaN, code 0, or count 0."""

    revision: str
    """Differs whenever anything here does: the key for caching what is computed from the index."""
    ids: IdArray
    """Pair ids, ASCII, shape (n,)."""
    id_order: Positions
    """Positions in the order of the ids, for looking ids up."""
    split: Codes
    """Index into SPLIT_CODES."""
    dataset: Counts
    """Index into `dataset_names`; two datasets may have one name."""
    dataset_names: tuple[str, ...]
    subset: Counts
    """Index into `subset_names`."""
    subset_names: tuple[str, ...]
    model: ModelRecord | None
    """The newest model that has scored pairs, whose margins these are."""
    margin: Column
    """Score margin as labelled (not exchanged where the label was flipped: `by_present_labels`), in reward units."""
    out_of_fold_margin: Column
    """Mean over the draws of triage, under `triaged_by`."""
    out_of_fold_std: Column
    verdict: Codes
    """Index into VERDICT_CODES."""
    triaged_by: ModelRecord | None
    """The newest warm-up under which labels were triaged: while a newer one is at it, the verdicts before it stand."""
    distance: Column
    """Semantic distance, 1 − cos: the newest plan's, else as stored under the encoder of `model` or, where there is
    none, under the encoder with the most."""
    plan: Plan | None
    budget: Counts
    """New pairs that the newest plan gives the pair."""
    gate: Codes
    """Index into GATE_CODES, under the newest plan."""
    decision: Codes
    """Index into DECISION_CODES: what was decided of its label."""
    decided_by_policy: BoolArray
    """Whether a policy decided that, and no person."""
    proposals: Counts
    pending: Counts
    accepted: Counts
    rejected: Counts
    """Proposals of the pair: all, and by status; flagged and disputed ones are counted in `proposals` alone."""

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, pair_ids: Collection[str]) -> Positions:
        """Positions of these pairs, in their order, those that are not here left out."""
        return _found(self.positions_of_ids(_as_ids(pair_ids)))

    def positions_of_ids(self, ids: IdArray) -> Positions:
        """Position of each of these pairs, -1 where it is not here."""
        return positions_of(self.ids, self.id_order, ids)

    def by_present_labels(self, margins: _MarginArray) -> _MarginArray:
        """Return margins as labelled, shape (n,), signed by the labels that hold now.

        They are turned where the label was flipped, and NaN where the pair was dropped.
        """
        signed = np.where(self.decision == DECISION_CODES.index("flip"), -margins, margins)
        return np.where(self.decision == DECISION_CODES.index("drop"), np.nan, signed).astype(margins.dtype)


def positions_of(ids: IdArray, order: Positions, wanted: IdArray) -> Positions:
    """Return where each of the wanted ids stands among `ids`, -1 where it does not; `order` sorts `ids`."""
    if not len(ids) or not len(wanted):
        return np.full(len(wanted), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    positions = order[places]
    return np.where(ids[positions] == wanted, positions, -1)


def _found(positions: Positions) -> Positions:
    return positions[positions >= 0]


def _as_ids(ids: Collection[str]) -> IdArray:
    return np.array([pair_id.encode("ascii", "replace") for pair_id in ids], dtype=np.bytes_)


@dataclass
class PairIndexCache:
    """The newest index of a store; what has changed is read again, the rest is kept. Threads may share it."""

    store: Store
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _index: PairIndex | None = None
    _reader: "_Reader | None" = None

    def current(self) -> PairIndex:
        """The index as of now. Where nothing has changed it is the very same object, in a millisecond."""
        numbers = self._numbers()
        index = self._index
        if index is not None and index.revision == _revision(numbers):
            return index
        with self._lock:
            # Another thread may have read meanwhile. The revisions are read before what they count, so that what
            # changes in between is read once too often, never too seldom.
            numbers = self._numbers()
            if self._index is None or self._index.revision != _revision(numbers):
                self._reader = self._reader or _Reader(self.store)
                self._index = self._reader.read(numbers)
            return self._index

    def _numbers(self) -> dict[str, int]:
        revisions = self.store.browse.revisions()
        return {subject: revisions.get(subject, 0) for subject in SUBJECTS}


def _revision(numbers: Mapping[str, int]) -> str:
    return "-".join(str(numbers[subject]) for subject in SUBJECTS)


@dataclass(frozen=True, eq=False)
class _Pairs:
    ids: IdArray
    order: Positions
    split: Codes
    dataset: Counts
    dataset_names: tuple[str, ...]
    subset: Counts
    subset_names: tuple[str, ...]

    def places(self, pair_ids: IdArray) -> Positions:
        """Position of each pair, -1 where it is not here."""
        return positions_of(self.ids, self.order, pair_ids)

    def spread(self, places: Positions, values: NDArray[_Value], *, missing: float = 0) -> NDArray[_Value]:
        """Return values of pairs at these places as a column over all pairs."""
        column = np.full(len(self.ids), missing, dtype=values.dtype)
        column[_found(places)] = values[places >= 0]
        return column


@dataclass(frozen=True, eq=False)
class _Margins:
    model: ModelRecord | None
    margin: Column


@dataclass(frozen=True, eq=False)
class _Triage:
    by: ModelRecord | None
    margin: Column
    std: Column
    verdict: Codes


@dataclass(frozen=True, eq=False)
class _Planned:
    plan: Plan | None
    budget: Counts
    distance: Column
    gate: Codes


@dataclass(frozen=True, eq=False)
class _Proposals:
    """All proposals: their ids, the position of their source pair, and their status."""

    ids: IdArray
    order: Positions
    source: Positions
    status: Codes

    def per_pair(self, pairs: int, *statuses: ProposalStatus) -> Counts:
        wanted = np.isin(self.status, [STATUS_CODES.index(status) for status in statuses])
        return np.bincount(self.source[wanted], minlength=pairs).astype(np.int32)


class _Reader:
    """Reads a store's columns, each when its subject has changed since. One thread at a time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.read_at: dict[str, int] = {}
        self.reviews_read = 0
        self.unplaced: frozenset[str] = frozenset()

    def read(self, numbers: Mapping[str, int]) -> PairIndex:
        """Return the index; `numbers` are the revisions as they were at some moment before."""
        changed = {subject for subject in SUBJECTS if self.read_at.get(subject) != numbers[subject]}
        self.read_at = {}  # should a reading fail, everything is read again
        if "pairs" in changed:
            # Pairs that were added have positions after the others; all columns get their length.
            changed = set(SUBJECTS)
            self.pairs = self._pairs()
            self.decision = np.zeros(len(self.pairs.ids), dtype=np.int16)
            self.by_policy = np.zeros(len(self.pairs.ids), dtype=bool)
            self.proposals = _NO_PROPOSALS
            self.reviews_read = 0
        if changed & {"models", "scores"}:
            self.margins = self._margins()
        if changed & {"models", "triage"}:
            self.triage = self._triage()
        if "plans" in changed:
            self.planned = self._planned()
        if changed & {"models", "scores", "distances"}:
            self.distance = self._distance()
        if "proposals" in changed:
            self.proposals = self._proposals()
        if changed & {"proposals", "reviews"}:
            self._follow_reviews()
        index = self._index(_revision(numbers))
        self.read_at = dict(numbers)
        return index

    def _index(self, revision: str) -> PairIndex:
        pairs, count = self.pairs, len(self.pairs.ids)
        planned = self.planned
        return PairIndex(
            revision=revision,
            ids=pairs.ids,
            id_order=pairs.order,
            split=pairs.split,
            dataset=pairs.dataset,
            dataset_names=pairs.dataset_names,
            subset=pairs.subset,
            subset_names=pairs.subset_names,
            model=self.margins.model,
            margin=self.margins.margin,
            out_of_fold_margin=self.triage.margin,
            out_of_fold_std=self.triage.std,
            verdict=self.triage.verdict,
            triaged_by=self.triage.by,
            distance=np.where(np.isnan(planned.distance), self.distance, planned.distance),
            plan=planned.plan,
            budget=planned.budget,
            gate=planned.gate,
            decision=self.decision,
            decided_by_policy=self.by_policy,
            proposals=self.proposals.per_pair(count, *STATUS_CODES),
            pending=self.proposals.per_pair(count, "pending"),
            accepted=self.proposals.per_pair(count, "accepted"),
            rejected=self.proposals.per_pair(count, "rejected"),
        )

    def _pairs(self) -> _Pairs:
        columns = self.store.browse.pairs()
        names = {dataset.id: dataset.name for dataset in self.store.pairs.datasets()}
        order = np.argsort(columns.ids)
        return _Pairs(
            ids=columns.ids,
            order=order,
            split=_codes(columns.split, SPLIT_CODES),
            dataset=columns.dataset,
            dataset_names=tuple(names[dataset_id] for dataset_id in columns.dataset_ids),
            subset=columns.subset,
            subset_names=columns.subsets,
        )

    def _margins(self) -> _Margins:
        model = self.store.browse.newest_scored_model()
        if model is None:
            return _Margins(None, self._unknown())
        scored = self.store.browse.margins(model.id)
        places = self.pairs.places(scored.pair_ids)
        return _Margins(model, self.pairs.spread(places, scored.margin, missing=np.nan))

    def _triage(self) -> _Triage:
        warm_up = self.store.browse.newest_triaged_model()
        if warm_up is None:
            return _Triage(None, self._unknown(), self._unknown(), np.zeros(len(self.pairs.ids), dtype=np.int16))
        rows = self.store.browse.triage(warm_up.id)
        places = self.pairs.places(rows.pair_ids)
        return _Triage(
            warm_up,
            self.pairs.spread(places, rows.margin_mean, missing=np.nan),
            self.pairs.spread(places, rows.margin_std, missing=np.nan),
            self.pairs.spread(places, _codes(rows.verdict, VERDICT_CODES)),
        )

    def _planned(self) -> _Planned:
        plan = self.store.proposals.latest_plan()
        rows = self.store.browse.plan_rows(plan.id) if plan else _NO_PLAN_ROWS
        places = self.pairs.places(rows.pair_ids)
        return _Planned(
            plan,
            self.pairs.spread(places, rows.budget),
            self.pairs.spread(places, rows.distance, missing=np.nan),
            self.pairs.spread(places, _codes(rows.gate, GATE_CODES)),
        )

    def _distance(self) -> Column:
        encoders = self.store.browse.distance_encoders()
        if not encoders:
            return self._unknown()
        wanted = self.margins.model.settings.get("encoder") if self.margins.model else None
        stored = self.store.browse.distances(wanted if wanted in encoders else encoders[0])
        return self.pairs.spread(self.pairs.places(stored.pair_ids), stored.distance, missing=np.nan)

    def _proposals(self) -> _Proposals:
        columns, known = self.store.browse.proposals(), self.proposals
        source = self.pairs.places(columns.source_ids)
        ids, source = columns.ids[source >= 0], _found(source)
        earlier = positions_of(known.ids, known.order, ids)
        status = np.zeros(len(ids), dtype=np.int16)
        status[earlier >= 0] = known.status[_found(earlier)]
        return _Proposals(ids, np.argsort(ids), source, status)

    def _follow_reviews(self) -> None:
        """Derive the states of what was reviewed since the last time; arrays that were handed out stay as they are."""
        reviewed = self.store.browse.reviewed(after=self.reviews_read)
        decision, by_policy, status = self.decision.copy(), self.by_policy.copy(), self.proposals.status.copy()
        for group in _groups(reviewed.pair_ids):
            events = self.store.reviews.events("pair", group)
            places = self.pairs.places(_as_ids(group))
            codes = np.array([_decision_code(events[pair_id]) for pair_id in group], dtype=np.int16)
            alone = np.array([is_by_policy_alone(events[pair_id]) for pair_id in group], dtype=bool)
            decision[_found(places)] = codes[places >= 0]
            by_policy[_found(places)] = alone[places >= 0]
        unplaced: list[str] = []
        for group in _groups(reviewed.proposal_ids | self.unplaced):
            places = positions_of(self.proposals.ids, self.proposals.order, _as_ids(group))
            # A proposal may be younger than the reading of the proposals; its turn comes with their next one.
            unplaced += [proposal_id for proposal_id, place in zip(group, places, strict=True) if place < 0]
            codes = np.array([STATUS_CODES.index(state) for state in self._statuses(group)], dtype=np.int16)
            status[_found(places)] = codes[places >= 0]
        self.decision, self.by_policy = decision, by_policy
        self.proposals = replace(self.proposals, status=status)
        self.reviews_read, self.unplaced = reviewed.newest, frozenset(unplaced)

    def _statuses(self, proposal_ids: list[str]) -> list[ProposalStatus]:
        """Return the status of each proposal; texts are read only where several people decided and one edited."""
        events = self.store.reviews.events("proposal", proposal_ids)
        statuses = {proposal_id: plain_status(events[proposal_id]) for proposal_id in proposal_ids}
        to_compare = [proposal_id for proposal_id, status in statuses.items() if status is None]
        for proposal_id, proposal in self.store.proposals.by_id(to_compare).items():
            statuses[proposal_id] = proposal_state(proposal, events[proposal_id]).status
        return [statuses[proposal_id] or "pending" for proposal_id in proposal_ids]

    def _unknown(self) -> Column:
        return np.full(len(self.pairs.ids), np.nan, dtype=np.float32)


_NO_IDS: IdArray = np.array((), dtype="S24")
_NO_POSITIONS: Positions = np.array((), dtype=np.int64)
_NO_PLAN_ROWS = PlanColumns(
    _NO_IDS, np.array((), dtype=np.int32), np.array((), dtype=np.float32), np.array((), dtype="S4")
)
_NO_PROPOSALS = _Proposals(_NO_IDS, _NO_POSITIONS, _NO_POSITIONS, np.array((), dtype=np.int16))


def _codes(words: WordArray, names: Sequence[str]) -> Codes:
    """Return each word's place among the names."""
    codes = np.zeros(len(words), dtype=np.int16)
    for code, name in enumerate(names):
        codes[words == name.encode()] = code
    return codes


def _decision_code(events: Sequence[ReviewEvent]) -> int:
    if label_is_disputed(events):
        return DECISION_CODES.index("disputed")
    return DECISION_CODES.index(label_decision(events) or "")


def _groups(ids: Collection[str]) -> Iterator[list[str]]:
    remaining = iter(sorted(ids))
    while group := list(islice(remaining, ITEMS_AT_ONCE)):
        yield group
