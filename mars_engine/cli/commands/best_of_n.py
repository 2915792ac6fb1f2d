"""The command `mars best-of-n`: each reward model picks among a policy's answers, and a judge says what it is worth."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mars_engine.align.sampling import SamplingSettings
from mars_engine.cli import printing
from mars_engine.cli.frame import Session, reporting, working
from mars_engine.jobs import headlines
from mars_engine.workspace.best_of_n import BestOfNRequest, BestOfNResult, run_best_of_n

DRAWN = SamplingSettings()


@click.command("best-of-n")
@click.option("--policy", default="", help="'packaged-lm', a folder with a language model or an adapter, or a hub id.")
@click.option("--answers", default="", help="A file of recorded answers, in the place of a policy.")
@click.option(
    "--prompts", default="", help="A file of prompts. [default: those of --answers, else of the held-out pairs]"
)
@click.option("--n", type=click.IntRange(2), default=8, show_default=True, help="Answers to each prompt.")
@click.option("--model", "models", multiple=True, help="A reward model's id or label; several. [default: all]")
@click.option(
    "--judge",
    default="",
    help="'recorded', a model's id or label, another workspace, or a reward model's folder or hub id. "
    "[default: the recorded preferences, where the answers have them]",
)
@click.option("--temperature", type=float, default=DRAWN.temperature, show_default=True, help="Of the draws.")
@click.option(
    "--top-p", type=float, default=DRAWN.top_p, show_default=True, help="Share of the probability drawn from."
)
@click.option(
    "--max-new-tokens", type=int, default=DRAWN.max_new_tokens, show_default=True, help="Longest answer, in tokens."
)
@click.option("--seed", type=int, default=DRAWN.seed, show_default=True, help="Of the draws.")
@click.option("--device", default="auto", show_default=True, help="Where the policy computes: cpu, cuda or auto.")
@click.option("--most-prompts", type=click.IntRange(0), default=0, help="Ask the first so many. [default: all]")
@click.option("--include-trained", is_flag=True, help="Ask prompts that the reward models were trained on too.")
@click.option("--download", is_flag=True, help="Download a hub id that is not on this machine.")
@reporting
def best_of_n(
    session: Session,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    seed: int,
    **asked: Any,
) -> Any:
    """Let reward models pick the best of n answers, and judge the picks: does a better model choose better answers?

    No policy is trained. The answers are drawn from a language model, or read from a file; each reward model picks the
    one of the highest reward; the picks are judged by recorded preferences or by a gold reward model that was trained
    on other pairs. Shown is the judged quality over n, beside a random answer, the longest and the judge's own choice.
    Where it falls while the reward rises, the reward is over-optimised. Prompts that the reward models were trained on
    are left out and counted. Answers are kept: none is drawn twice. See docs/alignment.md.
    """
    sampling = SamplingSettings(temperature, top_p, max_new_tokens, seed)
    with working(session, "best-of-n") as (bench, notes):
        result = run_best_of_n(bench, session.root, BestOfNRequest(sampling=sampling, **asked))
        notes.summary |= headlines.of_best_of_n(result.report)
    return result, lambda console: _show(console, result)


def _show(console: Console, result: BestOfNResult) -> None:
    report = result.report
    console.print(f"Best of {report.answers} of {report.policy} on {report.prompts:,} prompts, by {report.judge}")
    for reason, count in report.left_out.items():
        console.print(f"left out: {count:,} × {reason}")
    console.print(f"a random answer: {printing.interval(report.random)}")
    rows = [
        [
            curve.selector,
            str(point.n),
            f"{point.root_kl:.2f}",
            f"{point.proxy.estimate:.3f}",
            f"{point.judged.estimate:.3f}",
            printing.interval(point.gain, signed=True),
        ]
        for curve in report.curves
        for point in curve.points
    ]
    columns = ["picked by", "n", "√KL ≤", "reward above the mean", "judged", "judged above random"]
    printing.table(console, "Best of n", columns, rows)
    for remark in report.remarks:
        console.print(remark)
    console.print(f"files: {Path(result.folder)}")
