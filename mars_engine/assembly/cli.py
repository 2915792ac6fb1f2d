"""The command line. A command opens the workspace, calls one workflow, and shows its report."""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console

from mars_engine import __version__
from mars_engine.assembly import printing
from mars_engine.assembly.config_options import override_config, section_options
from mars_engine.assembly.recorded_run import mark_lost_runs, recorded_run
from mars_engine.assembly.workspace import (
    WORKSPACE_VARIABLE,
    create_workspace,
    find_workspace,
    open_workbench,
    open_workspace_store,
    utc_now,
)
from mars_engine.words.errors import ConfigError, LoadError, MarsError, NotReadyError
from mars_engine.words.protocols import PairSource, Progress
from mars_engine.words.records import ModelRecord, Split
from mars_engine.workflows.evaluate import evaluate
from mars_engine.workflows.export import ExportWhat, select_for_export
from mars_engine.workflows.holdout import HoldoutPart
from mars_engine.workflows.import_pairs import import_pairs
from mars_engine.workflows.plan import compare_laws
from mars_engine.workflows.review import ReviewPolicy, review_by_policy
from mars_engine.workflows.rounds import (
    RoundReport,
    compose_plan,
    make_plan,
    make_proposals,
    run_rounds,
    score_model,
    train_on,
    train_warm_up,
)
from mars_engine.workflows.score import SPLITS
from mars_engine.workflows.sources import load_sources, oriented_margins
from mars_engine.workflows.status import workspace_status
from mars_engine.workflows.workbench import Workbench
from mars_engine.world.exporter import ExportShape, export_pairs
from mars_engine.world.loaders import FORMAT_NAMES, open_source
from mars_engine.world.progress import progress_for

EXIT_CODES = """
Exit codes: 0 done; 1 an unforeseen error; 2 wrong usage; 3 bad input or settings, nothing was stored;
4 an earlier step is missing; 5 the workspace, a model or the database cannot be used; 130 interrupted.
"""
BAD_INPUT, NOT_READY, UNUSABLE, INTERRUPTED = 3, 4, 5, 130


@dataclass
class Session:
    """What the options before the command say."""

    root: Path
    quiet: bool
    as_json: bool = False

    @property
    def progress(self) -> Progress:
        return progress_for(sys.stderr, quiet=self.quiet or self.as_json)


class MarsGroup(click.Group):
    """Prints a MarsError in plain words and exits with its code; never a traceback for bad input."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MarsError as error:
            session = ctx.find_object(Session)
            if session is not None and session.as_json:
                details = {"found": error.found, "expected": error.expected, "what_to_do": error.remedy}
                click.echo(json.dumps({"error": details}), err=True)
            else:
                click.echo(f"mars: {error}", err=True)
            ctx.exit(_exit_code(error))
        except KeyboardInterrupt:
            click.echo("mars: interrupted; what was finished is kept, run the same command again to go on", err=True)
            ctx.exit(INTERRUPTED)


def _exit_code(error: MarsError) -> int:
    if isinstance(error, NotReadyError):
        return NOT_READY
    return BAD_INPUT if isinstance(error, (LoadError, ConfigError)) or type(error) is MarsError else UNUSABLE


@click.group(cls=MarsGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=WORKSPACE_VARIABLE,
    default=Path(),
    help=f"The workspace folder. [default: the current folder; environment variable {WORKSPACE_VARIABLE}]",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.version_option(__version__, prog_name="mars")
@click.pass_context
def mars(ctx: click.Context, workspace: Path, quiet: bool) -> None:
    """Find the preference pairs a reward model is unsure about, augment them, retrain, and see what it gained.

    The steps in their order: init, import, train (the warm-up), score, propose, review, compose, train, evaluate.
    'mars status' says where you stand and what is next; 'mars demo' runs everything on the packaged demo pairs.
    """
    ctx.obj = Session(workspace, quiet)


def reporting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json`, and show what it returns: (report, how to show it to a person)."""

    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and errors too.")
    @click.pass_obj
    @wraps(command, assigned=("__name__", "__doc__"))
    def run(session: Session, /, *args: Any, as_json: bool, **kwargs: Any) -> None:
        session.as_json = as_json
        report, show = command(session, *args, **kwargs)
        if as_json:
            click.echo(json.dumps(as_plain(report), ensure_ascii=False, indent=2))
        else:
            show(printing.make_console())

    return run


def as_plain(value: Any) -> Any:
    """Return a report as plain JSON; what is not a finite number becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, Path) else value


Overrides = dict[str, dict[str, Any]]


@contextmanager
def working(session: Session, kind: str, overrides: Overrides | None = None) -> Iterator[Workbench]:
    """Open the workspace for a piece of work that is recorded as a run."""
    workspace = find_workspace(session.root)
    config = override_config(workspace.config, overrides or {})
    with (
        open_workbench(dataclasses.replace(workspace, config=config), session.progress) as bench,
        recorded_run(bench.store, kind, config.model_dump(exclude={"database_url"}), bench.clock),
    ):
        yield bench


def _latest_model(bench: Workbench) -> ModelRecord:
    model = bench.store.models.latest()
    if model is None:
        raise NotReadyError("no reward model is trained yet", remedy="run 'mars train' first")
    return model


# -------------------------------------------------------------------------------------------------------- commands


@mars.command()
@section_options("encoder", "probe", "triage", "allocation", "gate", "propose", "compose", "evaluate")
@reporting
def init(session: Session, overrides: Overrides) -> Any:
    """Make a folder a workspace: a commented mars.toml, an empty database, a folder for artifacts.

    The options become the workspace's lasting settings; all can be changed in mars.toml later.
    """
    from mars_engine.words.config import MarsConfig

    workspace = create_workspace(session.root, override_config(MarsConfig(), overrides))
    report = {"workspace": str(workspace.root.resolve()), "config": str((workspace.root / "mars.toml").resolve())}
    return report, lambda console: console.print(f"made the workspace {workspace.root}; next: mars import FILE")


@mars.command(name="import")
@click.argument("source")
@click.option(
    "--split",
    type=click.Choice(["train", "heldout"]),
    help="Whether the pairs are trained on, or kept to evaluate on. [default: train]",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Hold out this fraction of the prompts for evaluation, where all pairs come in one file.",
)
@click.option("--format", "format_name", type=click.Choice(FORMAT_NAMES), help="The format. [default: recognised]")
@click.option(
    "--preference",
    type=click.Choice(["better", "safer"]),
    default="better",
    show_default=True,
    help="Which of PKU-SafeRLHF's two labels decides.",
)
@reporting
def import_(
    session: Session, source: str, split: Any, holdout: float | None, format_name: str | None, preference: Any
) -> Any:
    """Import preference pairs from SOURCE: a .jsonl, .jsonl.gz, .csv or .parquet file, or hub:owner/name[@split].

    The format is recognised from the columns: TRL preference data (standard or conversational, explicit or implicit
    prompt), HH-RLHF, UltraFeedback, PKU-SafeRLHF, RewardBench 1 and 2. What is dropped is counted by reason.
    Importing the same pairs again adds nothing.
    """
    if split and holdout is not None:
        raise click.UsageError("--split and --holdout exclude each other: --holdout makes both parts")
    with working(session, "import") as bench:
        opened = open_source(source, format=format_name, preference=preference)
        parts: list[tuple[PairSource, Split]] = [(opened, split or "train")]
        if holdout is not None:
            parts = [(HoldoutPart(opened, holdout, part), part) for part in SPLITS]
        reports = [
            import_pairs(part, bench.store, split=name, clock=bench.clock, progress=bench.progress)
            for part, name in parts
        ]

    def show(console: Console) -> None:
        for report in reports:
            printing.show_import(console, report)

    return reports, show


@mars.command()
@click.option("--warm-up", is_flag=True, help="Train on the base pairs alone, even where composed pairs are there.")
@click.option("--rounds", type=click.IntRange(1), help="Run whole MARS rounds: score, propose, review, compose, train.")
@click.option(
    "--policy",
    type=click.Choice(get_args(ReviewPolicy)),
    default="gates",
    show_default=True,
    help="Who reviews in --rounds: the quality gates, or accept everything.",
)
@section_options("probe", "triage", "allocation", "gate", "propose", "compose")
@reporting
def train(session: Session, warm_up: bool, rounds: int | None, policy: Any, overrides: Overrides) -> Any:
    """Train a reward model: the warm-up first, then on base and composed pairs once 'mars compose' has made some.

    A model that was trained on the same pairs with the same settings is there already and is not trained again.
    """
    with working(session, "train", overrides) as bench:
        if rounds is not None:
            reports = run_rounds(bench, rounds, policy=policy)
            return reports, lambda console: _show_rounds(console, reports)
        composition = None if warm_up else bench.store.compositions.latest()
        model = train_on(bench, composition) if composition else train_warm_up(bench)
    return model, lambda console: printing.show_model(console, model)


def _show_rounds(console: Console, reports: list[RoundReport]) -> None:
    for report in reports:
        console.rule(f"round {report.number}")
        printing.show_score(console, report.score)
        printing.show_plan(console, report.plan)
        printing.show_propose(console, report.propose)
        printing.show_review(console, report.review)
        printing.show_compose(console, report.compose)
        printing.show_model(console, report.model)


@mars.command()
@section_options("triage", "allocation")
@reporting
def score(session: Session, overrides: Overrides) -> Any:
    """Read the margins of all pairs under the newest model, and triage the training pairs' labels.

    Triage scores each pair by models that never saw it, to tell suspected mislabels from hard pairs. Also shows how
    each allocation law would spread the budget.
    """
    with working(session, "score", overrides) as bench:
        model = _latest_model(bench)
        report = score_model(bench, model)
        sources = load_sources(bench.store, bench.config.triage)
        margins = oriented_margins(bench.store, model, sources)
        laws = compare_laws(margins, bench.config.allocation)

    def show(console: Console) -> None:
        printing.show_score(console, report)
        printing.show_laws(console, laws)

    return {"score": report, "laws": laws}, show


@mars.command()
@click.option("--dry-run", is_flag=True, help="Make the plan and show it, with the suspects' share; generate nothing.")
@section_options("triage", "allocation", "gate", "propose")
@reporting
def propose(session: Session, dry_run: bool, overrides: Overrides) -> Any:
    """Spend the budget on low-margin pairs and propose augmented pairs for them.

    Pairs whose two answers are too close are sharpened first, then all are paraphrased. Interrupted, it goes on where
    it stopped. The two generators are offline stand-ins, rule-based and extractive, for demonstrations and tests.
    """
    with working(session, "propose", overrides) as bench:
        model = _latest_model(bench)
        latest = bench.store.compositions.latest()
        following = latest.round + 1 if latest and model.composition_id == latest.id else model.round + 1
        plan = make_plan(bench, model, round_number=following, dry_run=dry_run)
        if not session.as_json:
            printing.show_plan(printing.make_console(), plan)
        proposed = None if dry_run else make_proposals(bench, plan.plan)
        cards = [bench.refiner.card, bench.paraphraser.card]

    def show(console: Console) -> None:
        if proposed is not None:
            printing.show_propose(console, proposed)
            printing.show_generators(console, cards)

    return {"plan": plan, "propose": proposed, "generators": cards}, show


@mars.command()
@click.option(
    "--policy",
    type=click.Choice(get_args(ReviewPolicy)),
    required=True,
    help="'gates' accepts what passed every quality gate and rejects the rest; 'accept-all' accepts everything.",
)
@reporting
def review(session: Session, policy: Any) -> Any:
    """Decide about all pending proposals by a policy. What a person decided is left alone."""
    with working(session, "review") as bench:
        report = review_by_policy(bench.store, policy, clock=bench.clock)
    return report, lambda console: printing.show_review(console, report)


@mars.command()
@section_options("compose")
@reporting
def compose(session: Session, overrides: Overrides) -> Any:
    """Make training pairs of the approved variants, as many from each source pair as the newest plan gives it."""
    with working(session, "compose", overrides) as bench:
        plan = bench.store.proposals.latest_plan()
        if plan is None:
            raise NotReadyError("there is no plan to compose by", remedy="run 'mars propose' first")
        model = bench.store.models.get(plan.model_id)
        parent = bench.store.compositions.get(model.composition_id) if model and model.composition_id else None
        report = compose_plan(bench, plan, parent=parent)
    return report, lambda console: printing.show_compose(console, report)


@mars.command(name="evaluate")
@section_options("evaluate")
@reporting
def evaluate_(session: Session, overrides: Overrides) -> Any:
    """Compare all trained models on the held-out pairs, with bootstrap intervals, beside "the longer one wins"."""
    with working(session, "evaluate", overrides) as bench:
        models = bench.store.models.all()
        report = evaluate(bench.store, bench.shelf, models, config=bench.config.evaluate, progress=bench.progress)
    return report, lambda console: printing.show_evaluation(console, report)


@mars.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--what",
    type=click.Choice(get_args(ExportWhat)),
    default="training-set",
    show_default=True,
    help="The base pairs with the composed ones, either alone, or the held-out pairs.",
)
@click.option(
    "--shape",
    type=click.Choice(get_args(ExportShape)),
    default="conversational",
    show_default=True,
    help="TRL's preference shape: standard or conversational, with an explicit or implicit prompt.",
)
@click.option("--overwrite", is_flag=True, help="Replace PATH if it exists.")
@reporting
def export(session: Session, path: Path, what: Any, shape: Any, overwrite: bool) -> Any:
    """Write pairs to PATH (.jsonl, .jsonl.gz or .parquet) in a shape TRL reads, with a manifest of their lineage."""
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        selection = select_for_export(store, what, config=workspace.config)
    result = export_pairs(selection.rows, path, shape=shape, manifest=selection.manifest, overwrite=overwrite)
    return result, lambda console: console.print(
        f"wrote {result.rows:,} pairs to {result.path}, lineage to {result.manifest_path}"
    )


@mars.command()
@reporting
def status(session: Session) -> Any:
    """Show the funnel from imported pairs to a trained model, and what is next.

    pairs → suspected → low-margin → refined → proposed → accepted → composed → trained
    """
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        mark_lost_runs(store, utc_now)
        report = workspace_status(store, config=workspace.config)
    return report, lambda console: printing.show_status(console, report)


@mars.command()
@click.option("--serve/--no-serve", default=True, show_default=True, help="Serve the app afterwards.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port of the app.")
@reporting
def demo(session: Session, serve: bool, port: int) -> Any:
    """Run the whole method on the packaged model and demo pairs, print one report, and serve the app.

    The workspace is --workspace, or ./demo-workspace. Run again, it finds its results and is quick.
    """
    from mars_engine.assembly.demo import run_demo
    from mars_engine.assembly.demo_report import show_demo
    from mars_engine.assembly.serving import serve_app

    root = session.root if session.root != Path() else Path("demo-workspace")

    def announce(step: str) -> None:
        if not (session.quiet or session.as_json):
            click.echo(f"· {step}", err=True)

    report = run_demo(root, session.progress, announce)

    def show(console: Console) -> None:
        show_demo(console, report)
        if serve:
            serve_app(root, port)

    return report, show


@mars.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port on loopback.")
@click.pass_obj
def app(session: Session, port: int) -> None:
    """Serve the app for the workspace, on this machine only (127.0.0.1)."""
    from mars_engine.assembly.serving import serve_app

    serve_app(find_workspace(session.root).root, port)


def main() -> None:
    """The console script."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        mars(prog_name="mars")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
