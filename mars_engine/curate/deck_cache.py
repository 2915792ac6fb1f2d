"""How items stand for those who read them, kept in step with the database: what a deal looks at instead of events."""

import threading
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from mars_engine.augment.composition import Answer, GridTexts
from mars_engine.core.columns import IdArray, ProposalFacts
from mars_engine.core.config import TriageConfig
from mars_engine.core.records import BoolArray, IntArray
from mars_engine.core.review_records import ItemKind, ReviewAction, ReviewMark
from mars_engine.core.review_state import (
    ADJUDICATOR_PREFIX,
    POLICY_PREFIX,
    binding_decisions,
    proposal_state,
    reveals_labels,
    standing_events,
    status_by_actions,
)
from mars_engine.core.treatment import LabelDecision, treat_pair
from mars_engine.curate.gain_order import GainOrder
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex, positions_of
from mars_engine.data.sources import triage_of_plan
from mars_engine.stats.fixed_draws import fixed_numbers
from mars_engine.store import Store

ORDERS: Mapping[ItemKind, tuple[str, ...]] = {
    "pair": ("plan", "margin", "random"),
    "proposal": ("plan", "margin", "gain", "distance", "random"),
}
"""What may be read first. For pairs, "plan" is suspected mislabels and then lowest margins. For proposals, "plan" is as
the plan spends (most budget, then lowest margin), "gain" is most expected information as a gain order says; what is in
none, by the information that it would have added alone when it was proposed; and where a model could not tell that, as
the plan spends. "distance" is greatest loss of contrast.
"""

FAMILIES_AT_ONCE = 500
"""Sources whose new pairs are counted in one look, so that a look stays short when a server has just started."""

ORDERS_KEPT = 8


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one annotator has before them.

    Attributes:
        candidates: ids of the items to read, in the order of reading, as many as were asked for.
        skipped: those of them that the annotator skipped.
        seen: those of them whose labels the annotator knows from what he or she did before, taken back or not.
        readers: how many may read an item at once, where it is more than one.
        waiting: how many items wait for the annotator in all.
        decided: how many of the items in question the annotator has decided.
        revision: that of the review events it was made from.
        accepted: proposals that are accepted, whoever did it, and can still be composed. What people decided about an
            item that waits for this annotator too is hidden here, in `new_pairs` and in `grids`: it counts as if they
            had not.
        new_pairs: how many pairs the accepted ones give; None while that is still being counted.
        grids: what is approved of the candidates' sources, by proposal id: left out where nothing is, None while that
            is still being counted.
    """

    candidates: tuple[str, ...]
    skipped: frozenset[str]
    seen: frozenset[str]
    readers: Mapping[str, int]
    waiting: int
    decided: int
    revision: int
    accepted: int = 0
    new_pairs: int | None = 0
    grids: Mapping[str, GridTexts | None] = field(default_factory=dict)


@dataclass
class DeckCache:
    """What is known of a store's items and of who decided what, brought up to date at each look.

    Only items with new events are derived anew. Threads may share it.
    """

    store: Store
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._forget()

    def _forget(self, removals: int = 0) -> None:
        """Begin anew: what was removed leaves no trace in what comes after it, and its row numbers may come again."""
        self._removals = removals
        self._ledgers: dict[ItemKind, _Ledger] = {"pair": _Ledger("pair"), "proposal": _Ledger("proposal")}
        self._queue = _Queue()
        self._orders: dict[tuple[str, ...], _KeptOrder] = {}

    def outlook(
        self,
        index: PairIndex,
        triage: TriageConfig,
        *,
        kind: ItemKind,
        annotator: str,
        order: str,
        scope: Collection[str] | None,
        most: int,
        overlap_percent: int,
        policies_close: bool = True,
        gains: GainOrder | None = None,
    ) -> Outlook:
        """Return what an annotator has before them.

        Args:
            index: the columns of all pairs.
            triage: settings, where no plan says by which it was made.
            kind: pairs or proposals.
            annotator: who reads.
            order: one of ORDERS.
            scope: source pairs in question; None for all.
            most: how many candidates at most.
            overlap_percent: share of the items that two people are to decide.
            policies_close: whether what only a policy decided needs nobody any more.
            gains: the newest gain order there is, for order "gain".
        """
        with self._lock:
            revisions = self.store.browse.revisions()
            if revisions.get("removals", 0) != self._removals:
                self._forget(revisions["removals"])
            if kind == "proposal":
                self._queue.refresh(self.store, index, revisions.get("proposals", 0))
            ledger = self._ledgers[kind]
            ledger.refresh(self.store, revisions.get("reviews", 0))
            items = _pair_items(index) if kind == "pair" else self._queue.items(index, triage)
            ledger.place(items)
            in_scope = items.usable & _scope_mask(items, index, scope)
            overlap = fixed_numbers(items.ids, "overlap") % np.uint64(100) < overlap_percent
            mine = ledger.decided_by(annotator, len(items.ids))
            unread_overlap = overlap & ~ledger.decided_by_people(len(items.ids))
            is_open = in_scope & ~mine & ~ledger.closed(overlap, policies_count=policies_close)
            skipped = ledger.skipped_by(annotator)
            seen = ledger.seen_by(annotator, len(items.ids))
            permutation = self._order(kind, order, annotator, items, index, gains if order == "gain" else None)
            chosen = _first_open(permutation, is_open, skipped, most)
            hidden = ledger.hidden_slots(items.usable & ~mine & ~ledger.closed(overlap, policies_count=False))
            approved = self._approved(ledger, items, hidden) if kind == "proposal" else _Approved()
            return Outlook(
                candidates=_as_text(items.ids[chosen]),
                skipped=frozenset(_as_text(items.ids[[place for place in chosen if place in skipped]])),
                seen=frozenset(_as_text(items.ids[chosen[seen[chosen]]])),
                readers=dict.fromkeys(_as_text(items.ids[chosen[unread_overlap[chosen]]]), 2),
                waiting=int(is_open.sum()),
                decided=int((mine & in_scope).sum()),
                revision=ledger.revision,
                accepted=approved.proposals,
                new_pairs=approved.new_pairs,
                grids=self._queue.grids_of(chosen, ledger, approved.families) if kind == "proposal" else {},
            )

    def _order(
        self,
        kind: ItemKind,
        order: str,
        annotator: str,
        items: "_Items",
        index: PairIndex,
        gains: GainOrder | None,
    ) -> IntArray:
        """The items in the order of reading; it is made anew where what it is made of has changed."""
        name = (kind, order, annotator) if order == "random" else (kind, order)
        ranked = gains.ids if gains else _NO_FACTS.ids
        made_of = (items.ids, index.margin, index.out_of_fold_margin, index.verdict, index.budget, ranked)
        kept = self._orders.pop(name, None)
        if kept is None or any(old is not new for old, new in zip(kept.made_of, made_of, strict=True)):
            keys = items.keys(order, annotator)
            if gains is not None:
                keys.insert(0, _ranks(items, gains.ids))
            kept = _KeptOrder(made_of, np.lexsort(keys[::-1]))
        self._orders[name] = kept
        while len(self._orders) > ORDERS_KEPT:
            del self._orders[next(iter(self._orders))]
        return kept.permutation

    def _approved(self, ledger: "_Ledger", items: "_Items", hidden: IntArray) -> "_Approved":
        """What is accepted where the decisions of people on the items of some slots are hidden."""
        is_counted = self._queue.recount(self.store, ledger)
        families = self._queue.families_without(self.store, ledger, hidden)
        count = int(items.usable[ledger.places[ledger.accepted_slots(hidden)]].sum())
        is_counted = is_counted and all(family.is_counted for family in families.values())
        return _Approved(count, self._queue.new_pairs(items.usable, families) if is_counted else None, families)


@dataclass(frozen=True, slots=True)
class _Approved:
    """What is accepted, as far as an annotator may know; see Outlook."""

    proposals: int = 0
    new_pairs: int | None = 0
    families: Mapping[int, "_FamilySeen"] = field(default_factory=dict)
    """Those of which something is hidden."""


@dataclass(frozen=True, slots=True)
class _FamilySeen:
    """A family of which something is hidden: its texts without that, None where nothing else of it is approved."""

    is_counted: bool
    grid: GridTexts | None = None


@dataclass(frozen=True, slots=True)
class _KeptOrder:
    made_of: tuple[NDArray[np.generic], ...]
    permutation: IntArray


@dataclass(frozen=True, slots=True)
class _Items:
    """The items of a kind that can be read, as columns."""

    ids: IdArray
    id_order: IntArray
    sources: IntArray
    """Position of each item's source pair."""
    usable: BoolArray
    keys: Callable[[str, str], list[NDArray[np.generic]]]
    """Sort keys of an order for an annotator, the first decides first."""


def _ranks(items: _Items, ranked: IdArray) -> IntArray:
    """The rank of each item, a rank behind all others where it has none."""
    places = positions_of(items.ids, items.id_order, ranked)
    ranks = np.full(len(items.ids), len(ranked), dtype=np.int64)
    ranks[places[places >= 0]] = np.flatnonzero(places >= 0)
    return ranks


def _first_open(permutation: IntArray, is_open: BoolArray, skipped: Mapping[int, int], most: int) -> IntArray:
    """The first open places in the order, then those that were skipped, the one skipped first first."""
    was_skipped = np.zeros(len(is_open), dtype=bool)
    was_skipped[list(skipped)] = True
    ordered = permutation[is_open[permutation]]
    fresh = ordered[~was_skipped[ordered]][:most]
    again = sorted(ordered[was_skipped[ordered]].tolist(), key=skipped.__getitem__)
    return np.concatenate([fresh, np.array(again[: most - len(fresh)], dtype=np.int64)])


def _scope_mask(items: _Items, index: PairIndex, scope: Collection[str] | None) -> BoolArray:
    if scope is None:
        return np.ones(len(items.ids), dtype=bool)
    in_scope = np.zeros(len(index) + 1, dtype=bool)  # the last place is that of sources that are not there (-1)
    in_scope[index.positions(scope)] = True
    return in_scope[items.sources]


def _as_text(ids: IdArray) -> tuple[str, ...]:
    return tuple(each.decode("ascii") for each in ids.tolist())


def _last_if_unknown(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(values, nan=np.inf, posinf=np.inf, neginf=-np.inf)


# ---------------------------------------------------------------------------------------------------- source pairs


def _pair_items(index: PairIndex) -> _Items:
    places = np.arange(len(index))

    def keys(order: str, annotator: str) -> list[NDArray[np.generic]]:
        if order == "random":
            return [fixed_numbers(index.ids, f"order:{annotator}"), places]
        margin = _last_if_unknown(index.margin)
        if order == "margin":
            return [margin, places]
        suspected = index.verdict == VERDICT_CODES.index("suspected")
        return [~suspected, np.where(suspected, _last_if_unknown(index.out_of_fold_margin), margin), places]

    return _Items(index.ids, index.id_order, places, index.split == SPLIT_CODES.index("train"), keys)


# ------------------------------------------------------------------------------------------------------- proposals


class _Queue:
    """The proposals as columns; new ones are added at the end. A family are a source's proposals of one orientation."""

    def __init__(self) -> None:
        self.facts = _NO_FACTS
        self.id_order: IntArray = np.zeros(0, dtype=np.int64)
        self.families: dict[tuple[bytes, bool], int] = {}
        self.family: IntArray = np.zeros(0, dtype=np.int64)
        self.family_pairs: IntArray = np.zeros(0, dtype=np.int64)
        self.first_of_family: IntArray = np.zeros(0, dtype=np.int64)
        self.grids: dict[int, GridTexts] = {}
        """By family, where anything of it is accepted."""
        self.grids_without: dict[int, dict[frozenset[int], GridTexts | None]] = {}
        """By family and the slots whose decisions by people are hidden."""
        self.sources: IntArray = np.zeros(0, dtype=np.int64)
        self.known: dict[str, int] = {}
        self.revision = 0
        self.pair_ids: IdArray | None = None

    def refresh(self, store: Store, index: PairIndex, revision: int) -> None:
        """Read the proposals that were added since the last time, and find the places of all sources."""
        grown = revision != self.revision
        if grown:
            counts = store.proposals.count_by_source()
            changed = [source for source, count in counts.items() if self.known.get(source) != count]
            self._add(store.proposals.facts(changed if self.known else None))
            self.known, self.revision = counts, revision
        if grown or self.pair_ids is not index.ids:
            self.sources = positions_of(index.ids, index.id_order, self.facts.source_ids)
            self.pair_ids = index.ids

    def _add(self, facts: ProposalFacts) -> None:
        is_new = positions_of(self.facts.ids, self.id_order, facts.ids) < 0
        parts = [
            np.concatenate([getattr(self.facts, each.name), getattr(facts, each.name)[is_new]])
            for each in fields(ProposalFacts)
        ]
        self.facts = ProposalFacts(*parts)
        self.id_order = np.argsort(self.facts.ids)
        added = zip(facts.source_ids[is_new].tolist(), facts.flipped[is_new].tolist(), strict=True)
        numbers = [self.families.setdefault(family, len(self.families)) for family in added]
        self.family = np.concatenate([self.family, np.array(numbers, dtype=np.int64)])
        _, self.first_of_family = np.unique(self.family, return_index=True)
        new_families = len(self.families) - len(self.family_pairs)
        self.family_pairs = np.concatenate([self.family_pairs, np.zeros(new_families, dtype=np.int64)])

    def items(self, index: PairIndex, triage: TriageConfig) -> _Items:
        settings = triage if index.plan is None or "triage" not in index.plan.settings else triage_of_plan(index.plan)
        orientation = _usable_orientation(index, settings)
        usable = (self.sources >= 0) & (orientation[self.sources] == np.where(self.facts.flipped, _FLIPPED, _IMPORTED))
        return _Items(
            self.facts.ids,
            self.id_order,
            self.sources,
            usable,
            lambda order, annotator: self._keys(order, annotator, index),
        )

    def _keys(self, order: str, annotator: str, index: PairIndex) -> list[NDArray[np.generic]]:
        """Equals are told apart by source, variant and id; the proposals of one source stand together in a plan."""
        facts = self.facts
        family_margin = np.full(len(self.families), np.inf, dtype=np.float32)
        np.minimum.at(family_margin, self.family, facts.margin_before)
        budget = np.append(index.budget, 0)[self.sources]
        together: list[NDArray[np.generic]] = [self.sources, self.family, facts.variant, np.argsort(self.id_order)]
        as_planned: list[NDArray[np.generic]] = [-budget, family_margin[self.family]]
        first: dict[str, list[NDArray[np.generic]]] = {
            "plan": as_planned,
            "margin": [family_margin[self.family]],
            "gain": [-facts.information_gain, *as_planned],
            "distance": [facts.distance_after - facts.distance_before],
            "random": [],
        }
        if order == "random":
            first["random"] = [fixed_numbers(facts.ids, f"order:{annotator}")]
        return [*first[order], *together]

    def new_pairs(self, usable: BoolArray, families: Mapping[int, _FamilySeen]) -> int:
        """How many pairs the accepted proposals give, some families being seen in part."""
        pairs = self.family_pairs.copy()
        for family, seen in families.items():
            pairs[family] = seen.grid.new_pairs if seen.grid else 0
        return int(pairs[usable[self.first_of_family]].sum())

    def families_without(self, store: Store, ledger: "_Ledger", hidden: IntArray) -> dict[int, _FamilySeen]:
        """The families of some slots, as they are where what people decided about these is hidden.

        A limited number of them is counted at once.
        """
        slots_of: dict[int, set[int]] = {}
        for slot, family in zip(hidden.tolist(), self.family[ledger.places[hidden]].tolist(), strict=True):
            slots_of.setdefault(family, set()).add(slot)
        wanted = {family: frozenset(slots) for family, slots in slots_of.items()}
        new = [family for family, slots in wanted.items() if slots not in self.grids_without.get(family, {})]
        if numbers := new[:FAMILIES_AT_ONCE]:
            by_policies = dict.fromkeys(slot for number in numbers for slot in wanted[number])
            accepted = ledger.accepted_slots(hidden)
            accepted = accepted[np.isin(self.family[ledger.places[accepted]], numbers)]
            how = {slot: None if slot in by_policies else ledger.special.get(slot) for slot in accepted.tolist()}
            grids = self._grids_of_slots(store, ledger, how)
            for number in numbers:
                self.grids_without.setdefault(number, {})[wanted[number]] = grids.get(number)
        return {
            family: _FamilySeen(True, self.grids_without[family][slots])
            if slots in self.grids_without.get(family, {})
            else _FamilySeen(False)
            for family, slots in wanted.items()
        }

    def grids_of(
        self, places: IntArray, ledger: "_Ledger", seen: Mapping[int, _FamilySeen]
    ) -> dict[str, GridTexts | None]:
        """What is approved of the sources of some proposals, by proposal id, some families being seen in part."""
        changed = np.fromiter(ledger.to_count, dtype=np.int64)
        changed = changed[ledger.places[changed] >= 0]
        uncounted = set(self.family[ledger.places[changed]].tolist())
        uncounted |= {family for family, each in seen.items() if not each.is_counted}
        families = self.family[places].tolist()
        known = {family: seen[family].grid if family in seen else self.grids.get(family) for family in set(families)}
        return {
            proposal_id: None if family in uncounted else known[family]
            for proposal_id, family in zip(_as_text(self.facts.ids[places]), families, strict=True)
            if family in uncounted or known[family] is not None
        }

    def recount(self, store: Store, ledger: "_Ledger") -> bool:
        """Count the new pairs of families in which something was decided since; return whether all are counted.

        A limited number of them is counted at once.
        """
        changed = np.fromiter(ledger.to_count, dtype=np.int64)
        changed = changed[ledger.places[changed] >= 0]
        waiting = np.unique(self.family[ledger.places[changed]])
        numbers = waiting[:FAMILIES_AT_ONCE]
        if not len(numbers):
            return True
        accepted = ledger.accepted_slots()
        accepted = accepted[np.isin(self.family[ledger.places[accepted]], numbers)]
        grids = self._grids_of_slots(store, ledger, {slot: ledger.special.get(slot) for slot in accepted.tolist()})
        for number in numbers.tolist():
            self.family_pairs[number] = grids[number].new_pairs if number in grids else 0
            self.grids.pop(number, None)
            self.grids_without.pop(number, None)
        self.grids |= grids
        ledger.to_count.difference_update(changed[np.isin(self.family[ledger.places[changed]], numbers)].tolist())
        return len(numbers) == len(waiting)

    def _grids_of_slots(
        self, store: Store, ledger: "_Ledger", accepted: Mapping[int, ReviewAction | None]
    ) -> dict[int, GridTexts]:
        """The texts of families by what is accepted of them, given how it was accepted if not as it is."""
        approved = _approved_answers(store, {ledger.items[slot]: how for slot, how in accepted.items()})
        by_family: dict[int, list[Answer]] = {}
        for slot in accepted:
            by_family.setdefault(int(self.family[ledger.places[slot]]), []).append(approved[ledger.items[slot]])
        first = self.first_of_family[np.fromiter(by_family, dtype=np.int64)]
        source_of = dict(zip(by_family, _as_text(self.facts.source_ids[first]), strict=True))
        pairs = store.pairs.by_id(source_of.values())
        grids: dict[int, GridTexts] = {}
        for number, answers in by_family.items():
            pair = pairs.get(source_of[number])
            own = (pair.chosen, pair.rejected) if pair else ("", "")
            is_flipped = bool(self.facts.flipped[self.first_of_family[number]])
            grids[number] = GridTexts.of(own[::-1] if is_flipped else own, answers)
        return grids


def _approved_answers(store: Store, accepted: Mapping[str, ReviewAction | None]) -> dict[str, Answer]:
    """The approved chosen and rejected texts of accepted proposals, given how they were accepted if not as they are."""
    approved: dict[str, Answer] = {}
    for proposal_id, (chosen, rejected) in store.proposals.answers(accepted).items():
        action = accepted[proposal_id]
        approved[proposal_id] = (
            None if action == "accept_rejected" else chosen,
            None if action == "accept_chosen" else rejected,
        )
    edited = [proposal_id for proposal_id, action in accepted.items() if action == "edit"]
    if edited:
        events = store.reviews.events("proposal", edited)
        for proposal_id, proposal in store.proposals.by_id(edited).items():
            state = proposal_state(proposal, events[proposal_id])
            approved[proposal_id] = (state.chosen, state.rejected)
    return approved


_USELESS, _IMPORTED, _FLIPPED = 0, 1, 2


def _usable_orientation(index: PairIndex, triage: TriageConfig) -> NDArray[np.int8]:
    """In which orientation a pair gets new pairs now: none, as imported, or flipped. The last place is no pair's."""
    table = np.zeros((2, len(DECISION_CODES)), dtype=np.int8)
    for suspected in (False, True):
        for code, name in enumerate(DECISION_CODES):
            treatment = treat_pair(
                suspected=suspected, policy=triage.policy, smoothing=triage.smoothing, decision=_DECISIONS.get(name)
            )
            orientation = _FLIPPED if treatment.label_confidence == 0.0 else _IMPORTED
            table[int(suspected), code] = orientation if treatment.gets_budget else _USELESS
    suspected_rows = (index.verdict == VERDICT_CODES.index("suspected")).astype(np.int64)
    usable = table[suspected_rows, index.decision]
    usable[index.verdict == VERDICT_CODES.index("indistinct")] = _USELESS
    return np.append(usable, np.int8(_USELESS))


_DECISIONS: Mapping[str, LabelDecision] = {
    "label_right": "label_right",
    "flip": "flip",
    "drop": "drop",
    "ambiguous": "ambiguous",
}

_NO_FACTS = ProposalFacts(
    ids=np.array((), dtype="S24"),
    source_ids=np.array((), dtype="S24"),
    flipped=np.array((), dtype=np.bool_),
    variant=np.array((), dtype=np.int32),
    margin_before=np.array((), dtype=np.float32),
    distance_before=np.array((), dtype=np.float32),
    distance_after=np.array((), dtype=np.float32),
    information_gain=np.array((), dtype=np.float32),
)


# ------------------------------------------------------------------------------------------------------- decisions


_NO_SLOTS: IntArray = np.zeros(0, dtype=np.int64)


class _Ledger:
    """How the items of a kind stand that have events. Each has a slot, by the order in which it got its first one."""

    def __init__(self, kind: ItemKind) -> None:
        self.kind = kind
        self.revision = 0
        self.last_row = 0
        self.slots: dict[str, int] = {}
        self.items: list[str] = []
        self.marks: list[list[ReviewMark]] = []
        self.people = array("i")
        """How many people's decisions stand."""
        self.policies = array("b")
        self.adjudicated = array("b")
        self.accepted = array("b")
        self.accepted_by_policies = array("b")
        """Whether it would be accepted if no person had decided."""
        self.special: dict[int, ReviewAction] = {}
        """How accepted proposals were accepted, where it was not as a whole and as they are."""
        self.decided: dict[str, set[int]] = {}
        """Slots by who decided them."""
        self.seen: dict[str, set[int]] = {}
        """Slots by who knows their labels."""
        self.skipped: dict[str, dict[int, int]] = {}
        """Slots by who skipped them and has not decided them, with the sequence of the skip."""
        self.to_count: set[int] = set()
        """Slots that changed since the new pairs were counted."""
        self.places: IntArray = np.zeros(0, dtype=np.int64)
        """Where each slot's item stands among the items, -1 where it does not."""
        self.placed_in: IdArray | None = None

    def refresh(self, store: Store, revision: int) -> None:
        """Take in the events that were stored since the last time."""
        if revision == self.revision:
            return
        changed: set[int] = set()
        for mark in store.reviews.marks(self.kind, after=self.last_row):
            slot = self._slot(mark.item_id)
            self.marks[slot].append(mark)
            if reveals_labels(mark.action, mark.presented):
                self.seen.setdefault(mark.annotator, set()).add(slot)
            changed.add(slot)
            self.last_row = mark.row
        unclear = [self.items[slot] for slot in changed if not self._derive(slot)]
        self._compare_texts(store, unclear)
        if self.kind == "proposal":
            self.to_count |= changed
        self.revision = revision

    def _slot(self, item_id: str) -> int:
        slot = self.slots.setdefault(item_id, len(self.items))
        if slot == len(self.items):
            self.items.append(item_id)
            self.marks.append([])
            for column in (self.people, self.policies, self.adjudicated, self.accepted, self.accepted_by_policies):
                column.append(0)
        return slot

    def _derive(self, slot: int) -> bool:
        """Derive a slot's state from its events; return whether they alone tell it."""
        marks = self.marks[slot]
        for name in {mark.annotator for mark in marks}:
            self.decided.get(name, set()).discard(slot)
            self.skipped.get(name, {}).pop(slot, None)
        decisions: dict[str, ReviewMark] = {}
        for name, stack in standing_events(marks).items():
            decided = [mark for mark in stack if mark.action != "skip"]
            if decided:
                decisions[name] = decided[-1]
                self.decided.setdefault(name, set()).add(slot)
            else:
                self.skipped.setdefault(name, {})[slot] = stack[-1].sequence
        policies = sum(name.startswith(POLICY_PREFIX) for name in decisions)
        adjudicators = sum(name.startswith(ADJUDICATOR_PREFIX) for name in decisions)
        self.people[slot] = len(decisions) - policies - adjudicators
        self.policies[slot], self.adjudicated[slot] = int(policies > 0), int(adjudicators > 0)
        if self.kind == "pair":
            return True
        actions = [mark.action for mark in binding_decisions(decisions).values()]
        status = status_by_actions(actions)
        by_policies = [mark.action for name, mark in decisions.items() if name.startswith(POLICY_PREFIX)]
        self.accepted_by_policies[slot] = int(status_by_actions(by_policies) == "accepted")
        self._set_accepted(slot, actions[0] if status == "accepted" else None)
        return status is not None

    def _set_accepted(self, slot: int, action: ReviewAction | None) -> None:
        self.accepted[slot] = 0 if action is None else 1
        if action in ("accept", None):
            self.special.pop(slot, None)
        else:
            self.special[slot] = action

    def _compare_texts(self, store: Store, proposal_ids: Sequence[str]) -> None:
        """Settle which proposals are accepted where several people decided and one of them edited."""
        if not proposal_ids:
            return
        events = store.reviews.events("proposal", proposal_ids)
        for proposal_id, proposal in store.proposals.by_id(proposal_ids).items():
            state = proposal_state(proposal, events[proposal_id])
            self._set_accepted(self.slots[proposal_id], "edit" if state.status == "accepted" else None)

    def place(self, items: _Items) -> None:
        """Find where the slots' items stand."""
        known = len(self.places) if self.placed_in is items.ids else 0
        if known < len(self.items) or self.placed_in is not items.ids:
            wanted = np.array(self.items[known:], dtype="S24")
            found = positions_of(items.ids, items.id_order, wanted)
            self.places = np.concatenate([self.places[:known], found])
            self.placed_in = items.ids

    def decided_by(self, annotator: str, count: int) -> BoolArray:
        """Which of the items an annotator has decided."""
        return self._mask(np.fromiter(self.decided.get(annotator, ()), dtype=np.int64), count)

    def seen_by(self, annotator: str, count: int) -> BoolArray:
        """Of which of the items an annotator knows the labels."""
        return self._mask(np.fromiter(self.seen.get(annotator, ()), dtype=np.int64), count)

    def decided_by_people(self, count: int) -> BoolArray:
        """Which of the items any person has decided."""
        return self._mask(np.flatnonzero(np.array(self.people)), count)

    def skipped_by(self, annotator: str) -> dict[int, int]:
        """The places of the items that an annotator skipped, with the sequence of the skip."""
        skipped = self.skipped.get(annotator, {})
        return {int(self.places[slot]): sequence for slot, sequence in skipped.items() if self.places[slot] >= 0}

    def closed(self, overlap: BoolArray, *, policies_count: bool) -> BoolArray:
        """Which items need nobody any more: adjudicated, or decided by one person, by two where they overlap."""
        people, overlapping = np.array(self.people), np.append(overlap, False)[self.places]
        closed = (people >= np.where(overlapping, 2, 1)) | (np.array(self.adjudicated) > 0)
        if policies_count:
            closed |= (people == 0) & (np.array(self.policies) > 0)
        return self._mask(np.flatnonzero(closed), len(overlap))

    def hidden_slots(self, is_open: BoolArray) -> IntArray:
        """The slots whose decisions by people an annotator is not to know yet: their items are open for him or her.

        Only those are among them on which an approval hangs.
        """
        approves = (np.array(self.accepted) > 0) | (np.array(self.accepted_by_policies) > 0)
        return np.flatnonzero(approves & (np.array(self.people) > 0) & np.append(is_open, False)[self.places])

    def accepted_slots(self, hidden: IntArray = _NO_SLOTS) -> IntArray:
        """The slots of accepted proposals that are among the items; of hidden ones it counts what policies decided."""
        accepted = np.array(self.accepted)
        accepted[hidden] = np.array(self.accepted_by_policies)[hidden]
        return np.flatnonzero((accepted > 0) & (self.places >= 0))

    def _mask(self, slots: IntArray, count: int) -> BoolArray:
        mask = np.zeros(count + 1, dtype=bool)  # the last place is that of items that are not there (-1)
        mask[self.places[slots]] = True
        return mask[:-1]
