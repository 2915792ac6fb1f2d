"""The demo's report: the method's steps in reading order, each with its figures."""

from dataclasses import replace

from rich.console import Console

from mars_engine.cli import printing
from mars_engine.cli.demo import DemoReport


def show_demo(console: Console, report: DemoReport) -> None:
    """Print the whole report."""
    console.rule("1  Import")
    for each in report.imports:
        printing.show_import(console, each)
    console.rule("2  Warm up and score")
    printing.show_model(console, report.warm_up)
    printing.show_score(console, report.score)
    console.rule("3  Allocate and gate")
    printing.show_laws(console, report.laws)
    printing.show_plan(console, report.plan)
    console.rule("4  Propose")
    printing.show_generators(console, report.generators)
    printing.show_propose(console, report.propose)
    console.rule("5  Review and compose")
    printing.show_review(console, report.review)
    printing.show_compose(console, report.compose)
    console.rule("6  Retrain and evaluate")
    printing.show_model(console, report.trained)
    console.print()
    printing.show_evaluation(console, report.evaluation)
    console.print(
        "All models are probes on the same frozen encoder, fitted to convergence with the same penalty beside the mean "
        "loss; 'warm-up' has no augmentation. With so few held-out pairs, expect wide intervals."
    )
    console.rule("Where this workspace stands")
    printing.show_status(console, replace(report.status, next_step="mars app: look at all of this in the browser"))
