"""Commands that take one step of the method each: train, score, review, compose, evaluate."""

from typing import Any, get_args

import click
from click.core import ParameterSource
from rich.console import Console

from mars_engine.augment.plan import compare_laws
from mars_engine.cli import printing
from mars_engine.cli.commands.rounds import train_rounds
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, reporting, working
from mars_engine.curate.review import Reviewer, ReviewPolicy, review_by_policy
from mars_engine.data.sources import load_sources
from mars_engine.evaluate.heldout import evaluate
from mars_engine.jobs import headlines
from mars_engine.reward_models.score import oriented_margins, score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.named_models import newest_model
from mars_engine.workspace.rounds import compose_newest_plan, train_on_newest_composition


@click.command()
@click.option("--warm-up", is_flag=True, help="Train on the base pairs alone, even where composed pairs are there.")
@click.option("--rounds", type=click.IntRange(1), help="Run whole MARS rounds: score, propose, review, compose, train.")
@click.option(
    "--policy",
    type=click.Choice(get_args(Reviewer)),
    default="gates",
    show_default=True,
    help="Who reviews in --rounds: the quality gates, nobody (accept everything), or people, who are waited for.",
)
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="End --rounds after so many rounds in a row that did not lower the held-out log-loss; 0 for never.",
)
@section_options(
    "reward_model",
    "probe",
    "triage",
    "allocation",
    "gate",
    "propose",
    "chat",
    "seq2seq",
    "causal",
    "quality",
    "compose",
)
@reporting
def train(session: Session, warm_up: bool, rounds: int | None, policy: Any, patience: int, overrides: Overrides) -> Any:
    """Train a reward model: the warm-up first, then on base and composed pairs once 'mars compose' has made some.

    A model that was trained on the same pairs with the same settings is there already and is not trained again.
    '--backbone packaged' fine-tunes a transformer; interrupted, the same command goes on where it stopped. Triage asks
    the probe in any case, whose out-of-fold models cost seconds.
    """
    if rounds is None and (patience or _is_given("policy")):
        raise click.UsageError("--patience and --policy are about rounds, so they go with --rounds")
    if rounds is not None and warm_up:
        raise click.UsageError("--warm-up trains on the base pairs alone, and --rounds goes on from there: give one")
    if rounds is not None:
        return train_rounds(session, rounds, policy, patience, overrides)
    with working(session, "train", overrides) as (bench, notes):
        model = train_warm_up(bench) if warm_up else train_on_newest_composition(bench)
        notes.summary |= headlines.of_model(model)
    return model, lambda console: printing.show_model(console, model)


def _is_given(option: str) -> bool:
    """Whether the user gave an option, be it with the value that it has anyway."""
    return click.get_current_context().get_parameter_source(option) is not ParameterSource.DEFAULT


@click.command()
@section_options("triage", "allocation")
@reporting
def score(session: Session, overrides: Overrides) -> Any:
    """Read the margins of all pairs under the newest model, and triage the training pairs' labels.

    Triage scores each pair by models that never saw it, to tell suspected mislabels from hard pairs. Also shows how
    each allocation law would spread the budget.
    """
    with working(session, "score", overrides) as (bench, notes):
        model = newest_model(bench)
        report = score_model(bench, model)
        sources = load_sources(bench.store, bench.config.triage)
        margins = oriented_margins(bench.store, model, sources)
        laws = compare_laws(margins, bench.config.allocation)
        notes.summary |= headlines.of_score(report)

    def show(console: Console) -> None:
        printing.show_score(console, report)
        printing.show_laws(console, laws)

    return {"score": report, "laws": laws}, show


@click.command()
@click.option(
    "--policy",
    type=click.Choice(get_args(ReviewPolicy)),
    required=True,
    help="'gates' accepts what passed every quality gate and rejects the rest; 'accept-all' accepts everything.",
)
@reporting
def review(session: Session, policy: Any) -> Any:
    """Decide about all pending proposals by a policy. What a person decided is left alone."""
    with working(session, "review") as (bench, notes):
        report = review_by_policy(bench.store, policy, clock=bench.clock)
        notes.summary |= headlines.of_review(report)
    return report, lambda console: printing.show_review(console, report)


@click.command()
@section_options("compose")
@reporting
def compose(session: Session, overrides: Overrides) -> Any:
    """Make training pairs of the approved variants, as many from each source pair as the newest plan gives it."""
    with working(session, "compose", overrides) as (bench, notes):
        report = compose_newest_plan(bench)
        notes.summary |= headlines.of_compose(report)
    return report, lambda console: printing.show_compose(console, report)


@click.command(name="evaluate")
@section_options("evaluate")
@reporting
def evaluate_(session: Session, overrides: Overrides) -> Any:
    """Compare all trained models on the held-out pairs, with bootstrap intervals, beside "the longer one wins"."""
    with working(session, "evaluate", overrides) as (bench, notes):
        models = bench.store.models.all()
        report = evaluate(bench, models)
        notes.summary |= headlines.of_evaluation(report)
    return report, lambda console: printing.show_evaluation(console, report)
