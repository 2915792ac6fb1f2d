"""Rounds: the whole method, round after round. Each step is one call; each can also be run alone.

Every step finds its own earlier results, so rounds that were killed go on where they stopped.
"""

from dataclasses import dataclass

from mars_engine.words.config import AllocationLaw
from mars_engine.words.errors import NotReadyError
from mars_engine.words.records import Composition, ModelRecord, Plan
from mars_engine.workflows.compose import ComposeReport, compose
from mars_engine.workflows.plan import PlanReport, plan_budget
from mars_engine.workflows.propose import ProposeReport, propose
from mars_engine.workflows.review import ReviewPolicy, ReviewReport, review_by_policy
from mars_engine.workflows.score import ScoreReport, score_pairs
from mars_engine.workflows.train import retrain, warm_up
from mars_engine.workflows.workbench import Workbench


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What one round did, step by step."""

    number: int
    score: ScoreReport
    plan: PlanReport
    propose: ProposeReport
    review: ReviewReport
    compose: ComposeReport
    model: ModelRecord


def run_rounds(
    bench: Workbench, rounds: int, *, policy: ReviewPolicy, law: AllocationLaw | None = None
) -> list[RoundReport]:
    """Warm up, then score, allocate, propose, review by a policy, compose and retrain, `rounds` times.

    With cumulative rounds D_t = D_(t−1) ∪ D_syn, otherwise each round's new pairs replace those before.
    """
    model = train_warm_up(bench)
    parent: Composition | None = None
    reports = []
    for number in range(1, rounds + 1):
        score = score_model(bench, model, triage_again=number == 1)
        plan = make_plan(bench, model, law=law, round_number=number)
        proposed = make_proposals(bench, plan.plan)
        reviewed = review_by_policy(bench.store, policy, clock=bench.clock)
        composed = compose_plan(bench, plan.plan, parent=parent)
        parent = composed.composition
        model = train_on(bench, parent)
        reports.append(RoundReport(number, score, plan, proposed, reviewed, composed, model))
    return reports


def train_warm_up(bench: Workbench) -> ModelRecord:
    return warm_up(
        bench.store,
        bench.trainer,
        bench.shelf,
        triage=bench.config.triage,
        clock=bench.clock,
        progress=bench.progress,
    )


def train_on(bench: Workbench, composition: Composition) -> ModelRecord:
    return retrain(
        bench.store,
        bench.trainer,
        bench.shelf,
        composition=composition,
        clock=bench.clock,
        progress=bench.progress,
    )


def score_model(bench: Workbench, model: ModelRecord, *, triage_again: bool = True) -> ScoreReport:
    return score_pairs(
        bench.store,
        bench.trainer,
        bench.shelf,
        model,
        config=bench.config,
        progress=bench.progress,
        triage_again=triage_again,
    )


def make_plan(
    bench: Workbench,
    model: ModelRecord,
    *,
    law: AllocationLaw | None = None,
    round_number: int = 1,
    dry_run: bool = False,
) -> PlanReport:
    return plan_budget(
        bench.store,
        model,
        bench.encoder,
        config=bench.config,
        clock=bench.clock,
        progress=bench.progress,
        law=law,
        round_number=round_number,
        dry_run=dry_run,
    )


def make_proposals(bench: Workbench, plan: Plan) -> ProposeReport:
    return propose(
        bench.store,
        plan,
        bench.shelf.load(planned_model(bench, plan)),
        bench.encoder,
        bench.paraphraser,
        bench.refiner,
        config=bench.config,
        progress=bench.progress,
    )


def compose_plan(bench: Workbench, plan: Plan, *, parent: Composition | None = None) -> ComposeReport:
    return compose(
        bench.store,
        plan,
        bench.shelf.load(planned_model(bench, plan)),
        bench.encoder,
        config=bench.config,
        clock=bench.clock,
        progress=bench.progress,
        parent=parent,
    )


def planned_model(bench: Workbench, plan: Plan) -> ModelRecord:
    """Return the model by whose margins a plan was made."""
    record = bench.store.models.get(plan.model_id)
    if record is None:
        raise NotReadyError(f"the model {plan.model_id} of the plan is gone", remedy="run 'mars score' and plan anew")
    return record
