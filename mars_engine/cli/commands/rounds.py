"""Commands for whole rounds: open-round, close-round, and `mars train --rounds`."""

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from mars_engine.cli import printing
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, reporting, working
from mars_engine.curate.review import Reviewer
from mars_engine.jobs import headlines
from mars_engine.workspace.rounds import RoundReport, close_round, open_round, run_rounds


@click.command(name="open-round")
@section_options(
    "reward_model", "probe", "triage", "allocation", "gate", "propose", "chat", "seq2seq", "causal", "quality"
)
@reporting
def open_round_(session: Session, overrides: Overrides) -> Any:
    """Open a round: warm up if need be, score, triage, plan and propose; all up to what people decide.

    Opened again, it finds what it did, and adds what is new. 'mars close-round' goes on after the review.
    """
    with working(session, "open-round", overrides) as (bench, notes):
        report = open_round(bench)
        notes.summary |= headlines.of_opened_round(report)
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
        notes.summary |= headlines.of_closed_round(report)

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
        notes.summary |= headlines.of_rounds(reports, rounds)
    last = reports[-1]

    def show(console: Console) -> None:
        _show_rounds(console, reports)
        _show_comparison(console, reports)
        if len(reports) < rounds:
            console.print(f"Ended after {len(reports):,} of {rounds:,} rounds.")
        if last.ended:
            console.print(last.ended)
        elif patience and not last.score_after.heldout.pairs:
            console.print(f"Without held-out pairs the patience of {patience:,} rounds had nothing to go by.")

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


def _show_comparison(console: Console, reports: Sequence[RoundReport]) -> None:
    best = headlines.name_of_best(reports)
    new_pairs = [0, *[each.compose.new_pairs + each.compose.carried_over for each in reports]]
    rows = [
        [
            name,
            f"{score.train.pairs:,} + {count:,}",
            f"{score.heldout.accuracy:.3f}" if score.heldout.pairs else "–",
            f"{score.heldout.log_loss:.4f}" if score.heldout.pairs else "–",
            "lowest held-out log-loss" if name == best else "",
        ]
        for (name, score), count in zip(headlines.scores_by_name(reports), new_pairs, strict=True)
    ]
    columns = ["model", "pairs + composed", "held-out accuracy", "held-out log-loss", "best"]
    printing.table(console, "The rounds beside each other", columns, rows)
