"""The command `mars rewardbench`: reward models on RewardBench 1 and 2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import click
from rich.console import Console

from mars_engine.augment.workbench import Workbench
from mars_engine.cli import printing
from mars_engine.cli.frame import Session, reporting, working
from mars_engine.core.config import InputFormat
from mars_engine.core.records import EvaluationRecord, ModelRecord
from mars_engine.data.loaders.hub import PREFIX
from mars_engine.evaluate.benchmark_folder import BenchmarkFolder
from mars_engine.evaluate.benchmark_loader import HUB_SETS, BenchmarkVersion, load_benchmark, load_published_scores
from mars_engine.evaluate.rewardbench import (
    PADDING_REPAIRED,
    benchmark_id,
    caveats,
    is_published,
    keep_published,
    run_rewardbench,
    score_in_percent,
    scores_of,
)
from mars_engine.evaluate.rewardbench_scores import PRIOR_SETS
from mars_engine.jobs import headlines
from mars_engine.reward_models.answer_text import AnswerText, PlainText
from mars_engine.reward_models.probe import PROBE_KIND
from mars_engine.reward_models.protocols import RewardModel
from mars_engine.workspace.named_models import LONGEST_INPUT, load_from_elsewhere, newest_model, stored_model
from mars_engine.workspace.workspace import ARTIFACTS

RESULTS = f"{ARTIFACTS}/rewardbench"


@dataclass(frozen=True)
class ChosenModel:
    """A reward model that was asked for, and what it is called."""

    model: RewardModel
    label: str
    text: AnswerText
    settings: Mapping[str, Any] = field(default_factory=dict)


@click.command()
@click.option(
    "--file",
    "files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Rows of the benchmark (.jsonl, .jsonl.gz or .parquet); several files are put together.",
)
@click.option(
    "--hub", "hub_name", help="A set on the hub, owner/name[@split]. [default: allenai's, where no --file is]"
)
@click.option("--version", type=click.Choice(["1", "2"]), help="Which RewardBench. [default: as the rows are; else 1]")
@click.option("--model", "name", help="A model's id or label, a folder, or a hub id. [default: the newest model]")
@click.option(
    "--format",
    "input_format",
    type=click.Choice(get_args(InputFormat)),
    help="How a foreign model reads a dialogue. [default: its chat template, else as a text pair]",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(16),
    default=LONGEST_INPUT,
    show_default=True,
    help="Longest input of a foreign model, in tokens; less where it takes fewer.",
)
@click.option(
    "--scores",
    "score_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Score nothing: keep the figures in the official tool's JSON, by subset or by section, to stand beside ours.",
)
@click.option("--again", is_flag=True, help="Score anew, even where the same model was scored on the same rows.")
@reporting
def rewardbench(
    session: Session,
    files: tuple[Path, ...],
    hub_name: str | None,
    version: str | None,
    name: str | None,
    input_format: InputFormat | None,
    max_tokens: int,
    score_files: tuple[Path, ...],
    again: bool,
) -> Any:
    """Score a reward model on RewardBench 1 or 2: by subset, by section, and overall.

    The figures are the official ones: a tie is a loss, sections weigh their subsets by the published counts, and there
    is no overall score where a section is absent. Any model of the workspace can be scored, and any
    AutoModelForSequenceClassification with one output. The files in artifacts/rewardbench are those of the official
    tool. Interrupted, it goes on where it stopped. See docs/rewardbench.md.
    """
    if sum(map(bool, (files, hub_name, score_files))) > 1:
        raise click.UsageError("--file, --hub and --scores exclude each other")
    number = cast("BenchmarkVersion | None", int(version) if version else None)
    with working(session, "rewardbench") as (bench, notes):
        if score_files:
            record = _keep(bench, score_files, number)
        else:
            benchmark = load_benchmark(_locations(files, hub_name, number), version=number)
            chosen = _choose_model(bench, name, input_format, max_tokens)
            evaluation_id = benchmark_id(benchmark, chosen.model.id)
            record = run_rewardbench(
                bench,
                benchmark,
                chosen.model,
                BenchmarkFolder(session.root, f"{RESULTS}/{evaluation_id}"),
                label=chosen.label,
                settings=chosen.settings,
                text=chosen.text,
                again=again,
            )
        notes.summary |= headlines.of_rewardbench(record)
    return record, lambda console: _show(console, record)


def _keep(bench: Workbench, paths: Sequence[Path], version: BenchmarkVersion | None) -> EvaluationRecord:
    published = load_published_scores(paths)
    return keep_published(
        published.by_subset,
        bench.store,
        model=published.model,
        source=published.location,
        content_hash=published.content_hash,
        clock=bench.clock,
        version=version,
    )


def _locations(files: Sequence[Path], hub_name: str | None, version: BenchmarkVersion | None) -> list[str]:
    if files:
        return [str(path) for path in files]
    if hub_name is None:
        return [HUB_SETS[version or 1]]
    if "@" not in hub_name:
        is_second = version == 2 if version else hub_name.endswith("-2")
        hub_name += "@test" if is_second else "@filtered"
    return [f"{PREFIX}{hub_name}"]


def _choose_model(bench: Workbench, name: str | None, input_format: InputFormat | None, max_tokens: int) -> ChosenModel:
    record = newest_model(bench) if name is None else stored_model(bench, name)
    if record is not None:
        return _own_model(bench, record)
    label, foreign = load_from_elsewhere(bench, str(name), max_tokens=max_tokens, input_format=input_format)
    settings = {
        "input_format": foreign.input_format,
        "max_tokens": foreign.max_tokens,
        PADDING_REPAIRED: foreign.pad_token_added,
    }
    return ChosenModel(foreign.model, label, foreign.text, settings)


def _own_model(bench: Workbench, record: ModelRecord) -> ChosenModel:
    model = bench.shelf.load(record)
    if record.kind == PROBE_KIND:
        reading = record.settings["features"]["reading"]  # the shelf loads no probe of an older version
        return ChosenModel(model, record.label, PlainText(f"probe on {reading}"))
    from mars_engine.reward_models.foreign import answer_text
    from mars_engine.reward_models.transformer.model import TransformerRewardModel

    return ChosenModel(model, record.label, answer_text(cast("TransformerRewardModel", model)))


def _show(console: Console, record: EvaluationRecord) -> None:
    scores, is_others = scores_of(record), is_published(record)
    rows_read = "figures" if is_others else f"{scores.rows:,} rows"
    console.print(f"RewardBench {scores.version}: {record.label}, {rows_read} from {record.settings['source']}")
    console.print()
    rows = [
        [
            subset.name,
            subset.section or "–",
            "–" if is_others else _count(subset.rows),
            _count(subset.published_rows),
            score_in_percent(subset.score),
        ]
        for subset in scores.subsets
    ]
    if rows:
        printing.table(console, "By subset", ["subset", "section", "rows", "published", "score"], rows)
    rows = [[section.name, score_in_percent(section.score)] for section in scores.sections]
    rows.append(["four-section mean" if scores.version == 1 else "", score_in_percent(scores.four_section_mean)])
    counts_prior_sets = any(section.name == PRIOR_SETS and section.score is not None for section in scores.sections)
    overall = "overall (weights 2, 2, 2, 2, 1)" if counts_prior_sets else "overall"
    rows.append([overall, score_in_percent(scores.overall)])
    rows.append(["accuracy over all rows", score_in_percent(record.results["accuracy"])])
    printing.table(console, "By section", ["section", "score"], [row for row in rows if row[0]])
    for sentence in caveats(record):
        console.print(sentence)
    if record.artifact:
        console.print(f"files: {record.artifact}")


def _count(count: int) -> str:
    return f"{count:,}" if count else "–"
