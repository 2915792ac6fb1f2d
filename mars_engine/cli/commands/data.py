"""Commands about what a workspace holds: init, import, export, status."""

from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console

from mars_engine.cli import printing
from mars_engine.cli.commands.findings import show_findings
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, reporting, working
from mars_engine.core.clock import utc_now
from mars_engine.core.config import MarsConfig
from mars_engine.core.config.overrides import override_config
from mars_engine.core.import_records import ImportReport
from mars_engine.data.demo_pairs import DEMO, demo_sources
from mars_engine.data.export import ExportWhat, select_for_export
from mars_engine.data.exporter import ExportShape, export_pairs
from mars_engine.data.findings import read_findings
from mars_engine.data.import_parts import Parts, import_parts, look_after_import, preview_parts, split_source
from mars_engine.data.loaders import FORMAT_NAMES, ReadingOptions, open_source, source_columns
from mars_engine.data.loaders.hub import with_hub_options
from mars_engine.data.loaders.options import columns_from, roles_from, scores_from
from mars_engine.evaluate.status import workspace_status
from mars_engine.jobs import headlines
from mars_engine.jobs.recorded_run import mark_lost_runs
from mars_engine.service.uploads import forget_upload
from mars_engine.workspace.hub_dataset import push_dataset
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store


@click.command()
@section_options(
    "encoder",
    "probe",
    "reward_model",
    "triage",
    "allocation",
    "gate",
    "propose",
    "chat",
    "seq2seq",
    "causal",
    "quality",
    "review",
    "compose",
    "evaluate",
    "map",
)
@reporting
def init(session: Session, overrides: Overrides) -> Any:
    """Make a folder a workspace: a commented mars.toml, an empty database, a folder for artifacts.

    The options become the workspace's lasting settings; all can be changed in mars.toml later.
    """
    workspace = create_workspace(session.root, override_config(MarsConfig(), overrides))
    report = {"workspace": str(workspace.root.resolve()), "config": str((workspace.root / "mars.toml").resolve())}
    return report, lambda console: console.print(f"made the workspace {workspace.root}; next: mars import FILE")


@click.command(name="import")
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
@click.option("--subset", help="Of a set on the hub: its subset (configuration), also hub:owner/name:subset.")
@click.option("--revision", help="Of a set on the hub: its branch, tag or commit, also hub:owner/name#revision.")
@click.option("--columns", help="Where columns go by other names: prompt=question,chosen=best,rejected=worst.")
@click.option("--roles", help="Where roles go by other names: Frage=user,Antwort=assistant.")
@click.option("--scores", help="Columns with the sides' scores: chosen=score_a,rejected=score_b. Equal ones are ties.")
@click.option(
    "--against",
    type=click.Choice(["worst", "others"]),
    default="worst",
    show_default=True,
    help="Of ranked or scored answers, the best against the worst, or against each that is worse.",
)
@click.option(
    "--deciding-score",
    type=click.Choice(["ratings", "overall"]),
    default="ratings",
    show_default=True,
    help="Of UltraFeedback's scores: the mean of the ratings, or the overall score, which has a known fault.",
)
@click.option("--list-columns", is_flag=True, help="Name the columns, with an example of each; store nothing.")
@click.option("--dry-run", is_flag=True, help="Read and recognise, show the report and the first pairs; store nothing.")
@reporting
def import_(
    session: Session,
    source: str,
    split: Any,
    holdout: float | None,
    format_name: str | None,
    preference: Any,
    subset: str | None,
    revision: str | None,
    columns: str | None,
    roles: str | None,
    scores: str | None,
    against: Any,
    deciding_score: Any,
    list_columns: bool,
    dry_run: bool,
) -> Any:
    """Import preference pairs from SOURCE: a JSON, CSV or Parquet file, packed or not, or hub:owner/name[@split].

    A folder or a pattern ('shards/*.jsonl.gz') is all files in it, in the order of their numbers.

    The format is recognised from the columns: TRL preference data (standard or conversational, explicit or implicit
    prompt), HH-RLHF, UltraFeedback, PKU-SafeRLHF, RewardBench, ShareGPT, HelpSteer, Nectar and more; docs/importing.md
    lists them. Where that fails, --columns, --roles and --scores say what is what. What is dropped is counted by
    reason, and columns that were not used are named. Importing the same pairs again adds nothing. SOURCE 'demo' stands
    for the packaged demo pairs, both splits.
    """
    if split and holdout is not None:
        raise click.UsageError("--split and --holdout exclude each other: --holdout makes both parts")
    if source == DEMO and (split or holdout is not None or format_name):
        raise click.UsageError("the demo pairs have their own splits and format: give no --split, --holdout, --format")

    if list_columns:
        columns_found = source_columns(source)
        return columns_found, lambda console: printing.show_columns(console, columns_found)
    options = ReadingOptions(
        preference=preference,
        columns=columns_from(columns or ""),
        roles=roles_from(roles or ""),
        scores=scores_from(scores or ""),
        against=against,
        deciding=deciding_score,
    )

    def parts() -> Parts:
        if source == DEMO:
            return demo_sources()
        location = with_hub_options(source, subset=subset, revision=revision)
        opened = open_source(location, format=format_name, options=options)
        return split_source(opened, split=split, holdout=holdout)

    if dry_run:
        with open_workspace_store(find_workspace(session.root)) as store:
            previews = preview_parts(
                store, source, parts(), progress=session.progress, may_be_empty=holdout is not None
            )
        return previews, lambda console: _show_all(console, printing.show_preview, previews)
    with working(session, "import") as (bench, notes):
        store, clock, progress = bench.store, bench.clock, bench.progress
        may_be_empty = holdout is not None
        reports = import_parts(store, source, parts(), clock=clock, progress=progress, may_be_empty=may_be_empty)
        notes.summary |= headlines.of_imports(reports)
        reports = look_after_import(store, reports, clock=clock, progress=progress)
    forget_upload(find_workspace(session.root), Path(source))  # what the app took in is in the database now
    return reports, lambda console: _show_imports(console, reports)


def _show_imports(console: Console, reports: list[ImportReport]) -> None:
    _show_all(console, printing.show_import, reports)
    if plain := reports[-1].findings:
        show_findings(console, read_findings(plain))
    elif any(report.kept for report in reports):
        console.print("What so many pairs say against themselves was not looked for: 'mars findings' looks for it.")


def _show_all(console: Console, show: Any, reports: list[Any]) -> None:
    for report in reports:
        show(console, report)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), required=False)
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
@click.option(
    "--push", "repository", metavar="OWNER/NAME", help="Send them to this dataset on the hub; private if new."
)
@click.option("--public", is_flag=True, help="With --push: all may read the dataset.")
@click.option("--license", "licence", default="", help="With --push: the hub's identifier of the pairs' licence: mit.")
@click.option("--overwrite", is_flag=True, help="Replace PATH, or the dataset's pairs, if there are any.")
@reporting
def export(
    session: Session,
    path: Path | None,
    what: Any,
    shape: Any,
    repository: str | None,
    public: bool,
    licence: str,
    overwrite: bool,
) -> Any:
    """Write pairs to PATH (.jsonl, .jsonl.gz or .parquet) in a shape TRL reads, with a manifest of their lineage.

    --push sends them to a dataset on the Hugging Face hub, with a dataset card and the lineage of each new pair, by the
    token of 'hf auth login' or HF_TOKEN. Without it nothing leaves this machine.
    """
    if (path is None) == (repository is None):
        raise click.UsageError("name a PATH to write, or a dataset by --push OWNER/NAME, one of the two")
    if repository is None and (public or licence):
        raise click.UsageError("--public and --license are for --push OWNER/NAME")
    workspace = find_workspace(session.root)
    if path is None:
        with open_workspace_store(workspace) as store:
            pushed = push_dataset(
                store,
                str(repository),
                what=what,
                shape=shape,
                config=workspace.config,
                licence=licence,
                public=public,
                overwrite=overwrite,
            )
        read_by = "you and those you allow" if pushed.private else "everybody"
        return pushed, lambda console: console.print(
            f"sent {pushed.rows:,} pairs to {pushed.address}, which {read_by} can read"
        )
    with open_workspace_store(workspace) as store:
        selection = select_for_export(store, what, config=workspace.config)
    result = export_pairs(selection.rows, path, shape=shape, manifest=selection.manifest, overwrite=overwrite)
    return result, lambda console: console.print(
        f"wrote {result.rows:,} pairs to {result.path}, lineage to {result.manifest_path}"
    )


@click.command()
@reporting
def status(session: Session) -> Any:
    """Show how many there are at each step from imported pairs to a trained model, and what is next.

    pairs → suspected → low-margin → refined → proposed → accepted → composed → trained
    """
    workspace = find_workspace(session.root)
    with open_workspace_store(workspace) as store:
        mark_lost_runs(store, utc_now)
        report = workspace_status(store)
    return report, lambda console: printing.show_status(console, report)
