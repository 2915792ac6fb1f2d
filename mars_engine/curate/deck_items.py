"""What can be read, as columns: source pairs and proposals, their orders of reading, and the pairs they would give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mars_engine.augment.composition import Answer, GridTexts
from mars_engine.core.columns import IdArray, ProposalFacts
from mars_engine.core.config import TriageConfig
from mars_engine.core.records import BoolArray, IntArray
from mars_engine.core.review_records import ReviewAction
from mars_engine.core.review_state import proposal_state
from mars_engine.core.treatment import LabelDecision, treat_pair
from mars_engine.curate.deck_decisions import Decisions
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex, positions_of
from mars_engine.data.sources import triage_of_plan
from mars_engine.stats.fixed_draws import fixed_numbers
from mars_engine.store import Store

FAMILIES_AT_ONCE = 500
"""Sources whose new pairs are counted in one look, so that a look stays short when a server has just started."""


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a kind that can be read, as columns."""

    ids: IdArray
    id_order: IntArray
    sources: IntArray
    """Position of each item's source pair."""
    usable: BoolArray
    keys: Callable[[str, str], list[NDArray[np.generic]]]
    """Sort keys of an order for an annotator, the first decides first."""


@dataclass(frozen=True, slots=True)
class FamilySeen:
    """A family of which something is hidden: its texts without that, None where nothing else of it is approved."""

    is_counted: bool
    grid: GridTexts | None = None


def pair_items(index: PairIndex) -> Items:
    places = np.arange(len(index))

    def keys(order: str, annotator: str) -> list[NDArray[np.generic]]:
        if order == "random":
            return [fixed_numbers(index.ids, f"order:{annotator}"), places]
        margin = _last_if_unknown(index.margin)
        if order == "margin":
            return [margin, places]
        suspected = index.verdict == VERDICT_CODES.index("suspected")
        return [~suspected, np.where(suspected, _last_if_unknown(index.out_of_fold_margin), margin), places]

    return Items(index.ids, index.id_order, places, index.split == SPLIT_CODES.index("train"), keys)


class ProposalItems:
    """The proposals as columns; new ones are added at the end. A family are a source's proposals of one orientation."""

    def __init__(self) -> None:
        self.facts = NO_FACTS
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

    def items(self, index: PairIndex, triage: TriageConfig) -> Items:
        settings = triage if index.plan is None or "triage" not in index.plan.settings else triage_of_plan(index.plan)
        orientation = _usable_orientation(index, settings)
        usable = (self.sources >= 0) & (orientation[self.sources] == np.where(self.facts.flipped, _FLIPPED, _IMPORTED))
        return Items(
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

    def new_pairs(self, usable: BoolArray, families: Mapping[int, FamilySeen]) -> int:
        """How many pairs the accepted proposals give, some families being seen in part."""
        pairs = self.family_pairs.copy()
        for family, seen in families.items():
            pairs[family] = seen.grid.new_pairs if seen.grid else 0
        return int(pairs[usable[self.first_of_family]].sum())

    def families_without(self, store: Store, decisions: Decisions, hidden: IntArray) -> dict[int, FamilySeen]:
        """The families of some slots, as they are where what people decided about these is hidden.

        A limited number of them is counted at once.
        """
        slots_of: dict[int, set[int]] = {}
        for slot, family in zip(hidden.tolist(), self.family[decisions.places[hidden]].tolist(), strict=True):
            slots_of.setdefault(family, set()).add(slot)
        wanted = {family: frozenset(slots) for family, slots in slots_of.items()}
        new = [family for family, slots in wanted.items() if slots not in self.grids_without.get(family, {})]
        if numbers := new[:FAMILIES_AT_ONCE]:
            by_policies = dict.fromkeys(slot for number in numbers for slot in wanted[number])
            accepted = decisions.accepted_slots(hidden)
            accepted = accepted[np.isin(self.family[decisions.places[accepted]], numbers)]
            how = {slot: None if slot in by_policies else decisions.special.get(slot) for slot in accepted.tolist()}
            grids = self._grids_of_slots(store, decisions, how)
            for number in numbers:
                self.grids_without.setdefault(number, {})[wanted[number]] = grids.get(number)
        return {
            family: FamilySeen(True, self.grids_without[family][slots])
            if slots in self.grids_without.get(family, {})
            else FamilySeen(False)
            for family, slots in wanted.items()
        }

    def grids_of(
        self, places: IntArray, decisions: Decisions, seen: Mapping[int, FamilySeen]
    ) -> dict[str, GridTexts | None]:
        """What is approved of the sources of some proposals, by proposal id, some families being seen in part."""
        changed = np.fromiter(decisions.to_count, dtype=np.int64)
        changed = changed[decisions.places[changed] >= 0]
        uncounted = set(self.family[decisions.places[changed]].tolist())
        uncounted |= {family for family, each in seen.items() if not each.is_counted}
        families = self.family[places].tolist()
        known = {family: seen[family].grid if family in seen else self.grids.get(family) for family in set(families)}
        return {
            proposal_id: None if family in uncounted else known[family]
            for proposal_id, family in zip(as_text(self.facts.ids[places]), families, strict=True)
            if family in uncounted or known[family] is not None
        }

    def recount(self, store: Store, decisions: Decisions) -> bool:
        """Count the new pairs of families in which something was decided since; return whether all are counted.

        A limited number of them is counted at once.
        """
        changed = np.fromiter(decisions.to_count, dtype=np.int64)
        changed = changed[decisions.places[changed] >= 0]
        waiting = np.unique(self.family[decisions.places[changed]])
        numbers = waiting[:FAMILIES_AT_ONCE]
        if not len(numbers):
            return True
        accepted = decisions.accepted_slots()
        accepted = accepted[np.isin(self.family[decisions.places[accepted]], numbers)]
        grids = self._grids_of_slots(
            store, decisions, {slot: decisions.special.get(slot) for slot in accepted.tolist()}
        )
        for number in numbers.tolist():
            self.family_pairs[number] = grids[number].new_pairs if number in grids else 0
            self.grids.pop(number, None)
            self.grids_without.pop(number, None)
        self.grids |= grids
        decisions.to_count.difference_update(changed[np.isin(self.family[decisions.places[changed]], numbers)].tolist())
        return len(numbers) == len(waiting)

    def _grids_of_slots(
        self, store: Store, decisions: Decisions, accepted: Mapping[int, ReviewAction | None]
    ) -> dict[int, GridTexts]:
        """The texts of families by what is accepted of them, given how it was accepted if not as it is."""
        approved = _approved_answers(store, {decisions.items[slot]: how for slot, how in accepted.items()})
        by_family: dict[int, list[Answer]] = {}
        for slot in accepted:
            by_family.setdefault(int(self.family[decisions.places[slot]]), []).append(approved[decisions.items[slot]])
        first = self.first_of_family[np.fromiter(by_family, dtype=np.int64)]
        source_of = dict(zip(by_family, as_text(self.facts.source_ids[first]), strict=True))
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

NO_FACTS = ProposalFacts(
    ids=np.array((), dtype="S24"),
    source_ids=np.array((), dtype="S24"),
    flipped=np.array((), dtype=np.bool_),
    variant=np.array((), dtype=np.int32),
    margin_before=np.array((), dtype=np.float32),
    distance_before=np.array((), dtype=np.float32),
    distance_after=np.array((), dtype=np.float32),
    information_gain=np.array((), dtype=np.float32),
)


def as_text(ids: IdArray) -> tuple[str, ...]:
    return tuple(each.decode("ascii") for each in ids.tolist())


def _last_if_unknown(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(values, nan=np.inf, posinf=np.inf, neginf=-np.inf)
