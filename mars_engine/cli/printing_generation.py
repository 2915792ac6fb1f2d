"""What people read about generators that cost something, about what failed, and about prompts."""

from collections.abc import Sequence

from rich.console import Console

from mars_engine.augment.failures import FailureGroup
from mars_engine.augment.forecast_in_words import forecast_lines
from mars_engine.augment.generation_forecast import GenerationForecast
from mars_engine.cli.printing import excerpt, show_propose, table
from mars_engine.core.config import ChatConfig
from mars_engine.core.records import ProposalFailure
from mars_engine.workspace.batches import RequestsReport
from mars_engine.workspace.prompt_files import PromptFile
from mars_engine.workspace.rewrites_elsewhere import AnswersReport

MOST_UNUSED = 20
"""Answers that were not used, listed one by one."""


def show_forecast(console: Console, forecast: GenerationForecast, config: ChatConfig) -> None:
    """Show what proposing would ask, beside what was spent and may be spent."""
    first, *rest = forecast_lines(forecast, config)
    console.print(first)
    for line in rest:
        console.print(f"  {line}")


def show_failures(console: Console, failures: Sequence[ProposalFailure], elsewhere: int) -> None:
    """List failures; `elsewhere` is how many there are of other generators or settings."""
    rows = [
        [each.source_id, each.target, each.generator, "yes" if each.retryable else "no", excerpt(each.reason)]
        for each in failures
    ]
    if rows:
        table(console, f"{len(rows):,} failures", ["source pair", "asked for", "generator", "may pass", "reason"], rows)
    _say_rest(console, elsewhere, is_all=not rows)


def _say_rest(console: Console, elsewhere: int, *, is_all: bool) -> None:
    if elsewhere:
        begin = "Nothing has failed under the present settings; " if is_all else "Beside these, "
        console.print(f"{begin}{elsewhere:,} failed under others: --all-settings lists them, and they are tried again")
        console.print("under the settings that they failed with, in mars.toml or as options of 'mars propose'.")
    elif is_all:
        console.print("Nothing has failed.")


def show_failure_groups(console: Console, groups: Sequence[FailureGroup], elsewhere: int) -> None:
    """List failures by reason; `elsewhere` is how many there are of other generators or settings."""
    rows = [
        [each.generator, each.target, f"{each.count:,}", "yes" if each.retryable else "no", excerpt(each.reason)]
        for each in groups
    ]
    if rows:
        table(console, "Failures by reason", ["generator", "asked for", "count", "may pass", "reason"], rows)
    _say_rest(console, elsewhere, is_all=not rows)


def show_prompts(console: Console, prompts: Sequence[PromptFile]) -> None:
    rows = [[each.name, each.version, each.digest, str(each.path) if each.is_own else "packaged"] for each in prompts]
    table(console, "Prompts of the chat generator", ["prompt", "version", "digest", "where"], rows)


def show_requests(console: Console, report: RequestsReport) -> None:
    """Show what was written out for others to answer, and what to do with it."""
    show_propose(console, report.propose)
    if report.path is None:
        console.print("Nothing is left to ask: every request is answered, so no file was written.")
        return
    counts = (f"{count:,} {purpose}" for purpose, count in report.purposes.items())
    console.print(f"wrote {report.requests:,} requests to {report.path}: {', '.join(counts)}", soft_wrap=True)
    if report.written_before:
        console.print(f"  {report.written_before:,} of them were written before, and have no answer yet")
    if len(report.models) > 1:
        counts = (f"{count:,} to {model}" for model, count in report.models.items())
        console.print(f"  to several models, which some services take in files of their own: {', '.join(counts)}")
    console.print("  'mars propose --answers FILE' takes the answers in; then --requests writes what they give rise to")


def show_answers(console: Console, report: AnswersReport) -> None:
    """Show what became of answers that were written elsewhere."""
    for writer, proposed in report.proposed.items():
        console.print(f"By {writer}:")
        show_propose(console, proposed)
    console.print(f"{report.given:,} answers in the files: {report.taken:,} taken in", soft_wrap=True)
    for fate, count in report.left_out.items():
        console.print(f"  {count:,} {fate}")
    rows = [[each.file, f"{each.line:,}", each.fate, excerpt(each.reason)] for each in report.unused[:MOST_UNUSED]]
    if rows:
        table(console, "Not used", ["file", "line", "what it is", "reason"], rows)
    if (more := len(report.unused) - len(rows)) > 0:
        console.print(f"and {more:,} more, all of which --json lists")
    if report.to_ask:
        console.print(
            f"{report.to_ask:,} requests are open, {report.missing:,} of them written out and not answered: "
            "'mars propose --requests FILE' writes them"
        )
