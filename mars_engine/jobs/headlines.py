"""The few figures of a report that are remembered with its run, and shown beside it."""

from collections.abc import Sequence
from typing import Any

from mars_engine.advise.advice import Advice
from mars_engine.align.alpaca.figures import PolicyFigures
from mars_engine.align.best_of_n import LONGEST, ORACLE, BestOfNReport
from mars_engine.align.training.facts import PolicyFacts
from mars_engine.augment.compose import ComposeReport
from mars_engine.augment.plan import PlanReport
from mars_engine.augment.propose import ProposeReport
from mars_engine.augment.quality.gatekeeper import RegateReport
from mars_engine.core.import_records import ImportReport
from mars_engine.core.records import EvaluationRecord, ModelRecord
from mars_engine.curate.judging.asking import JudgingReport
from mars_engine.curate.judging.deciding import JudgeDecisions
from mars_engine.curate.review import ReviewReport
from mars_engine.evaluate.heldout import Evaluation
from mars_engine.evaluate.rewardbench import is_published, scores_of
from mars_engine.experiments.alignment.results import AlignmentResults
from mars_engine.reward_models.score import ScoreReport
from mars_engine.workspace.batches import RequestsReport
from mars_engine.workspace.rewrites_elsewhere import AnswersReport
from mars_engine.workspace.rounds import ClosedRound, OpenedRound, RoundReport

Headlines = dict[str, Any]


def of_advice(advice: Advice) -> Headlines:
    first = advice.first
    return {"first choice": first.name, "expected points": first.gain, "labels estimated wrong": advice.wrong_share}


def of_imports(reports: Sequence[ImportReport]) -> Headlines:
    return {
        "pairs kept": sum(report.kept for report in reports),
        "pairs present before": sum(report.already_present for report in reports),
        "rows dropped": sum(sum(report.dropped.values()) for report in reports),
    }


def of_model(model: ModelRecord) -> Headlines:
    return {
        "model": model.label,
        "training pairs": model.metrics["training_pairs"],
        "training accuracy": model.metrics["training_accuracy"],
    }


def of_score(report: ScoreReport) -> Headlines:
    """Of the held-out pairs, where there are any."""
    if not report.heldout.pairs:
        return {"suspected mislabels": report.verdicts["suspected"]}
    return {
        "held-out accuracy": report.heldout.accuracy,
        "mean held-out margin": report.heldout.margin_mean,
        "suspected mislabels": report.verdicts["suspected"],
    }


def of_plan(report: PlanReport) -> Headlines:
    return {"budget": report.plan.budget, "suspects' share of it": report.forecast.suspects_share_spent}


def of_propose(report: ProposeReport) -> Headlines:
    return {"proposals": report.proposals, "passed the gates": report.passed_gates}


def of_requests(report: RequestsReport) -> Headlines:
    """What a run of `propose --requests` says."""
    return of_propose(report.propose) | {"requests written": report.requests}


def of_answers(report: AnswersReport) -> Headlines:
    """What a run of `propose --answers` says."""
    return {"answers": report.given, "taken": report.taken}


def of_regate(report: RegateReport) -> Headlines:
    return {
        "passed the gates": report.passed_now,
        "newly failed": report.newly_failed,
        "newly passed": report.newly_passed,
    }


def of_review(report: ReviewReport) -> Headlines:
    return {"accepted now": report.accepted_now, "rejected now": report.rejected_now}


def of_judging(judged: JudgingReport | None, decided: JudgeDecisions | None) -> Headlines:
    found: Headlines = {} if judged is None else {"judged now": judged.judged_now, "left": judged.left}
    return found | ({} if decided is None else {"flipped": decided.flipped, "called right": decided.confirmed})


def of_compose(report: ComposeReport) -> Headlines:
    found = {"new pairs": report.new_pairs, "carried over": report.carried_over, "short of the budget": report.short}
    grew = " (it grew)" if report.length_grew else ""
    length = f"{report.length.before:+.0f} to {report.length.after:+.0f} characters{grew}"
    return found | {"chosen − rejected length, sources to composed": length}


def of_evaluation(evaluation: Evaluation) -> Headlines:
    """What held-out evaluation says of the newest model."""
    newest = evaluation.models[-1]
    return {
        "models compared": len(evaluation.models),
        "held-out accuracy": newest.accuracy.estimate,
        f"{newest.accuracy.level:.0%} interval of the accuracy": [newest.accuracy.low, newest.accuracy.high],
    }


def of_opened_round(opened: OpenedRound) -> Headlines:
    return {"round": opened.number} | of_score(opened.score) | of_plan(opened.plan) | of_propose(opened.propose)


def of_closed_round(closed: ClosedRound) -> Headlines:
    """What a run of `close-round` says; of the evaluation where there are held-out pairs."""
    found = {"round": closed.number} | of_compose(closed.compose) | of_model(closed.model) | of_score(closed.score)
    return found | ({} if closed.evaluation is None else of_evaluation(closed.evaluation))


def of_rounds(reports: Sequence[RoundReport], wanted: int) -> Headlines:
    """What a run of whole rounds says: how many of those wanted were run, which model is best, and of the last one."""
    last, best = reports[-1], name_of_best(reports)
    found: Headlines = {"rounds": len(reports), "ended early": len(reports) < wanted}
    found |= {"why no further round": last.ended} if last.ended else {}
    found |= {"best on held-out pairs": best} if best else {}
    return found | of_compose(last.compose) | of_model(last.model) | of_score(last.score_after)


def scores_by_name(reports: Sequence[RoundReport]) -> list[tuple[str, ScoreReport]]:
    """Return the scores of the warm-up and of each round's model, by name."""
    return [("warm-up", reports[0].score), *[(f"round {each.number}", each.score_after) for each in reports]]


def name_of_best(reports: Sequence[RoundReport]) -> str:
    """Return the name of the model with the lowest held-out log-loss, the first of equals; "" if none is known."""
    losses = [(score.heldout.log_loss, name) for name, score in scores_by_name(reports) if score.heldout.pairs]
    return min(losses, key=lambda each: each[0])[1] if losses else ""


def of_rewardbench(record: EvaluationRecord) -> Headlines:
    """RewardBench: the scores of the sections that are there, and what they make together."""
    scores = scores_of(record)
    found = {section.name: section.score for section in scores.sections if section.score is not None}
    if scores.overall is not None:
        found["overall"] = scores.overall
    rows = {} if is_published(record) else {"rows": scores.rows}
    return {"model": record.label, **rows, **found}


def of_best_of_n(report: BestOfNReport) -> Headlines:
    """Best-of-n: what each reward model's picks are worth above a random answer, at the largest n."""
    gains = {
        f"{curve.selector}, judged above random": curve.points[-1].gain.estimate
        for curve in report.curves
        if curve.selector not in (LONGEST, ORACLE)
    }
    return {"prompts": report.prompts, "answers to each": report.answers, "judge": report.judge, **gains}


def of_alpaca(figures: Sequence[PolicyFigures]) -> Headlines:
    """AlpacaEval: each policy's win rate, with what it was judged by."""
    first = figures[0]
    rates = {f"{each.policy}, win rate in %": each.wins.win_rate for each in figures}
    failed = sum(each.wins.n_failed for each in figures)
    return {"judge": first.judge, "baseline": first.baseline, "prompts": first.prompts, "not judged": failed, **rates}


def of_policy(facts: PolicyFacts) -> Headlines:
    """Alignment: what the watched prompts' answers were worth before and after, and what was alarming."""
    found: Headlines = {
        "policy": facts.policy,
        "method": facts.method,
        "steps": facts.steps,
        "reward before": facts.reward_before,
        "reward after": facts.reward_after,
        "KL": facts.kl,
    }
    if facts.gold_after is not None:
        found |= {"gold reward before": facts.gold_before, "gold reward after": facts.gold_after}
    return found | ({"alarms": "; ".join(facts.alarms)} if facts.alarms else {})


def of_comparison(results: AlignmentResults) -> Headlines:
    """Each method's win rate at equal KL, or equal n, under the first way, with what it was judged by."""
    first = results.comparisons[0]
    rates = {f"{each.method}, win rate": each.win_rate.estimate for each in first.readings[0].methods}
    return {"policies": results.finished, "judge": results.judge, "way": first.way, **rates}
