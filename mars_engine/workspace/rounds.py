"""Rounds: the whole method, round after round. Each step is one call; each can also be run alone.

A round in which people decide has two halves: `open_round` does all up to what they decide, `close_round` all after it.
`run_rounds` does whole rounds, with a policy in their place, or waiting for them. Every step finds its own earlier
results, so rounds that were killed go on where they stopped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mars_engine.augment.compose import ComposeReport, compose_plan
from mars_engine.augment.plan import DraftedPlan, PlanReport, draft_plan, make_plan, planned_model
from mars_engine.augment.propose import ProposeReport, make_proposals, validate_yield
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import NotReadyError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import Composition, ModelRecord, Plan
from mars_engine.curate.review import Reviewer, ReviewReport, review_by_policy, wait_for_people
from mars_engine.evaluate.heldout import Evaluation, evaluate
from mars_engine.reward_models.score import ScoreReport, score_model
from mars_engine.reward_models.train import train_on, train_warm_up
from mars_engine.workspace.judges import settle_suspects
from mars_engine.workspace.named_models import newest_model


@dataclass(frozen=True, slots=True)
class RoundReport(ShownAsTable):
    """What one round did, step by step."""

    number: int
    score: ScoreReport
    """Under the model that the round began with."""
    plan: PlanReport
    propose: ProposeReport
    review: ReviewReport
    compose: ComposeReport
    model: ModelRecord
    score_after: ScoreReport
    """Under the model that the round trained."""
    ended: str = ""
    """Why no round follows it, as a sentence; empty where one does, or where no more were asked for."""


@dataclass(frozen=True, slots=True)
class OpenedRound(ShownAsTable):
    """What was made ready for people to decide about."""

    number: int
    model: ModelRecord
    score: ScoreReport
    plan: PlanReport
    propose: ProposeReport


@dataclass(frozen=True, slots=True)
class ClosedRound(ShownAsTable):
    """What was made of people's decisions."""

    number: int
    compose: ComposeReport
    model: ModelRecord
    score: ScoreReport
    evaluation: Evaluation | None
    """None where there are no held-out pairs to evaluate on."""


def run_rounds(bench: Workbench, rounds: int, *, policy: Reviewer, patience: int = 0) -> list[RoundReport]:
    """Warm up, then score, allocate, propose, review, compose, retrain and score, `rounds` times.

    With cumulative rounds D_t = D_(t−1) ∪ D_syn, otherwise each round's new pairs replace those before. Each trained
    model's figures are noted as points of the run's curves. A round for which no new pair is left ends the rounds: it
    would train the model of before.

    Args:
        bench: the workspace.
        rounds: how many at most.
        policy: who reviews; people are waited for in each round.
        patience: end after so many rounds in a row without a lower held-out log-loss than any before; 0 for never.
            Without held-out pairs nothing tells, and all rounds are run.

    Raises:
        NotReadyError: there are no training pairs, or the first round has no new ones.
        GenerationError: in some round nothing at all could be generated.
    """
    with bench.store.reading_once():
        return _run_rounds(bench, rounds, policy=policy, patience=patience)


def _run_rounds(bench: Workbench, rounds: int, *, policy: Reviewer, patience: int) -> list[RoundReport]:
    model = train_warm_up(bench)
    score = score_model(bench, model)
    settle_suspects(bench)
    _note_points(bench, 0, model, score)
    parent: Composition | None = None
    reports: list[RoundReport] = []
    losses = [score.heldout.log_loss]
    for number in range(1, rounds + 1):
        plan = make_plan(bench, model, round_number=number)
        proposed, reviewed, composed = _augment(bench, plan.plan, policy=policy, parent=parent)
        if reports and not composed.new_pairs:
            reports[-1] = replace(reports[-1], ended=_said_of_empty_round(number))
            break
        parent = composed.composition
        model = train_on(bench, parent)
        before, score = score, score_model(bench, model, triage_again=False)
        _note_points(bench, number, model, score)
        losses.append(score.heldout.log_loss)
        is_out_of_patience = patience > 0 and rounds_without_gain(losses) >= patience
        ended = _said_of_patience(patience) if is_out_of_patience else ""
        reports.append(RoundReport(number, before, plan, proposed, reviewed, composed, model, score, ended))
        if is_out_of_patience:
            break
    return reports


def _augment(
    bench: Workbench, plan: Plan, *, policy: Reviewer, parent: Composition | None
) -> tuple[ProposeReport, ReviewReport, ComposeReport]:
    """Propose, review and compose with one load of the model, which is gone from memory before the next is trained."""
    loaded = bench.shelf.load(planned_model(bench, plan))
    proposed = make_proposals(bench, plan, loaded=loaded)
    validate_yield(proposed)
    reviewed = _review(bench, policy)
    return proposed, reviewed, compose_plan(bench, plan, parent=parent, loaded=loaded)


def _said_of_empty_round(number: int) -> str:
    return (
        f"Round {number:,} found no new pair among the approved variants, so it would have trained the model of before."
    )


def _said_of_patience(patience: int) -> str:
    rounds = "round" if patience == 1 else f"{patience:,} rounds"
    return f"The last {rounds} did not lower the held-out log-loss."


def rounds_without_gain(losses: Sequence[float]) -> int:
    """Return how many of the last rounds did not lower the held-out log-loss, the warm-up's being the first."""
    known = [loss for loss in losses if not math.isnan(loss)]
    return len(known) - 1 - known.index(min(known)) if known else 0


def _review(bench: Workbench, policy: Reviewer) -> ReviewReport:
    if policy == "people":
        return wait_for_people(bench.store, progress=bench.progress)
    return review_by_policy(bench.store, policy, clock=bench.clock)


def open_round(bench: Workbench) -> OpenedRound:
    """Do all up to what people decide: warm up where no model is trained yet, score, triage, allocate, propose.

    The round follows the newest model. Opened again before anything was decided, it finds what it proposed.

    Raises:
        NotReadyError: there are no training pairs.
        GenerationError: nothing at all could be generated.
    """
    with bench.store.reading_once():
        model = bench.store.models.latest() or train_warm_up(bench)
        score = score_model(bench, model)
        settle_suspects(bench)
        _note_points(bench, model.round, model, score)
        number = _next_round(model)
        plan = make_plan(bench, model, round_number=number)
        proposed = make_proposals(bench, plan.plan)
    validate_yield(proposed)
    return OpenedRound(number, model, score, plan, proposed)


def close_round(bench: Workbench) -> ClosedRound:
    """Do all after what people decided: compose what was accepted, retrain, score, and evaluate all models.

    Raises:
        NotReadyError: no round is open, or nothing was accepted.
    """
    with bench.store.reading_once():
        composed = compose_newest_plan(bench)
        model = train_on(bench, composed.composition)
        score = score_model(bench, model, triage_again=False)
        _note_points(bench, composed.composition.round, model, score)
        evaluation = None
        if bench.store.pairs.count("heldout"):
            evaluation = evaluate(bench, bench.store.models.all())
    return ClosedRound(composed.composition.round, composed, model, score, evaluation)


def train_on_newest_composition(bench: Workbench) -> ModelRecord:
    """Train on the base pairs and the newest composed pairs; the warm-up where none were composed yet.

    Raises:
        NotReadyError: there are no training pairs.
    """
    composition = bench.store.compositions.latest()
    return train_on(bench, composition) if composition else train_warm_up(bench)


def plan_next_round(bench: Workbench, *, pair_set: str = "") -> PlanReport:
    """Draw up the plan of the round after the newest model, and store it; see `draft_plan`.

    Raises:
        NotReadyError: no model is trained, or the pairs were not scored yet.
    """
    model = newest_model(bench)
    return make_plan(bench, model, round_number=_next_round(model), pair_set=pair_set)


def draft_next_round(bench: Workbench, *, pair_set: str = "") -> DraftedPlan:
    """Draw up the plan that `plan_next_round` would store; nothing is stored.

    Raises:
        NotReadyError: as `plan_next_round`.
    """
    model = newest_model(bench)
    return draft_plan(bench, model, round_number=_next_round(model), pair_set=pair_set)


def plan_to_retry(bench: Workbench) -> Plan:
    """Return the plan under which what failed is tried again, the newest.

    Raises:
        NotReadyError: nothing was proposed yet.
    """
    plan = bench.store.proposals.latest_plan()
    if plan is None:
        raise NotReadyError("nothing was proposed yet, so nothing has failed", remedy="run 'mars propose' first")
    return plan


def compose_newest_plan(bench: Workbench) -> ComposeReport:
    """Compose what a round accepted under the newest plan, on top of what the plan's model was trained on.

    Raises:
        NotReadyError: there is no plan.
    """
    plan = bench.store.proposals.latest_plan()
    if plan is None:
        raise NotReadyError("there is no plan to compose by", remedy="run 'mars propose' first")
    model = bench.store.models.get(plan.model_id)
    parent = bench.store.compositions.get(model.composition_id) if model and model.composition_id else None
    return compose_plan(bench, plan, parent=parent)


def _next_round(model: ModelRecord) -> int:
    """Return the number of the method's next round, after a model: 1 after a warm-up."""
    return model.round + 1


def _note_points(bench: Workbench, number: int, model: ModelRecord, score: ScoreReport) -> None:
    """Note a model's figures by the number of the round, 0 for the warm-up: the model itself may be of an earlier one,
    where a round came to the same pairs."""
    bench.add_point("training log-loss", number, model.metrics.get("training_log_loss", float("nan")))
    bench.add_point("held-out log-loss", number, score.heldout.log_loss)
    bench.add_point("held-out accuracy", number, score.heldout.accuracy)
    bench.add_point("mean held-out margin", number, score.heldout.margin_mean)
