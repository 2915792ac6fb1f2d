"""The deck: deals cards to one annotator, and takes their log of decisions (see decision_log)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from statistics import median
from typing import Any

import numpy as np

from mars_engine.augment.quality.gatekeeper import settings_of_gates
from mars_engine.core.clock import Clock
from mars_engine.core.config import MarsConfig, OpinionShown
from mars_engine.core.review_records import ItemKind, ReviewEvent, StandingAct
from mars_engine.core.review_state import effective_events, proposal_state, reveals_labels
from mars_engine.curate.cards import (
    Card,
    DecisionOnCard,
    Ranking,
    decision_of,
    pair_card,
    proposal_card,
)
from mars_engine.curate.deck_cache import CardFacts, DeckCache, Outlook, facts_of
from mars_engine.curate.gain_order import GainOrder
from mars_engine.curate.reading import Reading
from mars_engine.curate.review import require_annotator
from mars_engine.data.findings import set_of_finding
from mars_engine.data.pair_index import PairIndex
from mars_engine.data.trails import trails_of
from mars_engine.stats.fixed_draws import fixed_numbers
from mars_engine.store import Store

BYTES_OF_CARDS = 1_500_000
BYTES_OF_RECENT = 500_000
RECENT_ACTS = 20
PACE_OVER = 30
"""Decisions about single items whose median time is the pace."""

CARDS_AT_ONCE = 15
"""Cards whose texts are read at a time, until they are enough."""


@dataclass(frozen=True, slots=True)
class ReadingProgress:
    """How far an annotator has come with the items in question."""

    decided: int
    waiting: int
    total: int
    seconds_per_decision: float | None
    accepted: int
    """Accepted proposals, whoever did it; see Outlook for what is hidden of them."""
    new_pairs: int | None
    """How many pairs the accepted ones give; None while that is still being counted."""


@dataclass(frozen=True, slots=True)
class SourceGrid:
    """What accepting a proposal would add to the grid of its source, which composes what is approved of it.

    What others approved of items on which the annotator is to decide too is left out: see Outlook.
    """

    accepted: int
    """Accepted proposals of the source."""
    pairs: int
    """New pairs that these give, at most: those that equal another pair are no new ones."""
    pairs_with_it: int
    """New pairs if it were accepted too, as it is."""


@dataclass(frozen=True, slots=True)
class RecentAct:
    """An act that stands, by its first item."""

    id: str
    """Of the item."""
    decision: DecisionOnCard
    card: Card | None
    """None where the reader holds it."""


@dataclass(frozen=True, slots=True)
class Deal:
    """The next cards of an annotator, leased to them, and their last acts. Others' answers are not in it."""

    kind: ItemKind
    annotator: str
    queue: tuple[str, ...]
    """Ids of the items to read, in the order of reading."""
    cards: tuple[Card, ...]
    """Those of the queue that the reader does not hold."""
    recent: tuple[RecentAct, ...]
    """The newest acts that stand, the oldest first."""
    last_sequence: int
    progress: ReadingProgress
    grids: Mapping[str, SourceGrid | None]
    """By proposal id, for the queue; None while it is still being counted."""
    gains: Mapping[str, float]
    """The expected information gain of the queue, in nats, by proposal id, where a gain order says it."""


def as_json(dealt: Deal) -> dict[str, Any]:
    """Return the deal of an annotator's next cards as plain JSON for the browser."""
    return asdict(dealt)


def deal(
    cache: DeckCache,
    index: PairIndex,
    config: MarsConfig,
    reading: Reading,
    *,
    clock: Clock,
    limit_cards: int = 60,
    held: Collection[str] = (),
    gains: GainOrder | None = None,
) -> Deal:
    """Lease an annotator the next items, and return them in the order of reading, with the cards that are not held.

    An item that somebody decided is not dealt, unless it is among the items that two people decide; nor is a proposal
    whose source pair was dropped or flipped since it was written. What the annotator skipped comes last.

    Args:
        cache: the store, and what is known of it already.
        index: the columns of all pairs, as of now.
        config: settings.
        reading: who reads what, in which order.
        clock: tells when.
        limit_cards: how many cards at most; fewer where their texts are long, but one if there is any.
        held: ids of the items whose cards the reader has already. These are not built again, as long as the cache
            knows them.
        gains: the newest gain order there is, for order "gain".

    Raises:
        MarsError: the annotator has no name, or the order or the share is none.
    """
    if not reading.read_only:
        require_annotator(reading.annotator)
    reading.validate()
    store, kind, annotator = cache.store, reading.kind, reading.annotator
    now = clock()
    others = [lease for lease in store.leases.standing(kind, now=now) if lease.annotator != annotator]
    outlook = cache.outlook(index, config, reading, most=limit_cards + len(others), gains=gains)
    items: Sequence[str] = outlook.candidates[:limit_cards]
    if not reading.read_only:
        until = now + timedelta(minutes=config.review.lease_minutes)
        # The first that are free; what the annotator holds and would not read soon is given back.
        items = store.leases.take(
            kind,
            outlook.candidates,
            annotator=annotator,
            count=limit_cards,
            readers=outlook.readers,
            last_row=outlook.last_row,
            gives_back=True,
            now=now,
            until=until,
        )
    gates = settings_of_gates(config.quality)
    maker = _CardMaker(store, cache.facts, index, reading, frozenset(held), Ranking(index), gates, config.judge.shown)
    queue = dict(_within(maker.facts, maker.cards(items, outlook.skipped, outlook.seen, {}), BYTES_OF_CARDS))
    return Deal(
        kind=kind,
        annotator=annotator,
        queue=tuple(queue),
        cards=tuple(card for card in queue.values() if card is not None),
        recent=_recent(maker),
        last_sequence=store.reviews.last_sequence(annotator),
        progress=_progress(store, reading, outlook),
        grids=_source_grids(maker, tuple(queue), outlook) if kind == "proposal" else {},
        gains=_gains_of(tuple(queue), gains) if gains is not None else {},
    )


def _gains_of(queue: Sequence[str], gains: GainOrder) -> dict[str, float]:
    wanted = {item.encode("ascii"): item for item in queue}
    found = np.flatnonzero(np.isin(gains.ids, np.array(list(wanted), dtype=gains.ids.dtype)))
    return {wanted[gains.ids[place]]: float(gains.gains[place]) for place in found.tolist()}


def _source_grids(maker: "_CardMaker", queue: Sequence[str], outlook: Outlook) -> dict[str, SourceGrid | None]:
    """Return what each of the queue would add: only where its source has something accepted are its texts read."""
    known = {item: outlook.grids[item] for item in queue if item in outlook.grids}
    answers = maker.store.proposals.answers([item for item, grid in known.items() if grid is not None])
    grids: dict[str, SourceGrid | None] = {}
    for item in queue:
        grid = known.get(item)
        if item not in known:
            grids[item] = SourceGrid(0, 0, maker.facts[item].new_pairs)
        elif grid is None:
            grids[item] = None
        elif item in answers:
            grids[item] = SourceGrid(grid.approved, grid.new_pairs, grid.with_answer(answers[item]).new_pairs)
    return grids


@dataclass(frozen=True)
class _CardMaker:
    """Makes the cards of one annotator, but for those that are held."""

    store: Store
    facts: dict[str, CardFacts]
    """By item id, of all cards that were built before; those built now are added."""
    index: PairIndex
    reading: Reading
    held: Collection[str]
    ranking: Ranking
    gates: str
    """Digest of the quality gates' settings."""
    opinions: OpinionShown
    """When cards of pairs show what judges say."""

    def cards(
        self,
        item_ids: Sequence[str],
        skipped: Collection[str],
        seen: Collection[str],
        events: Mapping[str, Sequence[ReviewEvent]],
    ) -> Iterator[tuple[str, Card | None]]:
        """Yield the items in their order with their cards, None for one that is held; items that are gone are left out.

        Texts are read a few at a time. A card that is held is built where the cache does not know it, for its facts.
        `events` are those of items that the annotator has decided, whose status may be told.
        """
        for start in range(0, len(item_ids), CARDS_AT_ONCE):
            group = item_ids[start : start + CARDS_AT_ONCE]
            lacking = [item for item in group if item not in self.held or item not in self.facts]
            built: dict[str, Card] = {}
            swapped = dict(zip(lacking, self._swapped(lacking), strict=True))
            for card in self._built(lacking, events):
                self.facts[card.id] = facts_of(card)
                built[card.id] = replace(
                    card, swapped=swapped[card.id], skipped=card.id in skipped, seen=card.id in seen
                )
            for item in group:
                if item in self.held and item in self.facts:
                    yield item, None
                elif item in built:
                    yield item, built[item]

    def _built(self, item_ids: Sequence[str], events: Mapping[str, Sequence[ReviewEvent]]) -> Iterator[Card]:
        if not item_ids:
            return iter(())
        return self._pair_cards(item_ids) if self.reading.kind == "pair" else self._proposal_cards(item_ids, events)

    def _swapped(self, item_ids: Sequence[str]) -> list[bool]:
        numbers = fixed_numbers(np.array(item_ids, dtype=np.bytes_), f"sides:{self.reading.annotator}")
        return [bool(number & 1) for number in numbers.tolist()]

    def _pair_cards(self, item_ids: Sequence[str]) -> Iterator[Card]:
        contradicted = self.store.pair_sets.members_among(set_of_finding("contradictions"), item_ids)
        opinions = {} if self.opinions == "never" else self.store.opinions.on_pairs(item_ids)
        for pair_id, pair in self.store.pairs.by_id(item_ids).items():
            for place in self.index.positions([pair_id]).tolist():
                yield pair_card(
                    pair,
                    self.index,
                    place,
                    self.ranking,
                    contradicted=pair_id in contradicted,
                    opinions=opinions.get(pair_id, ()),
                    opinions_first=self.opinions == "before",
                )

    def _proposal_cards(self, item_ids: Sequence[str], events: Mapping[str, Sequence[ReviewEvent]]) -> Iterator[Card]:
        proposals = self.store.proposals.by_id(item_ids)
        sources = self.store.pairs.by_id({proposal.source_id for proposal in proposals.values()})
        trails = trails_of(self.store, proposals.values())
        for proposal in proposals.values():
            if proposal.source_id in sources:
                yield proposal_card(
                    proposal,
                    sources[proposal.source_id],
                    self.index,
                    self.ranking,
                    status=proposal_state(proposal, events.get(proposal.id, ())).status,
                    gates=self.gates,
                    tries=trails.get(proposal.id, ()),
                )


def _within(
    facts: Mapping[str, CardFacts], cards: Iterator[tuple[str, Card | None]], most_bytes: int
) -> Iterator[tuple[str, Card | None]]:
    """Yield cards until their texts are as many bytes as a reader may hold at once; the first always."""
    total = 0
    for number, (item, card) in enumerate(cards):
        total += facts[item].size
        if number and total > most_bytes:
            return
        yield item, card


def _recent(maker: _CardMaker) -> tuple[RecentAct, ...]:
    """Return the annotator's newest acts that stand, the oldest first, with what they decided."""
    store, kind, annotator = maker.store, maker.reading.kind, maker.reading.annotator
    acts = store.reviews.standing_acts(kind, annotator, newest=RECENT_ACTS)
    first_items = list(dict.fromkeys(act.items[0] for act in acts))
    events = store.reviews.events(kind, first_items)
    decided = {item: events[item] for item in first_items if annotator in effective_events(events[item])}
    seen = {item for item in first_items if any(_taught(annotator, event) for event in events[item])}
    cards = dict(maker.cards(first_items, set(first_items) - decided.keys(), seen, decided))
    shown = [act for act in acts if act.items[0] in cards]
    within = _within(maker.facts, ((act.items[0], cards[act.items[0]]) for act in shown), BYTES_OF_RECENT)
    recent = [
        RecentAct(item, _decision(act, annotator, events), card)
        for act, (item, card) in zip(shown, within, strict=False)
    ]
    return tuple(recent[::-1])


def _taught(annotator: str, event: ReviewEvent) -> bool:
    """Whether an event is of an annotator who knows the item's labels since."""
    return event.annotator == annotator and reveals_labels(event.action, event.presented)


def _decision(act: StandingAct, annotator: str, events: Mapping[str, Sequence[ReviewEvent]]) -> DecisionOnCard:
    event = next(each for each in events[act.items[0]] if (each.annotator, each.sequence) == (annotator, act.sequence))
    return decision_of(event, items=len(act.items))


def _progress(store: Store, reading: Reading, outlook: Outlook) -> ReadingProgress:
    newest = store.reviews.recent_seconds(reading.kind, reading.annotator, newest=PACE_OVER)
    seconds = [each for each in newest if each > 0]
    return ReadingProgress(
        decided=outlook.decided,
        waiting=outlook.waiting,
        total=outlook.decided + outlook.waiting,
        seconds_per_decision=median(seconds) if seconds else None,
        accepted=outlook.accepted,
        new_pairs=outlook.new_pairs,
    )
