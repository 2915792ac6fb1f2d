"""The command `mars align`: train a policy against reward models, or compare reward models by their policies."""

import tomllib
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mars_engine.align.training.facts import TrainedPolicy
from mars_engine.cli import printing
from mars_engine.cli.config_options import section_options
from mars_engine.cli.frame import Overrides, Session, reporting, working
from mars_engine.core.errors import ConfigError
from mars_engine.experiments.alignment.alignment import AlignmentReport, align_by_plan
from mars_engine.experiments.record import REPORT_FILE
from mars_engine.experiments.results import say_how_many, say_verdict
from mars_engine.jobs import headlines
from mars_engine.stats.intervals import Interval
from mars_engine.workspace.aligning import AlignRequest, align_policy


@click.command()
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file with a table [align], whose settings hold where no option says otherwise.",
)
@click.option(
    "--reward-model",
    "reward_models",
    multiple=True,
    help="Id or label of a reward model to train against; several are an ensemble. [default: the newest]",
)
@click.option(
    "--gold",
    multiple=True,
    help="A reward model that is asked as training goes on, never trained on: an id or label, another workspace, a "
    "folder or a hub id.",
)
@click.option("--prompts", default="", help="A file of prompts. [default: those of the held-out pairs]")
@click.option("--include-trained", is_flag=True, help="Take prompts that the reward models were trained on too.")
@click.option(
    "--plan",
    "plan_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file: train reward models of several methods and policies against each, and compare these policies.",
)
@section_options("align")
@reporting
def align(
    session: Session, settings_path: Path | None, plan_path: Path | None, overrides: Overrides, **asked: Any
) -> Any:
    """Train a policy against reward models, through LoRA: by DPO, RLOO, GRPO or PPO.

    The reference is the policy with its adapter off. Some prompts are kept out of training and answered as it goes on:
    their reward, KL and length are seen live, and an alarm says in words when the policy seems to game its reward.
    Prompts that the reward models were trained on are left out and counted. Interrupted, the same command goes on from
    the newest checkpoint and ends with the same weights. The adapter, which plain peft loads, its card and the answers
    over the steps go to artifacts/align/policies. See docs/alignment.md.

    With --plan, reward models × seeds × ways to align become policies, and a judge says how often each beats the
    reference, at equal KL and at equal steps: one report in artifacts/align/comparisons. The plan says it all; no other
    option goes with it. What is finished is kept, and trained no second time.
    """

    def say(text: str) -> None:
        click.echo(f"mars: {text}", err=True)

    if plan_path:
        if settings_path or overrides or any(asked.values()):
            raise ConfigError(
                "--plan is given beside other options of the alignment",
                expected="a plan that says it all",
                remedy="write them into the plan: settings under its [align], 'judge' in the place of --gold",
            )
        with working(session, "align-plan") as (bench, notes):
            report = align_by_plan(bench, session.root, plan_path, say=say)
            notes.summary |= headlines.of_comparison(report.results)
        return report, lambda console: _show_comparison(console, report)
    request = AlignRequest(**asked)
    given = {"align": (_settings_of(settings_path) if settings_path else {}) | overrides.get("align", {})}
    with working(session, "align", given) as (bench, notes):
        trained = align_policy(bench, session.root, request, say=say)
        notes.summary |= headlines.of_policy(trained.facts)
    return trained, lambda console: _show(console, trained)


def _settings_of(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", expected="a TOML file with a table [align]", remedy="correct it"
        ) from error
    settings = found.pop("align", None)
    if not isinstance(settings, dict) or found:
        raise ConfigError(
            f"{path} has {', '.join(map(repr, found)) or 'nothing'} beside or in the place of [align]",
            expected="a table [align] and nothing else",
            remedy="move its settings there; others stand in mars.toml",
        )
    return settings


def _show(console: Console, trained: TrainedPolicy) -> None:
    facts = trained.facts
    against = ", ".join(facts.rewards)
    console.print(f"{facts.policy}, trained by {facts.method} for {facts.steps:,} steps on {facts.prompts:,} prompts")
    golds = [] if facts.gold_before is None else [["gold reward", *map(_figure, (facts.gold_before, facts.gold_after))]]
    rows = [[f"reward ({against})", _figure(facts.reward_before), _figure(facts.reward_after)], *golds]
    printing.table(console, f"On {facts.watched:,} prompts that were kept out", ["", "before", "after"], rows)
    console.print(f"KL of an answer from the reference: {facts.kl:.2f} nats")
    for sentence in (*facts.alarms, *facts.remarks):
        console.print(f"{sentence}.")
    console.print(f"{'policy' if facts.merged else 'adapter'}: {trained.folder}")


def _show_comparison(console: Console, report: AlignmentReport) -> None:
    results = report.results
    for comparison in results.comparisons:
        for reading in comparison.readings:
            rows = [
                [each.method, _share(each.win_rate), f"{each.kl:.3g}", f"{each.steps:,.1f}", f"{each.words:.1f}"]
                for each in reading.methods
            ]
            printing.table(
                console,
                f"{comparison.way} at {reading.at}: {len(comparison.seeds)} seeds × {comparison.prompts:,} prompts, "
                f"judged by {results.judge}",
                ["method", "win rate", "KL (nats)", "steps", "words"],
                rows,
            )
            for result in reading.methods:
                console.print(f"  {say_verdict(result, results.level)}")
            console.print()
    for sentence in (say_how_many(results), *results.remarks):
        console.print(sentence)
    console.print(f"report: {report.folder / REPORT_FILE}")


def _share(interval: Interval) -> str:
    return f"{interval.estimate:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
