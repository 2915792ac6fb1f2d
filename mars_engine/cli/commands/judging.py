"""The command that asks for a second opinion on labels."""

from pathlib import Path
from typing import Any

import click

from mars_engine.cli import printing_judging as printing
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, looking, reporting, working
from mars_engine.curate.judging.asking import forecast_judging
from mars_engine.curate.judging.deciding import undo_judge_decisions
from mars_engine.jobs import headlines
from mars_engine.workspace.judges import open_judge, second_opinion


@click.command(name="judge-labels")
@click.option("--all", "every_pair", is_flag=True, help="Judge all training pairs, suspects first, not suspects alone.")
@click.option("--limit", type=click.IntRange(0), default=0, help="Judge so many labels at most; 0 for all.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked, and its cost; nothing is asked.")
@click.option("--again", is_flag=True, help="Ask anew where an answer could not be read; this costs again.")
@click.option(
    "--opinions",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Take opinions from a file instead of asking: rows with pair_id, with prompt, chosen and rejected, or with a "
    "row number, and with opinion (chosen, rejected or tie) or label_doubt.",
)
@click.option("--dataset", default="", help="With --opinions: the training set that row numbers are of.")
@click.option("--decide", is_flag=True, help="Then decide, as policy:judge, where judge and out-of-fold margin agree.")
@click.option("--undo", is_flag=True, help="Take back what policy:judge decided last, and do nothing else.")
@section_options("judge", "chat")
@reporting
def judge_labels_(
    session: Session,
    every_pair: bool,
    limit: int,
    dry_run: bool,
    again: bool,
    opinions: tuple[Path, ...],
    dataset: str,
    decide: bool,
    undo: bool,
    overrides: Overrides,
) -> Any:
    """Ask a judge which answer of a source pair is better: a chat model, a reward model, or opinions from a file.

    A chat model is asked in both orders; ties, answers that the order decided and unreadable ones are told apart. What
    was judged is kept and never asked twice. Check shows the opinion on the card after one's own decision. With
    --decide, labels are flipped or confirmed where judge and out-of-fold margin agree; the rest is left to people.
    """
    if undo:
        if any((every_pair, limit, dry_run, again, opinions, decide)):
            raise click.UsageError("--undo takes back, and does nothing else: give it alone")
        return _undo(session)
    if opinions and any((every_pair, limit, dry_run, again)):
        raise click.UsageError("--opinions takes what was recorded, and asks nobody: leave out what is about asking")
    if dataset and not opinions:
        raise click.UsageError("--dataset says of which set the rows of --opinions are: give both")
    if dry_run:
        return _dry_run(session, every_pair, limit, again, overrides)
    with working(session, "judge-labels", overrides) as (bench, notes):
        report = second_opinion(
            bench,
            every_pair=every_pair,
            limit=limit,
            ask_again=again,
            opinions=opinions,
            dataset=dataset,
            decide=decide,
        )
        notes.summary |= headlines.of_judging(report.judging, report.decisions)
    return report, lambda console: printing.show_second_opinion(console, report)


def _undo(session: Session) -> Any:
    with working(session, "judge-labels") as (bench, notes):
        taken_back = undo_judge_decisions(bench)
        notes.summary |= {"taken back": taken_back}
    words = f"Took back what policy:judge decided about {taken_back:,} labels" if taken_back else "Nothing to take back"
    return {"taken_back": taken_back}, lambda console: console.print(words)


def _dry_run(session: Session, every_pair: bool, limit: int, again: bool, overrides: Overrides) -> Any:
    with looking(session, overrides) as bench:
        judge = open_judge(bench, bench.config.judge.by)
        forecast = forecast_judging(bench, judge, every_pair=every_pair, limit=limit, ask_again=again)
        config = bench.config.chat
    return forecast, lambda console: printing.show_judging_forecast(console, forecast, config)
