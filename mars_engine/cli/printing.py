"""Reports as a person reads them: tables on a terminal, the same as plain text elsewhere."""

import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from mars_engine.augment.allocation import AllocationSummary
from mars_engine.augment.compose import ComposeReport
from mars_engine.augment.plan import PlanReport
from mars_engine.augment.propose import ProposeReport
from mars_engine.augment.quality.gatekeeper import RegateReport
from mars_engine.core.config import AllocationLaw
from mars_engine.core.import_records import ImportReport, SourceColumns
from mars_engine.core.records import GeneratorCard, ModelRecord
from mars_engine.curate.review import ReviewReport
from mars_engine.data.import_pairs import ImportPreview
from mars_engine.evaluate.heldout import Evaluation
from mars_engine.evaluate.status import Status
from mars_engine.reward_models.score import ScoreReport
from mars_engine.stats.intervals import Interval

PLAIN_WIDTH = 110
EXCERPT = 500
"""Characters shown of a text in a preview."""
NEARLY_UNIFORM = 0.95
"""A law whose effective sample size is above this share of n hardly differs from uniform."""


def make_console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, emoji=False, markup=False)


def table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column left-aligned, numbers right-aligned, the rest wrapped."""
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        numeric = index > 0 and all(row[index][:1] in "0123456789+-−–" for row in rows if row[index])
        grid.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
    console.print()


def show_import(console: Console, report: ImportReport) -> None:
    console.print(
        f"{report.name}: {report.rows_read:,} rows read as {report.format}, "
        f"{report.kept:,} new {report.split} pairs kept"
        + (f", {report.already_present:,} present before" if report.already_present else "")
    )
    dropped = sum(report.dropped.values())
    console.print(f"  dropped: {dropped:,}" + (", by reason:" if dropped else ""))
    for reason, count in report.dropped.items():
        console.print(f"    {count:,}  {reason}")
    if report.examples:
        console.print("  for example: " + "; ".join(f"row {drop.row}: {drop.reason}" for drop in report.examples[:5]))
    for note, count in report.notes.items():
        console.print(f"  careful, in {count:,} {_rows(count)}: {note}")
    if report.unused:
        console.print("  columns that were not used:")
        for column in report.unused:
            console.print(f"    {column.name}: in {column.rows:,} {_rows(column.rows)}, for example {column.example}")
    if report.prompts_in_other_split:
        console.print(
            f"  careful: {report.prompts_in_other_split:,} of the pairs have a prompt that is in the other split too, "
            "so that an evaluation is less independent than it looks"
        )
    if not report.kept + report.already_present:
        share = "held-out" if report.split == "heldout" else "training"
        console.print(f"  careful: no prompt fell into the {share} share, so that it has no pair of this source")
        return
    console.print(f'  "the longer response wins" is right on {report.longer_wins:.3f} of the pairs')


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def show_columns(console: Console, found: SourceColumns) -> None:
    table(
        console,
        "Columns of the first rows",
        ["column", "rows", "example"],
        [[each.name, f"{each.rows:,}", each.example] for each in found.columns],
    )
    if found.roles:
        console.print(f"roles that are not known: {', '.join(found.roles)}")
    if found.suggested:
        mapping = ",".join(f"{target}={path}" for target, path in found.suggested.items())
        console.print(f"where these are not recognised, try --columns {mapping}")


def show_preview(console: Console, preview: ImportPreview) -> None:
    console.print("Nothing is stored: this is what an import would do.")
    show_import(console, preview.report)
    for number, pair in enumerate(preview.first, start=1):
        console.rule(f"pair {number}" + (f" of the subset {pair.subset}" if pair.subset else ""))
        for turn in pair.prompt:
            console.print(f"{turn.role}: {excerpt(turn.content)}")
        console.print(f"chosen: {excerpt(pair.chosen)}")
        console.print(f"rejected: {excerpt(pair.rejected)}")


def excerpt(text: str) -> str:
    """Return what is printed of a text: its beginning, and how long it is where that is not all."""
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}… ({len(text):,} characters)"


def show_model(console: Console, record: ModelRecord) -> None:
    curvature = record.metrics.get("curvature")
    count = record.metrics["training_pairs"]
    console.print(
        f"{record.label}: {record.kind} {record.id} trained on {count:,} pair{'' if count == 1 else 's'}, "
        f"{record.metrics['training_accuracy']:.3f} of which it ranks right"
    )
    if count == 1:
        console.print("  careful: one pair is too few to learn from; import more")
    for remark in record.metrics["remarks"]:
        console.print(f"  {remark}")
    if curvature:  # a transformer's is not known
        console.print(
            f"  curvature: trace {curvature['trace']:.4g}, largest eigenvalue {curvature['largest']:.4g}, "
            f"smallest {curvature['smallest']:.4g}, effective rank {curvature['effective_rank']:.1f}"
        )
    show_truncation(console, record)
    if indistinct := record.metrics["indistinct_pairs"]:
        console.print(f"  {say_indistinct(indistinct)}")


def say_indistinct(count: int) -> str:
    """Say in a printed line how many pairs have two sides that are the same to the model."""
    pairs = "pair has two sides" if count == 1 else "pairs have two sides each"
    return f"{count:,} {pairs} that are the same to the model, as after truncation: a tie, which counts half"


def show_truncation(console: Console, record: ModelRecord) -> None:
    cut = record.metrics["truncation"]
    console.print(
        f"  length limit: of {cut['passages']:,} passages, {cut['contexts_cut']:,} lost the beginning of their "
        f"context, {cut['responses_cut']:,} a part of a response longer than the limit"
    )


def show_score(console: Console, report: ScoreReport) -> None:
    rows = [
        [
            name,
            f"{metrics.pairs:,}",
            f"{metrics.accuracy:.3f}",
            f"{metrics.auc:.3f}",
            f"{metrics.margin_mean:+.3f}",
            f"{metrics.margin_std:.3f}",
            f"{metrics.snr:.2f}",
            f"{metrics.calibration_error:.3f}",
        ]
        for name, metrics in (("training (in-sample)", report.train), ("held-out", report.heldout))
        if metrics.pairs
    ]
    columns = ["pairs", "n", "accuracy", "AUC", "mean margin", "std", "SNR", "ECE"]
    table(console, f"Margins under {report.model_label}", columns, rows)
    verdicts = report.verdicts
    console.print(
        f"Triage by out-of-fold margins: {verdicts['clear']:,} clear, {verdicts['hard']:,} hard, "
        f"{verdicts['suspected']:,} suspected mislabels"
    )
    if verdicts["indistinct"]:
        console.print(f"  {say_indistinct(verdicts['indistinct'])}; they get no budget")


def show_laws(console: Console, laws: Mapping[AllocationLaw, AllocationSummary]) -> None:
    rows = [
        [
            law,
            f"{summary.budget:,}",
            f"{summary.effective_sample_size:,.1f}",
            f"{summary.smallest:,}",
            f"{summary.largest:,}",
            f"{summary.zeros:,}",
        ]
        for law, summary in laws.items()
    ]
    columns = ["law", "sum of b", "effective sample size", "min b", "max b", "pairs with 0"]
    table(console, "How each law would spread the budget over all pairs", columns, rows)


def show_plan(console: Console, report: PlanReport) -> None:
    summary, forecast = report.summary, report.forecast
    console.print(
        f"Plan {report.plan.id}: {summary.budget:,} new pairs over {summary.pairs:,} source pairs by the law "
        f"{report.plan.law!r}; effective sample size {summary.effective_sample_size:,.1f}, min {summary.smallest:,}, "
        f"max {summary.largest:,}, {summary.zeros:,} pairs get none"
    )
    console.print(
        f"  suspected mislabels: {forecast.suspects:,} undecided; they would get {forecast.suspects_share:.1%} "
        f"of the budget, and get {forecast.suspects_share_spent:.1%} "
        f"under the policy {report.plan.settings['triage']['policy']!r}"
    )
    console.print(f"  gate: {forecast.needs_refining:,} pairs are too close and are refined first")
    eligible = summary.pairs - (forecast.suspects if forecast.suspects_share_spent == 0 else 0)
    if report.plan.law != "uniform" and summary.effective_sample_size > NEARLY_UNIFORM * eligible:
        console.print(
            "  this is close to uniform: the margins are small beside 1/tau. Consider --allocation-scale standard, "
            "or a larger --allocation-tau"
        )


def show_generators(console: Console, cards: Sequence[GeneratorCard]) -> None:
    for card in cards:
        kind = "stand-in" if card.stand_in else "generator"
        console.print(f"  {kind} {card.name} {card.version}: {card.note}")


def show_propose(console: Console, report: ProposeReport) -> None:
    console.print(
        f"{report.proposals:,} proposals for {report.sources:,} source pairs "
        f"({report.done_before:,} of them done before); {report.passed_gates:,} pass every quality gate"
    )
    show_faults(console, report.faults)
    if report.judged_otherwise:
        console.print(
            f"  the verdicts on {report.judged_otherwise:,} of them stem from other settings of the gates than the "
            "present ones; 'mars regate' judges them anew"
        )
    console.print("  refining: " + ", ".join(f"{count:,} {name}" for name, count in report.refinements.items()))
    if report.failures:
        console.print("  what could not be written, in this run or before it:")
    for reason, count in report.failures.items():
        console.print(f"  {count:,} × {reason}")
    if report.failed:
        console.print(
            f"  {report.failed:,} failures in all, listed by 'mars failures'; {report.retryable:,} may pass when "
            "'mars propose --retry-failed' tries them again"
        )


def show_faults(console: Console, faults: Mapping[str, int]) -> None:
    """Say how many proposals fail each gate; one can fail several."""
    if faults:
        console.print("  fail the gates: " + ", ".join(f"{count:,} {fault}" for fault, count in faults.items()))


def show_regate(console: Console, report: RegateReport) -> None:
    console.print(
        f"{report.proposals:,} proposals judged anew: {report.passed_now:,} pass every quality gate now, "
        f"{report.passed_before:,} did before; {report.newly_failed:,} fail now that passed, "
        f"{report.newly_passed:,} pass now that failed"
    )
    show_faults(console, report.faults)
    for reason, count in report.unjudged.items():
        console.print(f"  {count:,} could not be judged: {reason}")
    if report.decided:
        console.print(f"  {report.decided:,} of those whose verdict changed were decided before; the decisions stand")


def show_review(console: Console, report: ReviewReport) -> None:
    by = f"the policy {report.policy!r}, for want of a person, who would do this better"
    console.print(
        f"Reviewed by {'people' if report.policy == 'people' else by}: "
        f"{report.accepted_now:,} proposals accepted now, {report.rejected_now:,} rejected"
    )
    for reason, count in report.reasons.items():
        console.print(f"  {count:,} × {reason}")
    console.print("  now: " + ", ".join(f"{count:,} {status}" for status, count in report.standing.items()))


def show_compose(console: Console, report: ComposeReport) -> None:
    carried = f", {report.carried_over:,} carried over from earlier rounds" if report.carried_over else ""
    console.print(
        f"Composition {report.composition.id}: {report.new_pairs:,} new pairs "
        f"from {report.sources_used:,} sources{carried}"
    )
    length = report.length
    console.print(
        f"  length: chosen − rejected is {length.before:+.0f} characters on the mean in the sources and "
        f"{length.after:+.0f} in the composed pairs"
        + (": it grew by more than quality.max_length_growth, so the model may learn length" * report.length_grew)
    )
    if report.short:
        console.print(
            f"  {report.short:,} of the budget of {report.wanted:,} remain unspent: all that the approved variants of "
            "its sources give is composed, so the law chose the sources and no more. With a smaller budget_per_pair "
            "or more variants it would choose how much each gets"
        )


def interval(value: Interval, *, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    return f"{value.estimate:{form}} [{value.low:{form}}, {value.high:{form}}]"


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    level = evaluation.longer_wins.level
    rows = [
        [
            model.label,
            f"{model.training_pairs:,}",
            interval(model.accuracy),
            f"{model.metrics.auc:.3f}",
            f"{model.metrics.margin_mean:+.3f}",
            f"{model.metrics.margin_std:.3f}",
            f"{model.metrics.log_loss:.3f}",
            f"{model.metrics.calibration_error:.3f}",
            f"{model.curvature['effective_rank']:.1f}" if model.curvature else "–",
        ]
        for model in evaluation.models
    ]
    rows.append(['"longer wins"', "0", interval(evaluation.longer_wins), *[""] * 6])
    columns = [
        "model",
        "trained on",
        f"accuracy [{level:.0%}]",
        "AUC",
        "mean margin",
        "std",
        "log-loss",
        "ECE",
        "eff. rank",
    ]
    title = f"{evaluation.pairs:,} held-out pairs of {evaluation.prompts:,} prompts"
    table(console, title, columns, rows)
    if evaluation.comparisons:
        compared = [
            [f"{each.first} − {each.second}", measure, interval(difference, signed=True), verdict]
            for each in evaluation.comparisons
            for measure, difference, verdict in (
                ("accuracy", each.difference, each.verdict),
                ("log-loss", each.log_loss, each.log_loss_verdict),
                ("log-loss at best scale", each.log_loss_at_best_scale, ""),
            )
            if difference is not None
        ]
        columns = ["comparison", "of", f"difference [{level:.0%}]", "verdict"]
        table(console, "Differences on the same pairs", columns, compared)


def show_status(console: Console, status: Status) -> None:
    rows = [[step.name, f"{step.count:,}", step.said] for step in status.counts]
    table(console, "How many there are at each step", ["step", "count", ""], rows)
    console.print(f"held-out pairs: {status.heldout_pairs:,}")
    console.print(f"next: {status.next_step}")
