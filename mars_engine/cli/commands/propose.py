"""Commands about proposing: propose, what it could not do, and the prompts of the chat generator."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mars_engine.augment.drafting import settings_of_generation
from mars_engine.augment.failures import group_failures
from mars_engine.augment.generation_forecast import PROPOSE_SECTIONS, forecast_generation
from mars_engine.augment.generators.chat.prompts import NAMES
from mars_engine.augment.plan import PlanReport
from mars_engine.augment.propose import Retry, make_proposals, validate_yield
from mars_engine.augment.workbench import Workbench
from mars_engine.cli import printing, printing_generation
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, looking, reporting, working
from mars_engine.core.config import MarsConfig
from mars_engine.jobs import headlines
from mars_engine.workspace.batches import write_requests
from mars_engine.workspace.prompt_files import copy_prompts, list_prompts, prompt_text
from mars_engine.workspace.rewrites_elsewhere import open_plan, take_answers
from mars_engine.workspace.rounds import draft_next_round, plan_next_round, plan_to_retry
from mars_engine.workspace.workspace import find_workspace, open_workbench


@click.command()
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the plan, the suspects' share, and what generators and a judge would be asked and cost; with --retry-*, "
    "what that would. Nothing is generated.",
)
@click.option("--set", "pair_set", default="", metavar="ID", help="Spend the budget on this set of pairs alone.")
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Try again what failed under the newest plan for a reason that may pass, and nothing else.",
)
@click.option(
    "--retry-refused",
    is_flag=True,
    help="Ask anew for answers that could not be used, too; this costs again what they cost.",
)
@click.option(
    "--requests",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Ask nobody: write what a chat model has still to be asked to this file, in OpenAI's batch format.",
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Ask nobody: take in answers to such requests, or rewrites in the plain form, and propose with them.",
)
@click.option("--writer", default="", metavar="NAME", help="With --answers: who wrote rewrites that do not say it.")
@click.option("--overwrite", is_flag=True, help="With --requests: replace the file if it is there.")
@section_options(*PROPOSE_SECTIONS)
@reporting
def propose(
    session: Session,
    dry_run: bool,
    pair_set: str,
    retry_failed: bool,
    retry_refused: bool,
    requests: Path | None,
    answers: tuple[Path, ...],
    writer: str,
    overwrite: bool,
    overrides: Overrides,
) -> Any:
    """Spend the budget on low-margin pairs and propose augmented pairs for them.

    Pairs whose two answers are too close are sharpened first, then all are paraphrased. Interrupted, it goes on where
    it stopped, and a chat model is asked nothing twice. The default generators are offline stand-ins, rule-based and
    extractive, for demonstrations and tests; docs/generators.md says how to use a chat
    model or a sequence-to-sequence model, and how --requests and --answers go with a batch service.
    """
    if requests:
        _refuse_beside("--requests", dry_run=dry_run, answers=answers, writer=writer, retry_failed=retry_failed)
        return _write_requests(
            session, requests, pair_set, overwrite, "all" if retry_refused else "retryable", overrides
        )
    if answers:
        _refuse_beside(
            "--answers",
            dry_run=dry_run,
            set=pair_set,
            overwrite=overwrite,
            retry_failed=retry_failed,
            retry_refused=retry_refused,
        )
        return _take_answers(session, answers, writer, overrides)
    _refuse_beside("without --requests and --answers", writer=writer, overwrite=overwrite)
    retry: Retry | None = "all" if retry_refused else "retryable" if retry_failed else None
    if dry_run:
        return _propose_dry(session, pair_set, overrides) if retry is None else _retry_dry(session, retry, overrides)
    with working(session, "propose", overrides) as (bench, notes):
        if retry is None:
            plan = plan_next_round(bench, pair_set=pair_set)
            if not session.as_json:
                _show_beginning(printing.make_console(), plan, bench.config)
            proposed = make_proposals(bench, plan.plan)
            notes.summary |= headlines.of_plan(plan)
        else:
            plan = None
            proposed = make_proposals(bench, plan_to_retry(bench), retry=retry)
        notes.summary |= headlines.of_propose(proposed)
        validate_yield(proposed)
        cards = [bench.refiner.card, bench.paraphraser.card]

    def show(console: Console) -> None:
        printing.show_propose(console, proposed)
        printing.show_generators(console, cards)

    return {"plan": plan, "propose": proposed, "generators": cards}, show


def _show_beginning(console: Console, plan: PlanReport, config: MarsConfig) -> None:
    """Show, before anything is written, what it is written for, and how a chat model is asked."""
    printing.show_plan(console, plan)
    if config.propose.by_chat:
        console.print(f"The chat model {config.chat.model!r} is asked under {config.chat.profile_in_words}.")


def _refuse_beside(chosen: str, **given: Any) -> None:
    """Refuse options that mean nothing beside the chosen ones, given by their names."""
    if wrong := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]:
        raise click.UsageError(f"{', '.join(wrong)} cannot be used {chosen if ' ' in chosen else 'with ' + chosen}.")


def _write_requests(
    session: Session, path: Path, pair_set: str, overwrite: bool, retry: Retry, overrides: Overrides
) -> Any:
    with working(session, "propose", overrides) as (bench, notes):
        plan = plan_next_round(bench, pair_set=pair_set).plan
        report = write_requests(bench, plan, path, overwrite=overwrite, retry=retry)
        notes.summary |= headlines.of_requests(report)
    return report, lambda console: printing_generation.show_requests(console, report)


def _take_answers(session: Session, files: tuple[Path, ...], writer: str, overrides: Overrides) -> Any:
    with working(session, "propose", overrides) as (bench, notes):
        report = take_answers(bench, open_plan(bench), files, writer=writer)
        notes.summary |= headlines.of_answers(report)
    return report, lambda console: printing_generation.show_answers(console, report)


def _propose_dry(session: Session, pair_set: str, overrides: Overrides) -> Any:
    with looking(session, overrides) as bench:
        drafted = draft_next_round(bench, pair_set=pair_set)
        forecast = forecast_generation(bench, drafted.report.plan, drafted.rows)
        # The card of a sequence-to-sequence model names its weights, which a dry run does not fetch.
        cards = [] if forecast is None else [bench.refiner.card, bench.paraphraser.card]
        config = bench.config.chat

    def show(console: Console) -> None:
        printing.show_plan(console, drafted.report)
        if forecast is not None:
            printing_generation.show_forecast(console, forecast, config)

    return {"plan": drafted.report, "propose": None, "generation": forecast, "generators": cards}, show


def _retry_dry(session: Session, retry: Retry, overrides: Overrides) -> Any:
    with looking(session, overrides) as bench:
        newest = plan_to_retry(bench)
        forecast = forecast_generation(bench, newest, bench.store.proposals.plan_rows(newest.id), retry=retry)
        config = bench.config.chat

    def show(console: Console) -> None:
        if forecast is None:
            console.print("Neither the generators nor a judge cost anything under the present settings.")
        else:
            printing_generation.show_forecast(console, forecast, config)

    return {"plan": None, "propose": None, "generation": forecast, "generators": []}, show


@click.command()
@click.option("--by-reason", is_flag=True, help="Count them by generator, target and reason.")
@click.option("--all-settings", is_flag=True, help="Also those of generators or settings used before.")
@reporting
def failures(session: Session, by_reason: bool, all_settings: bool) -> Any:
    """List what generators could not do, with the reasons; the original text never takes a rewrite's place.

    'mars propose --retry-failed' tries again what may pass, '--retry-refused' also asks anew for unusable answers.
    """
    workspace = find_workspace(session.root)
    with open_workbench(workspace, session.progress) as bench:
        every = bench.store.proposals.failures(None)
        settings_id = _settings_id(bench)
    found = every if all_settings else [each for each in every if each.settings_id == settings_id]
    elsewhere = len(every) - len(found)
    if by_reason:
        groups = group_failures(found)
        return groups, lambda console: printing_generation.show_failure_groups(console, groups, elsewhere)
    return found, lambda console: printing_generation.show_failures(console, found, elsewhere)


def _settings_id(bench: Workbench) -> str:
    return settings_of_generation(bench.config.propose, bench.paraphraser, bench.refiner, bench.encoder)


@click.command()
@click.option(
    "--copy",
    "copied",
    type=click.Choice([*NAMES, "all"]),
    multiple=True,
    help="Copy a packaged prompt into the workspace's folder prompts/, to be changed there.",
)
@click.option("--show", "shown", type=click.Choice(NAMES), help="Print a prompt as it is used.")
@reporting
def prompts(session: Session, copied: tuple[str, ...], shown: str | None) -> Any:
    """List the prompts of the chat generator: their versions, and which are the workspace's own.

    A file in prompts/ takes the place of the packaged one of its name. Another text makes new proposals; what was asked
    before with the same words is not asked again.
    """
    workspace = find_workspace(session.root)
    if copied:
        copy_prompts(workspace, NAMES if "all" in copied else copied)
    if shown:
        text = prompt_text(workspace, shown)
        return {"name": shown, "text": text}, lambda console: console.print(text, soft_wrap=True)
    found = list_prompts(workspace)
    return found, lambda console: printing_generation.show_prompts(console, found)
