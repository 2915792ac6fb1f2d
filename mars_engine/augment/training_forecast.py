"""What a round would train on and spend, told before it is started; nothing is stored, generated or trained."""

from dataclasses import dataclass

import numpy as np

from mars_engine.augment.allocation import summarize_allocation
from mars_engine.augment.compose import load_grids, rows_with_budget
from mars_engine.augment.plan import spend
from mars_engine.core.config import MarsConfig, TriagePolicy
from mars_engine.core.records import BoolArray, Plan
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex
from mars_engine.data.sources import load_sources, triage_of_plan
from mars_engine.store import Store

MOST_COUNTED = 20_000
"""Pairs, and accepted variants, up to which the grids are counted text by text."""


@dataclass(frozen=True, slots=True)
class BasePairs:
    """The training pairs, and what becomes of them under people's decisions and triage's policy."""

    imported: int
    dropped: int
    """By people."""
    left_out: int
    """Suspected mislabels that nobody has decided about, by the policy."""
    flipped: int
    softened: int
    """Trained on with a label that is not taken as sure: ambiguous to a person, or smoothed by the policy."""
    suspects: int
    """Suspected mislabels that nobody has decided about."""

    @property
    def trained_on(self) -> int:
        return self.imported - self.dropped - self.left_out


@dataclass(frozen=True, slots=True)
class BudgetOutlook:
    """How the next budget would be spread by the margins as they are now."""

    budget: int
    receivers: int
    """Source pairs that get at least one new pair."""
    effective_sample_size: float
    suspects_share: float
    """Share of the budget that suspected mislabels would get if they were treated like any other pair."""
    suspects_share_spent: float
    """Share that they do get under the policy."""


@dataclass(frozen=True, slots=True)
class NewPairs:
    """What closing the open round would add to the base pairs."""

    round: int
    accepted: int
    pending: int
    budget: int
    at_most: int
    """New pairs that the accepted variants suffice for; in a large workspace as if all of their texts were new."""
    carried_over: int
    """Pairs of the rounds before, where rounds are cumulative."""


def base_pairs(index: PairIndex, policy: TriagePolicy) -> BasePairs:
    """Forecast how many base pairs a round would train on, under a policy for suspected mislabels."""
    columns = _Training.of(index)
    suspects = int(columns.suspected.sum())
    return BasePairs(
        imported=len(columns.suspected),
        dropped=int(columns.decided("drop").sum()),
        left_out=suspects if policy == "leave_out" else 0,
        flipped=int(columns.flipped(policy).sum()),
        softened=int(columns.decided("ambiguous").sum()) + (suspects if policy == "smooth" else 0),
        suspects=suspects,
    )


def budget_outlook(index: PairIndex, config: MarsConfig) -> BudgetOutlook | None:
    """Forecast how the budget would be allocated, None where not all margins are known, or no pair may get a share."""
    columns, policy = _Training.of(index), config.triage.policy
    margins = index.margin[columns.places].astype(np.float64)
    eligible = ~(columns.decided("drop") | columns.decided("ambiguous") | columns.indistinct)
    if policy in ("ask", "judge", "leave_out"):
        eligible &= ~columns.suspected
    if np.isnan(margins).any() or not eligible.any():
        return None
    margins = np.where(columns.flipped(policy), -margins, margins)
    law = config.allocation.law
    spent = spend(margins, config.allocation, law=law, eligible=eligible)
    unrestricted = spend(margins, config.allocation, law=law)
    summary = summarize_allocation(spent.probabilities, spent.budgets)
    return BudgetOutlook(
        budget=summary.budget,
        receivers=summary.pairs - summary.zeros,
        effective_sample_size=summary.effective_sample_size,
        suspects_share=float(unrestricted.probabilities[columns.suspected].sum()),
        suspects_share_spent=float(spent.budgets[columns.suspected].sum() / max(1, summary.budget)),
    )


def most_chat_requests(receivers: int, config: MarsConfig) -> int:
    """Return how many requests chat models get at most for so many source pairs; 0 where none writes or judges.

    Three texts of a pair are paraphrased, both sides of it refined, and each proposal judged in both orders. What is
    answered already is counted too. Of a small model one passage a text is counted; longer texts have more.
    """
    paraphrasing = 3 * _requests_a_text(config.propose.variants, config) if config.propose.paraphraser == "chat" else 0
    refining = 2 * _requests_a_text(config.propose.refine_tries, config) if config.propose.refiner == "chat" else 0
    is_judged = config.quality.judge and config.quality.judge_by == "chat"
    judging = 2 * (config.propose.variants + 1) if is_judged else 0
    return receivers * (paraphrasing + refining + judging)


def _requests_a_text(wanted: int, config: MarsConfig) -> int:
    return wanted + config.causal.spare if config.chat.is_small else -(-wanted // config.chat.candidates)


def new_pairs(store: Store, index: PairIndex, config: MarsConfig) -> NewPairs | None:
    """Forecast what closing the round would compose of the accepted variants, None where no round was opened."""
    plan = index.plan
    if plan is None:
        return None
    accepted = index.accepted[_Training.of(index).places].astype(np.int64)
    if accepted.sum() <= MOST_COUNTED and len(accepted) <= MOST_COUNTED:
        room = _room_in_grids(store, plan)
    else:
        room = int(((accepted + 1) ** 2 - 1).sum())
    model = store.models.get(plan.model_id)
    is_carried = config.compose.cumulative and model is not None and model.composition_id
    return NewPairs(
        round=plan.round,
        accepted=int(accepted.sum()),
        pending=int(index.pending.sum()),
        budget=plan.budget,
        at_most=min(plan.budget, room),
        carried_over=store.compositions.count(model.composition_id) if model and is_carried else 0,
    )


def _room_in_grids(store: Store, plan: Plan) -> int:
    """Return the size of the grids of what is accepted now, as composing will find them."""
    sources = load_sources(store, triage_of_plan(plan))
    return sum(grid.size for grid in load_grids(store, rows_with_budget(store, plan, sources), sources))


@dataclass(frozen=True, eq=False)
class _Training:
    """The columns of the training pairs that say what becomes of them."""

    places: BoolArray
    decision: np.ndarray[tuple[int], np.dtype[np.int16]]
    suspected: BoolArray
    """Suspected, and undecided."""
    indistinct: BoolArray

    @classmethod
    def of(cls, index: PairIndex) -> "_Training":
        places = index.split == SPLIT_CODES.index("train")
        decision = index.decision[places]
        undecided = np.isin(decision, [DECISION_CODES.index(""), DECISION_CODES.index("disputed")])
        suspected = (index.verdict[places] == VERDICT_CODES.index("suspected")) & undecided
        indistinct = index.verdict[places] == VERDICT_CODES.index("indistinct")
        return cls(places, decision, suspected, indistinct)

    def decided(self, decision: str) -> BoolArray:
        found: BoolArray = self.decision == DECISION_CODES.index(decision)
        return found

    def flipped(self, policy: TriagePolicy) -> BoolArray:
        return self.decided("flip") | (self.suspected if policy == "flip" else np.False_)
