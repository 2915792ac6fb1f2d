"""Status: the funnel from imported pairs to a trained model, and what to do next."""

from collections import Counter
from dataclasses import dataclass

from mars_engine.maths.review_state import ProposalStatus, proposal_states
from mars_engine.words.config import MarsConfig
from mars_engine.words.protocols import Store
from mars_engine.workflows.sources import load_sources, open_suspects


@dataclass(frozen=True, slots=True)
class FunnelStep:
    name: str
    count: int
    unit: str
    note: str


@dataclass(frozen=True, slots=True)
class Status:
    """Where a workspace stands."""

    funnel: tuple[FunnelStep, ...]
    heldout_pairs: int
    model_label: str
    next_step: str


def workspace_status(store: Store, *, config: MarsConfig) -> Status:
    """Return the funnel pairs → suspected → low-margin → refined → proposed → accepted → composed → trained."""
    pairs = store.pairs.count("train")
    suspects = int(open_suspects(load_sources(store, config.triage)).sum()) if pairs else 0
    plan = store.proposals.latest_plan()
    low_margin = int(plan.summary["low_margin"]) if plan else 0
    proposals = store.proposals.proposals()
    outcomes = Counter(
        outcome
        for settings_id in {proposal.settings_id for proposal in proposals}
        for outcome in store.proposals.sources_done(settings_id).values()
    )
    statuses = Counter(state.status for state in proposal_states(proposals, store.reviews.events("proposal")).values())
    composition = store.compositions.latest()
    composed = store.compositions.count(composition.id) if composition else 0
    model = store.models.latest()
    funnel = (
        FunnelStep("pairs", pairs, "training pairs", ""),
        FunnelStep("suspected", suspects, "pairs", "suspected mislabels nobody has decided about"),
        FunnelStep(
            "low-margin", low_margin, "pairs", f"more than an equal share of the budget ({plan.law})" if plan else ""
        ),
        FunnelStep(
            "refined",
            outcomes["refined_rejected"] + outcomes["refined_chosen"],
            "pairs",
            f"{outcomes['unrefined']} could not be" if outcomes["unrefined"] else "",
        ),
        FunnelStep(
            "proposed",
            len(proposals),
            "proposals",
            f"{statuses['pending']} wait for review" if statuses["pending"] else "",
        ),
        FunnelStep(
            "accepted",
            statuses["accepted"],
            "proposals",
            f"{statuses['rejected']} rejected" if statuses["rejected"] else "",
        ),
        FunnelStep("composed", composed, "new pairs", f"round {composition.round}" if composition else ""),
        FunnelStep(
            "trained",
            int(model.metrics["training_pairs"]) if model else 0,
            "training pairs",
            model.label if model else "",
        ),
    )
    return Status(
        funnel=funnel,
        heldout_pairs=store.pairs.count("heldout"),
        model_label=model.label if model else "",
        next_step=_next_step(store, statuses),
    )


def _next_step(store: Store, statuses: Counter[ProposalStatus]) -> str:  # noqa: PLR0911 (one return a step)
    """Name the first step of the method that has not been taken."""
    model, plan, composition = store.models.latest(), store.proposals.latest_plan(), store.compositions.latest()
    if not store.pairs.count("train"):
        return "mars import FILE: there are no training pairs yet"
    if model is None:
        return "mars train: warm up a reward model on the base pairs"
    if not store.models.scores(model.id).keys() >= {pair.id for pair in store.pairs.pairs("train")}:
        return "mars score: read the margins"
    if plan is None or not statuses:
        return "mars propose: spend the budget on low-margin pairs"
    if statuses["pending"]:
        return f"mars review: {statuses['pending']} proposals wait for a decision"
    if composition is None or composition.plan_id != plan.id:
        return "mars compose: make training pairs of what was accepted"
    if model.composition_id != composition.id:
        return "mars train: train on the composed pairs"
    return "mars evaluate: see what was gained"
