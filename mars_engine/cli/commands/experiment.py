"""The command `mars experiment`: baselines and MARS beside each other, from one plan."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mars_engine.augment.workbench import Workbench
from mars_engine.cli import printing
from mars_engine.cli.frame import Session, as_plain, reporting, working
from mars_engine.core.errors import WorkspaceError
from mars_engine.core.records import EvaluationRecord
from mars_engine.core.whole_file import completed_file
from mars_engine.experiments.cells import ExperimentCell
from mars_engine.experiments.experiment import ExperimentForecast, forecast_experiment, plan_cells, run_experiment
from mars_engine.experiments.files import WorkspaceExperiment, open_experiment
from mars_engine.experiments.page import experiment_html
from mars_engine.experiments.plan import MATCHING_NOTES
from mars_engine.experiments.record import CELLS_TABLE, PLAN_FILE, REPORT_FILE, RESULTS_FILE
from mars_engine.experiments.results import (
    Comparison,
    ExperimentResults,
    cells_as_csv,
    points,
    results_as_csv,
    say_how_many,
    say_verdict,
    summarize_experiment,
)
from mars_engine.jobs.recorded_run import RunNotes
from mars_engine.workspace.workspace import find_workspace, open_workbench


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """What an experiment found, and where its files are."""

    id: str
    folder: Path
    files: tuple[str, ...]
    results: ExperimentResults


@click.command()
@click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Say how many cells there are and about how long they take; run none.")
@click.option("--report-only", is_flag=True, help="Report on the cells that are finished; run none.")
@reporting
def experiment(session: Session, plan_path: Path, dry_run: bool, report_only: bool) -> Any:
    """Compare MARS with baselines: run methods × seeds × datasets from the plan PLAN, a TOML file.

    The plan's data files are looked for beside the plan, then in the current folder. Every finished cell (a method on
    a draw of a dataset, trained in one way) is kept at once: interrupted and started again, the command goes on with
    the next cell, and methods, seeds or matchings added to the plan later run their own cells only. Started in several
    terminals at once, the commands share the draws out between them, and no cell is computed twice. The results go to
    the database, the page Results, and artifacts/experiments/ (two CSV tables, one HTML report).

    What is trained are heads on the packaged encoder, cheap enough for many seeds, or with train = "fine-tuned" the
    encoder itself, its lower layers frozen, or through LoRA another transformer that the plan names. One of the hub is
    downloaded where it is not on this machine, not for --dry-run or --report-only.
    """
    if dry_run:
        with _unrecorded(session) as bench:
            found = open_experiment(session.root, plan_path, bench, download=False)
            forecast = forecast_experiment(found.plan, found.datasets, found.cells.load())
        facts = {"id": found.id, "forecast": forecast}
        return facts, lambda console: _show_forecast(console, found, forecast)
    if report_only:
        with _unrecorded(session) as bench:
            found = open_experiment(session.root, plan_path, bench, download=False)
            report = store_results(found, plan_cells(found.plan, found.cells.load()))
    else:
        with working(session, "experiment") as (bench, notes):
            found = open_experiment(session.root, plan_path, bench)
            report = store_results(found, run_experiment(found.plan, found.datasets, found.tools()))
            _note(notes, report)
    return report, lambda console: _show_report(console, report)


@contextmanager
def _unrecorded(session: Session) -> Iterator[Workbench]:
    with open_workbench(find_workspace(session.root), session.progress) as bench:
        yield bench


def store_results(experiment: WorkspaceExperiment, cells: Sequence[ExperimentCell]) -> ExperimentReport:
    """Put what `mars experiment` found into the database and the experiment's files.

    Raises:
        MarsError: no seed is finished for all methods.
        WorkspaceError: a file cannot be written.
    """
    results = summarize_experiment(experiment.plan, cells)
    settings = experiment.plan.model_dump(mode="json")
    record = EvaluationRecord(
        id=experiment.id,
        kind="experiment",
        model_id="",
        label=experiment.plan.name,
        settings=settings,
        results=as_plain(results),
        artifact=experiment.artifact,
        created_at=experiment.bench.clock(),
    )
    files = {
        RESULTS_FILE: results_as_csv(results),
        CELLS_TABLE: cells_as_csv(cells),
        REPORT_FILE: experiment_html(results, experiment.plan, made_at=record.created_at),
        PLAN_FILE: json.dumps(settings, ensure_ascii=False, indent=2),
    }
    try:
        experiment.folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with completed_file(experiment.folder / name) as part:
                part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"the results cannot be written to {experiment.folder}: {error}",
            remedy="make room on the disk, then run the same command with --report-only",
        ) from error
    experiment.bench.store.evaluations.add(record)
    return ExperimentReport(experiment.id, experiment.folder, tuple(files), results)


def _note(notes: RunNotes, report: ExperimentReport) -> None:
    results = report.results
    notes.summary |= {
        "experiment": results.name,
        "cells": results.finished,
        "comparisons": results.differences,
        "intervals that miss 0": results.shown,
    }


def _show_forecast(console: Console, experiment: WorkspaceExperiment, forecast: ExperimentForecast) -> None:
    plan = experiment.plan
    flipped = f" × {len(plan.flipped)} shares of flipped labels" if plan.flipped != (0,) else ""
    console.print(
        f"{plan.name}: {len(plan.methods)} methods × {len(plan.seeds)} seeds × {len(plan.datasets)} datasets × "
        f"{len(plan.matchings)} matchings{flipped} = {forecast.cells:,} cells, of which {forecast.finished:,} are "
        "finished"
    )
    for dataset in plan.datasets:
        data = experiment.datasets[dataset.name]
        pairs, heldout = data.pairs, dataset.heldout_pairs or len(data.heldout)
        console.print(
            f"  {dataset.name}: {len(pairs):,} pairs of {len({pair.prompt_id for pair in pairs}):,} prompts; under "
            f"each seed {dataset.base_pairs:,} base and {heldout:,} held-out pairs"
        )
    if plan.backbone_note:
        console.print(f"  trained: {plan.backbone_note}")
    takes = (
        f"take {_about(forecast.seconds)} (a rough guess)"
        if forecast.seconds is not None
        else "each train a transformer: how long that takes is said once one is finished"
    )
    console.print(
        f"  at most {forecast.texts_to_embed:,} texts to embed; the {forecast.missing:,} missing cells {takes}"
    )


def _about(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "under a minute" if minutes < 1 else f"about {minutes:,} minute{'' if minutes == 1 else 's'}"


def _show_costs(console: Console, comparison: Comparison) -> None:
    rows = [
        [
            result.method,
            f"{result.generation_tokens / 1000:,.0f}",
            f"{result.training_tokens / 1000:,.0f}",
            f"{result.preparation_seconds:,.1f}",
            f"{result.training_seconds:,.2f}",
        ]
        for result in comparison.methods
    ]
    headings = ["method", "tokens written (k)", "tokens trained on (k)", "prepare (s)", "train (s)"]
    printing.table(console, "What it cost, means over the seeds", headings, rows)
    console.print(
        "  Preparing includes embedding; a text that was embedded before, for whichever method, costs nothing."
    )


def _show_report(console: Console, report: ExperimentReport) -> None:
    results = report.results
    for comparison in results.comparisons:
        rows = [
            [
                result.method,
                f"{result.accuracy.mean:.3f}",
                f"{result.accuracy.deviation:.3f}",
                *(
                    f"{points(found.interval.estimate)} [{points(found.interval.low)}, {points(found.interval.high)}]"
                    if (found := result.against(baseline))
                    else "–"
                    for baseline in ("uniform", "none")
                ),
                f"{result.steps:,.0f}",
                f"{result.training_pairs:,.0f}",
                *([f"{result.wrong_loss:.1%}"] if comparison.knows_wrong_labels else []),
            ]
            for result in comparison.methods
        ]
        printing.table(
            console,
            f"{comparison.data}, {comparison.matching} ({len(comparison.seeds)} seeds × "
            f"{comparison.heldout_pairs:,} held-out pairs)",
            [
                *("method", "accuracy", "sd", "− uniform (points)", "− none (points)", "steps", "pairs"),
                *(["loss on wrong labels"] if comparison.knows_wrong_labels else []),
            ],
            rows,
        )
        console.print(f"  {MATCHING_NOTES[comparison.matching]}")
        for result in comparison.methods:
            console.print(f"  {say_verdict(result, results.level)}")
        _show_costs(console, comparison)
        console.print()
    if results.trained:
        console.print(f"Trained: {results.trained}.")
    console.print(say_how_many(results))
    console.print(
        f"{results.finished:,} of {results.cells:,} cells are finished; report: {report.folder / REPORT_FILE}"
    )
