"""Commands for whole rounds: open-round, close-round, and `mars train --rounds`."""

from typing import Any

import click
from rich.console import Console

from mars_engine.assembly import headlines, printing
from mars_engine.assembly.command_frame import Overrides, Session, reporting, working
from mars_engine.assembly.config_options import section_options
from mars_engine.workflows.review import Reviewer
from mars_engine.workflows.rounds import RoundReport, close_round, open_round, run_rounds


@click.command(name="open-round")
@section_options("reward_model", "probe", "triage", "allocation", "gate", "propose", "chat", "seq2seq", "quality")
@reporting
def open_round_(session: Session, overrides: Overrides) -> Any:
    """Open a round: warm up if need be, score, triage, plan and propose; all up to what people decide.

    Opened again, it finds what it did, and adds what is new. 'mars close-round' goes on after the review.
    """
    with working(session, "open-round", overrides) as (bench, notes):
        report = open_round(bench)
        notes.summary |= {"round": report.number} | headlines.of_score(report.score)
        notes.summary |= headlines.of_plan(report.plan) | headlines.of_propose(report.propose)
        cards = [bench.refiner.card, bench.paraphraser.card]

    def show(console: Console) -> None:
        console.rule(f"round {report.number} is open")
        printing.show_model(console, report.model)
        printing.show_score(console, report.score)
        printing.show_plan(console, report.plan)
        printing.show_propose(console, report.propose)
        printing.show_generators(console, cards)

    return report, show


@click.command(name="close-round")
@section_options("reward_model", "probe", "compose", "evaluate")
@reporting
def close_round_(session: Session, overrides: Overrides) -> Any:
    """Close a round: compose what was accepted, retrain, score, and evaluate on the held-out pairs."""
    with working(session, "close-round", overrides) as (bench, notes):
        report = close_round(bench)
        notes.summary |= {"round": report.number} | headlines.of_compose(report.compose)
        notes.summary |= headlines.of_model(report.model) | headlines.of_score(report.score)
        if report.evaluation is not None:
            notes.summary |= headlines.of_evaluation(report.evaluation)

    def show(console: Console) -> None:
        console.rule(f"round {report.number} is closed")
        printing.show_compose(console, report.compose)
        printing.show_model(console, report.model)
        printing.show_score(console, report.score)
        if report.evaluation is not None:
            printing.show_evaluation(console, report.evaluation)

    return report, show


def train_rounds(session: Session, rounds: int, policy: Reviewer, patience: int, overrides: Overrides) -> Any:
    """Run whole rounds, recorded as one run of the kind "rounds"."""
    with working(session, "rounds", overrides) as (bench, notes):
        reports = run_rounds(bench, rounds, policy=policy, patience=patience)
        last = reports[-1]
        stopped = len(reports) < rounds
        notes.summary |= {"rounds": len(reports), "ended early": stopped} | headlines.of_compose(last.compose)
        notes.summary |= headlines.of_model(last.model) | headlines.of_score(last.score_after)

    def show(console: Console) -> None:
        _show_rounds(console, reports)
        if stopped:
            console.print(
                f"Ended after {len(reports):,} of {rounds:,} rounds: the last {patience:,} did not lower the held-out "
                "log-loss."
            )

    return reports, show


def _show_rounds(console: Console, reports: list[RoundReport]) -> None:
    for report in reports:
        console.rule(f"round {report.number}")
        printing.show_score(console, report.score)
        printing.show_plan(console, report.plan)
        printing.show_propose(console, report.propose)
        printing.show_review(console, report.review)
        printing.show_compose(console, report.compose)
        printing.show_model(console, report.model)
    printing.show_score(console, reports[-1].score_after)
