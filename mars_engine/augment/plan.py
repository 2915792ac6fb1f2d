"""Plan: from margins to a budget for each source pair, and to the gate that says which pairs need sharper contrast."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mars_engine.augment.allocation import (
    AllocationSummary,
    allocate_budget,
    allocation_probabilities,
    has_low_margin,
    scale_margins,
    summarize_allocation,
)
from mars_engine.augment.distance_gate import gate_threshold, is_high
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import LAWS, AllocationConfig, AllocationLaw, GateConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import (
    BoolArray,
    FloatArray,
    IntArray,
    ModelRecord,
    Plan,
    PlanRow,
    content_id,
)
from mars_engine.data.sources import Source, load_sources, open_suspects
from mars_engine.embeddings.distances import response_distances
from mars_engine.reward_models.score import oriented_margins
from mars_engine.store import Store


@dataclass(frozen=True, slots=True)
class BudgetForecast:
    """What a person should know of a budget before anything is generated."""

    low_margin: int
    """Pairs that get more than an equal share of the budget."""
    needs_refining: int
    """Pairs with a budget whose answers are too close."""
    suspects: int
    suspects_share: float
    """Share of the budget that suspected mislabels would get if they were treated like any other pair."""
    suspects_share_spent: float
    """Share that they do get under the policy."""


@dataclass(frozen=True, slots=True)
class PlanReport(ShownAsTable):
    """A plan, how evenly it spreads the budget, and what it means."""

    plan: Plan
    summary: AllocationSummary
    forecast: BudgetForecast


@dataclass(frozen=True, slots=True)
class DraftedPlan:
    """A plan that is not stored yet, with its rows."""

    report: PlanReport
    rows: tuple[PlanRow, ...]


@dataclass(frozen=True, slots=True)
class Allocation:
    """A law's shares and counts over the source pairs."""

    probabilities: FloatArray
    budgets: IntArray


def spend(
    margins: FloatArray,
    config: AllocationConfig,
    *,
    law: AllocationLaw,
    among: BoolArray | None = None,
    eligible: BoolArray | None = None,
) -> Allocation:
    """Return how the configured budget is spread over n pairs with these margins under a law.

    Args:
        margins: score margin of each pair, shape (n,).
        config: the budget, and how sharply it is spread.
        law: the law.
        among: which pairs the budget is for, shape (n,); all where it is None. They make up the budget per pair.
        eligible: which of them may get a share, shape (n,); all where it is None.
    """
    among = np.ones(len(margins), dtype=bool) if among is None else among
    budget = config.budget or round(config.budget_per_pair * int(among.sum()))
    probabilities = allocation_probabilities(
        scale_margins(margins, config.scale),
        law,
        tau=config.tau,
        eligible=among if eligible is None else among & eligible,
    )
    capacity = np.full(len(margins), config.cap, dtype=np.int64) if config.cap else None
    return Allocation(probabilities, allocate_budget(probabilities, budget, capacity=capacity))


def compare_laws(margins: FloatArray, config: AllocationConfig) -> dict[AllocationLaw, AllocationSummary]:
    """Return how evenly each law would spread the budget."""
    allocations = {law: spend(margins, config, law=law) for law in LAWS}
    return {law: summarize_allocation(each.probabilities, each.budgets) for law, each in allocations.items()}


def make_plan(
    bench: Workbench,
    model: ModelRecord,
    *,
    law: AllocationLaw | None = None,
    round_number: int = 1,
    pair_set: str = "",
) -> PlanReport:
    """Draw up a plan and store it; see `draft_plan`."""
    drafted = draft_plan(bench, model, law=law, round_number=round_number, pair_set=pair_set)
    bench.store.proposals.add_plan(drafted.report.plan, drafted.rows)
    return drafted.report


def draft_plan(
    bench: Workbench,
    model: ModelRecord,
    *,
    law: AllocationLaw | None = None,
    round_number: int = 1,
    pair_set: str = "",
) -> DraftedPlan:
    """Spend the budget by the margins of a trained model; nothing is stored.

    With the id of a set of pairs, all of the budget goes to its pairs; they are gated as among all pairs. Where a round
    is open already, this is added to what its plan gives to pairs of which there are proposals, so that what was
    accepted of them is composed too.

    Raises:
        NotReadyError: there are no pairs, the set has none of them, the model has not scored them, or their labels
            were not triaged under a policy that treats suspects otherwise.
    """
    store, config = bench.store, bench.config
    law = law or config.allocation.law
    sources = load_sources(store, config.triage)
    if config.triage.policy != "keep":
        _require_triage(store)
    margins = oriented_margins(store, model, sources)
    among = _pairs_of_set(store, pair_set, sources) if pair_set else np.ones(len(sources), dtype=bool)
    eligible = among & np.array([source.treatment.gets_budget for source in sources], dtype=bool)
    if not eligible.any():
        raise NotReadyError(
            "no pair may get a share of the budget: all are suspected, dropped, ambiguous or indistinct",
            remedy="decide about the suspected pairs, or set another policy under [triage] in mars.toml",
        )
    allocation = spend(margins, config.allocation, law=law, among=among, eligible=eligible)
    extended = _open_plan(store, model, round_number) if pair_set else None
    if extended is not None:
        proposed = {source_id.decode("ascii") for source_id in store.browse.proposals().source_ids.tolist()}
        rows_there = [row for row in store.proposals.plan_rows(extended.id) if row.pair_id in proposed]
        allocation = _added_to(rows_there, allocation, sources, among)
    distances = response_distances(bench.encoder, [source.pair for source in sources], progress=bench.progress)
    gates = gate_pairs(distances, config.gate)
    forecast = _forecast(
        allocation,
        gates,
        among & open_suspects(sources),
        unrestricted=spend(margins, config.allocation, law=law, among=among),
    )
    settings = {
        "law": law,
        "allocation": config.allocation.model_dump() | {"law": law},
        "triage": config.triage.model_dump(),
        "gate": config.gate.model_dump(),
        **({"pair_set": pair_set} if pair_set else {}),
        **({"added_to": extended.id} if extended is not None else {}),
    }
    rows = _plan_rows(sources, margins, allocation, distances, gates)
    plan = Plan(
        id=content_id(model.id, round_number, settings, [[row.pair_id, row.budget, row.gate] for row in rows]),
        model_id=model.id,
        round=round_number,
        law=law,
        budget=int(allocation.budgets.sum()),
        settings=settings,
        summary=asdict(forecast),
        created_at=bench.clock(),
    )
    report = PlanReport(
        plan=plan, summary=summarize_allocation(allocation.probabilities, allocation.budgets), forecast=forecast
    )
    return DraftedPlan(report, tuple(rows))


def planned_model(bench: Workbench, plan: Plan) -> ModelRecord:
    """Return the model by whose margins a plan was made.

    Raises:
        NotReadyError: it was removed.
    """
    record = bench.store.models.get(plan.model_id)
    if record is None:
        raise NotReadyError(f"the model {plan.model_id} of the plan is gone", remedy="run 'mars score' and plan anew")
    return record


def _open_plan(store: Store, model: ModelRecord, round_number: int) -> Plan | None:
    """Return the plan of the round that is open: the newest, where it goes by the same model."""
    newest = store.proposals.latest_plan()
    return newest if newest is not None and (newest.model_id, newest.round) == (model.id, round_number) else None


def _added_to(rows: Sequence[PlanRow], fresh: Allocation, sources: Sequence[Source], among: BoolArray) -> Allocation:
    """Return an allocation that leaves to each pair what an earlier plan gives it, and to those in question the more of
    the two. Pairs that may not get a share any more get none."""
    earlier = {row.pair_id: row for row in rows}
    kept = [earlier.get(source.pair.id) if source.treatment.gets_budget else None for source in sources]
    budgets = np.array([row.budget if row else 0 for row in kept], dtype=np.int64)
    shares = np.array([row.probability if row else 0.0 for row in kept]) * budgets.sum()
    fresh_shares = fresh.probabilities * fresh.budgets.sum()
    merged = np.where(among, np.maximum(shares, fresh_shares), shares)
    return Allocation(merged / merged.sum(), np.where(among, np.maximum(budgets, fresh.budgets), budgets))


def _require_triage(store: Store) -> None:
    """Raise NotReadyError where it is not known yet on which pairs no budget is to be spent unseen: the suspected."""
    warm_up = store.models.latest(warm_up=True)
    if warm_up is None or not store.models.triage(warm_up.id):
        raise NotReadyError("the labels of the training pairs were not triaged yet", remedy="run 'mars score'")


def _pairs_of_set(store: Store, set_id: str, sources: Sequence[Source]) -> BoolArray:
    """Which of the sources are in a set."""
    members = set(store.pair_sets.members(set_id))
    among = np.array([source.pair.id in members for source in sources], dtype=bool)
    if not among.any():
        raise NotReadyError(
            f"no training pair is in the set {set_id!r}",
            expected="the id of a set that was made on the page Explore, with at least one training pair",
            remedy="select the pairs on Explore and propose from there",
        )
    return among


def gate_pairs(distances: FloatArray, config: GateConfig) -> BoolArray:
    """Return which pairs pass the gate as configured."""
    threshold = gate_threshold(distances, config.rule, quantile=config.quantile, fixed=config.threshold)
    return is_high(distances, threshold)


def _forecast(
    allocation: Allocation, gates: BoolArray, suspects: BoolArray, *, unrestricted: Allocation
) -> BudgetForecast:
    spent, total = allocation.budgets, max(int(allocation.budgets.sum()), 1)
    return BudgetForecast(
        low_margin=int((has_low_margin(allocation.probabilities) & (spent > 0)).sum()),
        needs_refining=int((~gates & (spent > 0)).sum()),
        suspects=int(suspects.sum()),
        suspects_share=float(unrestricted.probabilities[suspects].sum()),
        suspects_share_spent=float(spent[suspects].sum() / total),
    )


def _plan_rows(
    sources: Sequence[Source], margins: FloatArray, allocation: Allocation, distances: FloatArray, gates: BoolArray
) -> list[PlanRow]:
    return [
        PlanRow(
            pair_id=source.pair.id,
            margin=float(margins[index]),
            probability=float(allocation.probabilities[index]),
            budget=int(allocation.budgets[index]),
            distance=float(distances[index]),
            gate="high" if gates[index] else "low",
        )
        for index, source in enumerate(sources)
    ]
