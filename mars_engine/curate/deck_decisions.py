"""How the items of a kind stand by what was decided of them, kept in step with the stored events."""

from array import array
from collections.abc import Sequence

import numpy as np

from mars_engine.core.columns import IdArray
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
from mars_engine.data.pair_index import positions_of
from mars_engine.store import Store

NO_SLOTS: IntArray = np.zeros(0, dtype=np.int64)


class Decisions:
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

    def place(self, ids: IdArray, id_order: IntArray) -> None:
        """Find where the slots' items stand among these ids, which `id_order` sorts."""
        known = len(self.places) if self.placed_in is ids else 0
        if known < len(self.items) or self.placed_in is not ids:
            wanted = np.array(self.items[known:], dtype="S24")
            found = positions_of(ids, id_order, wanted)
            self.places = np.concatenate([self.places[:known], found])
            self.placed_in = ids

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

    def accepted_slots(self, hidden: IntArray = NO_SLOTS) -> IntArray:
        """The slots of accepted proposals that are among the items; of hidden ones it counts what policies decided."""
        accepted = np.array(self.accepted)
        accepted[hidden] = np.array(self.accepted_by_policies)[hidden]
        return np.flatnonzero((accepted > 0) & (self.places >= 0))

    def _mask(self, slots: IntArray, count: int) -> BoolArray:
        mask = np.zeros(count + 1, dtype=bool)  # the last place is that of items that are not there (-1)
        mask[self.places[slots]] = True
        return mask[:-1]
