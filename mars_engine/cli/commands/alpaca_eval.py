"""The command `mars alpaca-eval`: policies against a baseline, by a judge, with AlpacaEval's figures and files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mars_engine.align.alpaca.evaluation import AlpacaReport, read_annotations
from mars_engine.align.alpaca.figures import PolicyFigures
from mars_engine.align.alpaca.package import PackageReport
from mars_engine.cli import printing
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, reporting, working
from mars_engine.core.config import EvaluateConfig
from mars_engine.jobs import headlines
from mars_engine.workspace.alpaca_eval import (
    ASK_A_CHAT_MODEL,
    CHAT,
    AlpacaRequest,
    run_alpaca_eval,
    run_alpaca_package,
)

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("alpaca-eval")
@click.argument("outputs", nargs=-1, type=FILE)
@click.option("--reference", type=FILE, help="The baseline's outputs; its prompts are those that count.")
@click.option("--name", "names", multiple=True, help="A policy's name, once for each file. [default: its 'generator']")
@click.option(
    "--judge",
    default=CHAT,
    show_default=True,
    help="'chat', the judge model under [chat], or a reward model: its id or label, a folder, or a hub id.",
)
@click.option("--matrix", is_flag=True, help="Judge every two policies against each other too.")
@click.option("--ask-again", is_flag=True, help="Ask a chat model anew where its answer could not be read.")
@click.option(
    "--tables",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder with AlpacaEval's df_gamed.csv or instruction_difficulty.csv, where the prompts are AlpacaEval's.",
)
@click.option(
    "--package", "annotators_config", help="Let the installed alpaca_eval judge, with this annotator of the package."
)
@click.option("--annotations", type=FILE, help="Judge nothing: show the figures of annotations made before.")
@click.option("--download", is_flag=True, help="Download a reward model that is not on this machine.")
@section_options("chat")
@reporting
def alpaca_eval(
    session: Session,
    outputs: tuple[Path, ...],
    reference: Path | None,
    annotators_config: str | None,
    annotations: Path | None,
    overrides: Overrides,
    **asked: Any,
) -> Any:
    """Judge the answers of policies, files OUTPUTS in AlpacaEval's format, against a baseline's.

    A chat model sees both answers in either order; a verdict is the mean, and what could not be read is counted. A
    reward model named as judge gives σ of the difference of its rewards. Shown are the win rate with its standard error
    and bootstrap interval, the length-controlled win rate by AlpacaEval's formula, and how far the judge goes by place
    and length. What was judged once is not asked again. See docs/alignment.md.
    """
    if annotations is not None:
        if outputs or reference or annotators_config:
            raise click.UsageError("--annotations takes no outputs, --reference or --package: nothing is judged")
        figures = read_annotations(annotations, tables=asked["tables"], config=EvaluateConfig())
        return figures, lambda console: _show_figures(console, [figures])
    if reference is None or not outputs:
        raise click.UsageError("name the policies' files and --reference, or --annotations")
    request = AlpacaRequest(outputs=outputs, reference=reference, **asked)
    with working(session, "alpaca-eval", {**overrides, **ASK_A_CHAT_MODEL}) as (bench, notes):
        if annotators_config is not None:
            found = run_alpaca_package(bench, session.root, request, annotators_config)
            notes.summary |= headlines.of_alpaca([found.figures])
            return found, lambda console: _show_package(console, found)
        report = run_alpaca_eval(bench, session.root, request)
        notes.summary |= headlines.of_alpaca([each.figures for each in report.policies])
    return report, lambda console: _show(console, report)


def _show(console: Console, report: AlpacaReport) -> None:
    console.print(f"judge: {report.judge}, {report.judge_note}")
    _show_figures(console, [each.figures for each in report.policies])
    for each in report.policies:
        if each.only_baseline or each.only_policy:
            console.print(
                f"{each.figures.policy}: {each.only_baseline:,} prompts of the baseline have no answer of it, and "
                f"{each.only_policy:,} of its answers no partner."
            )
    rows = [
        [f"{each.first} − {each.second}", str(each.difference.n_prompts), _range(each.difference.interval, signed=True)]
        for each in report.differences
    ]
    if rows:
        printing.table(console, "Differences of win rates, paired over prompts", ["policies", "n", "points"], rows)
    if report.matrix:
        _show_matrix(console, report)
    for remark in report.remarks:
        console.print(remark)
    console.print(f"files: {report.folder}")


def _show_figures(console: Console, figures: Sequence[PolicyFigures]) -> None:
    first = figures[0]
    console.print(f"baseline: {first.baseline}; judge: {first.judge}; prompts: {first.prompts}")
    console.print()
    rows = [
        [
            each.policy,
            f"{each.wins.n_total:,}",
            f"{each.wins.n_failed:,}",
            f"{_range(each.wins.interval)}",
            f"{each.wins.standard_error:.2f}",
            _range(each.length_controlled.interval) if each.length_controlled else "–",
        ]
        for each in figures
    ]
    columns = ["policy", "judged", "failed", "win rate in %", "standard error", "length-controlled"]
    printing.table(console, "Win rates", columns, rows)
    for each in figures:
        for sentence in (*_said_of(each), *each.warnings):
            console.print(f"{each.policy}: {sentence}" if len(figures) > 1 else sentence)


def _said_of(figures: PolicyFigures) -> list[str]:
    """Say what the table does not; what a warning says already is not said twice."""
    wins, length = figures.wins, figures.length_bias
    said = [
        f"{wins.n_wins:,} won, {wins.n_draws:,} tied, {wins.n_wins_base:,} lost: discrete win rate "
        f"{wins.discrete_win_rate:.2f}%. The answers have {figures.mean_length:.0f} characters on the mean, the "
        f"baseline's {figures.mean_length_baseline:.0f}."
    ]
    if figures.length_controlled is None:
        said.append(f"There is no length-controlled win rate: {figures.no_length_control}.")
    elif figures.length_controlled.variant == "v1":
        said.append(f"Length control: {figures.length_controlled.label}.")
    bias = figures.position_bias
    if bias is not None and bias.first_wins is not None and not bias.is_biased:
        said.append(
            f"Position: the first answer wins {bias.first_wins.estimate:.0%} of {bias.n_decided:,} verdicts; the judge "
            f"contradicts itself in {bias.n_contradicting:,} of {bias.n_prompts:,} prompts."
        )
    if length.longer_wins is not None and not length.is_biased:
        said.append(
            f"Length: the longer answer wins {length.longer_wins.estimate:.0%} of {length.n_prompts:,} prompts."
        )
    if figures.n_same_answers:
        said.append(f"Prompts where both answers are the same text, each a tie: {figures.n_same_answers:,}.")
    return said


def _show_matrix(console: Console, report: AlpacaReport) -> None:
    names = [report.baseline, *(each.figures.policy for each in report.policies)]
    cells = {(each.row, each.column): each.wins for each in report.matrix}
    rows = []
    for row in names:
        wins = [cells.get((row, column)) for column in names]
        rows.append([row, *("–" if each is None else f"{each.win_rate:.1f} (n {each.n_total:,})" for each in wins)])
    printing.table(console, "How often the row beats the column, in %", ["", *names], rows)


def _show_package(console: Console, report: PackageReport) -> None:
    official = {name: value for name, value in report.official.items() if name != "mode"}
    rows = [[name, f"{value:.4f}" if isinstance(value, float) else str(value)] for name, value in official.items()]
    title = f"By alpaca_eval {report.version}, {report.annotators_config}"
    printing.table(console, title, ["figure", "value"], rows)
    if not report.has_length_control:
        console.print("The package could not fetch its tables, so the length-controlled win rate below is ours alone.")
    console.print("Of the same annotations, by us:")
    _show_figures(console, [report.figures])
    console.print(f"files: {report.folder}")


def _range(interval: Any, *, signed: bool = False) -> str:
    estimate = f"{interval.estimate:+.2f}" if signed else f"{interval.estimate:.2f}"
    return f"{estimate} ({interval.low:.1f} to {interval.high:.1f})"
