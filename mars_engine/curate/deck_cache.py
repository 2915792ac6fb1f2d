"""How items stand for those who read them, kept in step with the database: what a deal looks at instead of events."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mars_engine.augment.composition import GridTexts
from mars_engine.core.columns import IdArray
from mars_engine.core.config import MarsConfig
from mars_engine.core.records import BoolArray, IntArray
from mars_engine.core.review_records import ItemKind
from mars_engine.curate.cards import Card, ProposalCard, card_size
from mars_engine.curate.deck_decisions import Decisions
from mars_engine.curate.deck_items import NO_FACTS, FamilySeen, Items, ProposalItems, as_text, pair_items
from mars_engine.curate.gain_order import GainOrder
from mars_engine.curate.reading import ALL, UNREAD, Reading
from mars_engine.data.pair_index import PairIndex, positions_of
from mars_engine.stats.fixed_draws import fixed_numbers
from mars_engine.store import Store

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
        last_row: row of the last review event it was made from.
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
    last_row: int
    accepted: int = 0
    new_pairs: int | None = 0
    grids: Mapping[str, GridTexts | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a deal asks of a card that its reader holds already."""

    size: int
    """About how many bytes it is for the browser."""
    new_pairs: int
    """How many pairs a proposal gives where nothing else of its source is accepted."""


def facts_of(card: Card) -> CardFacts:
    """Return what a deal will ask of a card once its reader holds it."""
    new_pairs = 0
    if isinstance(card, ProposalCard):
        grid = GridTexts.of((card.source.chosen, card.source.rejected))
        new_pairs = grid.with_answer((card.proposal.chosen, card.proposal.rejected)).new_pairs
    return CardFacts(card_size(card), new_pairs)


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
        self._decisions: dict[ItemKind, Decisions] = {"pair": Decisions("pair"), "proposal": Decisions("proposal")}
        self._proposals = ProposalItems()
        self._orders: dict[tuple[str, ...], _KeptOrder] = {}
        self.facts: dict[str, CardFacts] = {}
        """Of the cards that were built, by the ids of their items."""

    def outlook(
        self,
        index: PairIndex,
        config: MarsConfig,
        reading: Reading,
        *,
        most: int,
        gains: GainOrder | None = None,
    ) -> Outlook:
        """Return what an annotator has before them.

        Args:
            index: the columns of all pairs.
            config: settings; how labels are triaged, where no plan says by which settings it was made.
            reading: who reads what, in which order.
            most: how many candidates at most.
            gains: the newest gain order there is, for order "gain".
        """
        kind, annotator = reading.kind, reading.annotator
        scope = self._scope(reading.source)
        policies_close = reading.source == ALL
        overlap_percent = reading.overlap(config.review.overlap_percent)
        with self._lock:
            revisions = self.store.browse.revisions()
            if revisions.get("removals", 0) != self._removals:
                self._forget(revisions["removals"])
            if kind == "proposal":
                self._proposals.refresh(self.store, index, revisions.get("proposals", 0))
            decisions = self._decisions[kind]
            decisions.refresh(self.store, revisions.get("reviews", 0))
            items = pair_items(index) if kind == "pair" else self._proposals.items(index, config.triage)
            decisions.place(items.ids, items.id_order)
            in_scope = items.usable & _scope_mask(items, index, scope)
            overlap = fixed_numbers(items.ids, "overlap") % np.uint64(100) < overlap_percent
            mine = decisions.decided_by(annotator, len(items.ids))
            unread_overlap = overlap & ~decisions.decided_by_people(len(items.ids))
            is_open = in_scope & ~mine & ~decisions.closed(overlap, policies_count=policies_close)
            skipped = decisions.skipped_by(annotator)
            seen = decisions.seen_by(annotator, len(items.ids))
            permutation = self._order(reading, items, index, gains if reading.order == "gain" else None)
            chosen = _first_open(permutation, is_open, skipped, most)
            hidden = decisions.hidden_slots(items.usable & ~mine & ~decisions.closed(overlap, policies_count=False))
            approved = self._approved(decisions, items, hidden) if kind == "proposal" else _Approved()
            return Outlook(
                candidates=as_text(items.ids[chosen]),
                skipped=frozenset(as_text(items.ids[[place for place in chosen if place in skipped]])),
                seen=frozenset(as_text(items.ids[chosen[seen[chosen]]])),
                readers=dict.fromkeys(as_text(items.ids[chosen[unread_overlap[chosen]]]), 2),
                waiting=int(is_open.sum()),
                decided=int((mine & in_scope).sum()),
                last_row=decisions.last_row,
                accepted=approved.proposals,
                new_pairs=approved.new_pairs,
                grids=self._proposals.grids_of(chosen, decisions, approved.families) if kind == "proposal" else {},
            )

    def _scope(self, source: str | Sequence[str]) -> Collection[str] | None:
        """Source pairs in question; None for all."""
        if source in (ALL, UNREAD):
            return None
        return self.store.pair_sets.members(source) if isinstance(source, str) else source

    def _order(self, reading: Reading, items: Items, index: PairIndex, gains: GainOrder | None) -> IntArray:
        """The items in the order of reading; it is made anew where what it is made of has changed."""
        kind, order, annotator = reading.kind, reading.order, reading.annotator
        name = (kind, order, annotator) if order == "random" else (kind, order)
        ranked = gains.ids if gains else NO_FACTS.ids
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

    def _approved(self, decisions: Decisions, items: Items, hidden: IntArray) -> "_Approved":
        """What is accepted where the decisions of people on the items of some slots are hidden."""
        is_counted = self._proposals.recount(self.store, decisions)
        families = self._proposals.families_without(self.store, decisions, hidden)
        count = int(items.usable[decisions.places[decisions.accepted_slots(hidden)]].sum())
        is_counted = is_counted and all(family.is_counted for family in families.values())
        return _Approved(count, self._proposals.new_pairs(items.usable, families) if is_counted else None, families)


@dataclass(frozen=True, slots=True)
class _Approved:
    """What is accepted, as far as an annotator may know; see Outlook."""

    proposals: int = 0
    new_pairs: int | None = 0
    families: Mapping[int, FamilySeen] = field(default_factory=dict)
    """Those of which something is hidden."""


@dataclass(frozen=True, slots=True)
class _KeptOrder:
    made_of: tuple[NDArray[np.generic], ...]
    permutation: IntArray


def _ranks(items: Items, ranked: IdArray) -> IntArray:
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


def _scope_mask(items: Items, index: PairIndex, scope: Collection[str] | None) -> BoolArray:
    if scope is None:
        return np.ones(len(items.ids), dtype=bool)
    in_scope = np.zeros(len(index) + 1, dtype=bool)  # the last place is that of sources that are not there (-1)
    in_scope[index.positions(scope)] = True
    return in_scope[items.sources]
