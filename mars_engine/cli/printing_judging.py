"""What people read about judges of labels: what they said, what was decided, and how far they agree."""

from rich.console import Console

from mars_engine.augment.forecast_in_words import money_in_words
from mars_engine.cli.printing import table
from mars_engine.core.config import ChatConfig
from mars_engine.core.judge_records import VERDICT_WORDS
from mars_engine.curate.agreement import coefficient_in_words
from mars_engine.curate.judging.agreement import ONLY_SUSPECTS, JudgeAgreement
from mars_engine.curate.judging.asking import JudgingForecast, JudgingReport
from mars_engine.curate.judging.deciding import JudgeDecisions
from mars_engine.curate.judging.recorded import RecordedOpinions
from mars_engine.workspace.judges import SecondOpinion


def show_second_opinion(console: Console, report: SecondOpinion) -> None:
    if report.recorded is not None:
        show_recorded(console, report.recorded)
    if report.judging is not None:
        show_judging(console, report.judging)
    if report.decisions is not None:
        show_judge_decisions(console, report.decisions)
    console.print()
    show_judge_agreement(console, report.agreement)


def show_judging(console: Console, report: JudgingReport) -> None:
    console.print(
        f"{report.judge}: {report.judged_now:,} labels judged now, {report.known_before:,} before, "
        f"{report.left:,} left of {report.in_question:,}"
    )
    for verdict, count in report.verdicts.items():
        console.print(f"  {count:,}  {VERDICT_WORDS[verdict]}")
    for reason, count in report.reasons.items():
        console.print(f"    {count:,} × {reason}")
    for remark in report.remarks:
        console.print(f"  careful: {remark}")


def show_judging_forecast(console: Console, forecast: JudgingForecast, config: ChatConfig) -> None:
    console.print(
        f"{forecast.judge} would judge {forecast.to_judge:,} labels, {forecast.suspects_to_judge:,} of them suspected; "
        f"{forecast.known_before:,} of {forecast.in_question:,} it has judged before. Nothing was asked."
    )
    asked, spent = forecast.estimate, forecast.spent
    if asked is None:
        console.print("  it costs nothing but time")
    else:
        console.print(
            f"  still to ask: {asked.to_ask:,} requests, about {asked.input_tokens:,} tokens in and "
            f"{asked.output_tokens:,} out{money_in_words(asked, config)}"
        )
        console.print(f"  spent in this workspace so far: {spent.requests:,} requests, {spent.cost:,.4g} in money")
    for remark in forecast.remarks:
        console.print(f"  careful: {remark}")


def show_recorded(console: Console, report: RecordedOpinions) -> None:
    said = ", ".join(f"{count:,} {opinion}" for opinion, count in report.opinions.items())
    console.print(f"recorded: opinions on {report.taken:,} pairs taken from {report.rows:,} rows ({said})")
    if report.taken_as_right:
        console.print(f"  {report.taken_as_right:,} rows note no doubt, and are taken as calling the label right")
    for reason, count in report.dropped.items():
        console.print(f"  dropped: {count:,} × {reason}")


def show_judge_decisions(console: Console, report: JudgeDecisions) -> None:
    console.print(
        f"Decided by policy:judge where {report.judge} and the out-of-fold margin agree: {report.flipped:,} flipped, "
        f"{report.confirmed:,} called right"
    )
    console.print(
        f"  left to people: {report.disagreed:,} on which they differ, {report.undecided_judge:,} of which the judge "
        f"prefers neither answer, {report.undecided_margin:,} of which the margin tells nothing"
    )
    if report.decided_before:
        console.print(f"  {report.decided_before:,} were decided before, and stay as they are")


def show_judge_agreement(console: Console, report: JudgeAgreement) -> None:
    if not report.judges:
        console.print("No judge has said anything yet.")
        return
    rows = [
        [
            each.judge,
            *(
                f"{count:,}"
                for count in (each.label_right, each.label_wrong, each.ties, each.inconsistent, each.unread)
            ),
        ]
        for each in report.judges
    ]
    table(console, "What judges said", ["judge", "right", "wrong", "ties", "by order", "unread"], rows)
    pairs = [
        [each.first, each.second, f"{each.items:,}", coefficient_in_words(each.raw), coefficient_in_words(each.kappa)]
        for each in report.pairs
    ]
    if pairs:
        table(console, "Agreement on labels", ["first", "second", "pairs", "raw agreement", "Cohen's κ"], pairs)
    for each in report.judges:
        if each.only_suspects:
            console.print(f"{each.judge} {ONLY_SUSPECTS}")
