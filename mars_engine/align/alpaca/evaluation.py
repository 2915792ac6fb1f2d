"""AlpacaEval by our own runner: policies against a baseline, or all against all, and the files of it."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from mars_engine.align.alpaca.figures import PolicyFigures, figures_of, preferences_of
from mars_engine.align.alpaca.formats import (
    Annotation,
    Leaderboard,
    ModelOutputs,
    load_annotations,
    load_leaderboard,
    write_leaderboard,
    write_outputs,
)
from mars_engine.align.alpaca.judges import PairwiseJudge
from mars_engine.align.alpaca.judging import JoinedOutputs, join_outputs, judge_outputs, require_different_names
from mars_engine.align.alpaca.tables import LengthTables, load_tables
from mars_engine.align.alpaca.win_rate import WinRate, WinRateDifference, compare_wins, count_wins
from mars_engine.core.clock import Clock
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.plain_json import finite_or_null
from mars_engine.core.records import EvaluationRecord, FloatArray, content_id
from mars_engine.store import Store

FOLDER = "alpaca-eval"
OUTPUTS, BASELINE_OUTPUTS, LEADERBOARD = "model_outputs.json", "reference_outputs.json", "leaderboard.csv"
MODE = "community"
UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class JudgedPolicy(ShownAsTable):
    """A policy's figures, what of its answers had no partner, and where its files are."""

    figures: PolicyFigures
    only_baseline: int
    """Prompts of the baseline that the policy has no answer to; no figure counts them."""
    only_policy: int
    folder: Path


@dataclass(frozen=True, slots=True)
class PolicyDifference:
    """How much more often one policy beats the baseline than another."""

    first: str
    second: str
    difference: WinRateDifference


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """How often the policy of a row beats the policy of a column."""

    row: str
    column: str
    wins: WinRate


@dataclass(frozen=True, slots=True)
class AlpacaReport(ShownAsTable):
    """What an evaluation in AlpacaEval's manner found."""

    judge: str
    judge_note: str
    baseline: str
    prompts: str
    policies: tuple[JudgedPolicy, ...]
    differences: tuple[PolicyDifference, ...]
    """Of every two policies, over the prompts on which both were judged."""
    matrix: tuple[MatrixCell, ...]
    """Every model against every other, the baseline too, each two judged directly; empty where it was not asked for."""
    folder: Path
    """With the leaderboard and the baseline's outputs."""
    remarks: tuple[str, ...] = ()
    """On the judge, beside each policy's own warnings."""


def evaluate_policies(
    policies: Sequence[ModelOutputs],
    baseline: ModelOutputs,
    judge: PairwiseJudge,
    *,
    prompts: str,
    root: Path,
    artifacts: str,
    store: Store,
    clock: Clock,
    config: EvaluateConfig,
    tables: LengthTables | None = None,
    matrix: bool = False,
) -> AlpacaReport:
    """Judge the answers of policies against a baseline's; keep the verdicts, the figures and AlpacaEval's files.

    Args:
        policies: their answers.
        baseline: its answers, to the prompts that count.
        judge: judges; what it judged before is not asked again.
        prompts: where the prompts come from, to stand beside every figure.
        root: the workspace's folder.
        artifacts: the folder of its artifacts, relative to it.
        store: keeps the figures, an evaluation for each policy.
        clock: tells the time.
        config: resamples, level and seed of the intervals.
        tables: of these very prompts, for the length control.
        matrix: whether every two policies are judged against each other too.

    Raises:
        MarsError: two models have one name.
        LoadError: a policy has no prompt in common with the baseline, the tables are of other prompts, or the
            leaderboard that is there cannot be read.
        GenerationError: a judge model cannot be asked at all.
        WorkspaceError: a file cannot be written.
    """
    require_different_names([baseline, *policies])
    joined = [join_outputs(baseline, policy) for policy in policies]
    counted = [_within(policy, baseline) for policy in policies]
    among_policies = [join_outputs(first, second) for first, second in combinations(counted, 2)] if matrix else []
    group = f"{artifacts}/{FOLDER}/{_group_id(baseline, judge)}"
    write_outputs(root / group / BASELINE_OUTPUTS, baseline)
    found, judged = [], {}
    for outputs in joined:
        artifact = f"{group}/{_folder_name(outputs, judge)}"
        write_outputs(root / artifact / OUTPUTS, outputs.policy)
        annotations = judge_outputs(outputs, judge, root / artifact)
        figures = figures_of(annotations, prompts=prompts, tables=tables, config=config)
        judged[baseline.generator, outputs.policy.generator] = annotations
        found.append(JudgedPolicy(figures, outputs.only_baseline, outputs.only_policy, root / artifact))
        store.evaluations.add(_record(figures, outputs, judge, artifact, clock))
    _add_to_leaderboard(root / group / LEADERBOARD, [each.figures for each in found])
    for outputs in among_policies:
        folder = root / group / _folder_name(outputs, judge)
        judged[outputs.baseline.generator, outputs.policy.generator] = judge_outputs(outputs, judge, folder)
    return AlpacaReport(
        judge=judge.name,
        judge_note=judge.note,
        baseline=baseline.generator,
        prompts=prompts,
        policies=tuple(found),
        differences=_differences([judged[baseline.generator, each.generator] for each in policies], config),
        matrix=_matrix(judged, config) if matrix else (),
        folder=root / group,
    )


def read_annotations(path: Path, *, tables: Path | None, config: EvaluateConfig) -> PolicyFigures:
    """Return the figures of annotations that were made before, ours or the package's; nobody is asked.

    Raises:
        LoadError: a file cannot be read, or the tables are of other prompts.
    """
    annotations = load_annotations(path)
    said = f"{len(annotations):,} prompts of {path.name}"
    return figures_of(annotations, prompts=said, tables=load_tables(tables) if tables else None, config=config)


def _group_id(baseline: ModelOutputs, judge: PairwiseJudge) -> str:
    answers = [[row.instruction, row.output] for row in baseline.rows]
    return content_id("alpaca_eval", judge.id, baseline.generator, answers)[:12]


def _within(policy: ModelOutputs, baseline: ModelOutputs) -> ModelOutputs:
    """Return a policy's answers to the baseline's prompts, which are those that count."""
    known = {row.instruction for row in baseline.rows}
    return dataclasses.replace(policy, rows=tuple(row for row in policy.rows if row.instruction in known))


def _folder_name(outputs: JoinedOutputs, judge: PairwiseJudge) -> str:
    name = UNSAFE.sub("-", outputs.policy.generator).strip("-.")[:60] or "policy"
    return f"{name}-{outputs.id(judge)[:12]}"


def _record(
    figures: PolicyFigures, outputs: JoinedOutputs, judge: PairwiseJudge, artifact: str, clock: Clock
) -> EvaluationRecord:
    return EvaluationRecord(
        id=outputs.id(judge),
        kind="alpaca_eval",
        model_id="",
        label=figures.policy,
        settings={
            "baseline": figures.baseline,
            "judge": figures.judge,
            "judge_note": judge.note,
            "prompts": figures.prompts,
        },
        results=finite_or_null(dataclasses.asdict(figures)),
        artifact=artifact,
        created_at=clock(),
    )


# ---------------------------------------------------------------------------------------------------------- leaderboard


def leaderboard_row(figures: PolicyFigures) -> dict[str, float | str]:
    """Return a policy's line of the leaderboard, in AlpacaEval's columns; `length_control` says which formula it is."""
    wins, controlled = figures.wins, figures.length_controlled
    row: dict[str, float | str] = {
        "win_rate": wins.win_rate,
        "standard_error": wins.standard_error,
        "mode": MODE,
        "avg_length": int(figures.mean_length),
        "n_wins": wins.n_wins,
        "n_wins_base": wins.n_wins_base,
        "n_draws": wins.n_draws,
        "n_total": wins.n_total,
        "discrete_win_rate": wins.discrete_win_rate,
    }
    if controlled is not None:
        row |= {
            "length_controlled_winrate": controlled.win_rate,
            "lc_standard_error": controlled.spread,
            "length_control": controlled.label,
        }
    return row


def _add_to_leaderboard(path: Path, figures: Sequence[PolicyFigures]) -> None:
    before: Leaderboard = load_leaderboard(path) if path.exists() else {}
    write_leaderboard(path, before | {each.policy: leaderboard_row(each) for each in figures})


# ---------------------------------------------------------------------------------------------------------- comparisons


def _differences(judged: Sequence[Sequence[Annotation]], config: EvaluateConfig) -> tuple[PolicyDifference, ...]:
    return tuple(_difference(first, second, config) for first, second in combinations(judged, 2))


def _difference(first: Sequence[Annotation], second: Sequence[Annotation], config: EvaluateConfig) -> PolicyDifference:
    other = {each.instruction: each for each in second}
    shared = [each for each in first if each.instruction in other]
    difference = compare_wins(
        preferences_of(shared),
        preferences_of([other[each.instruction] for each in shared]),
        rng=np.random.default_rng(config.seed),
        resamples=config.resamples,
        level=config.confidence,
    )
    return PolicyDifference(first[0].generator_2, second[0].generator_2, difference)


def _matrix(judged: Mapping[tuple[str, str], Sequence[Annotation]], config: EvaluateConfig) -> tuple[MatrixCell, ...]:
    cells = []
    for (column, row), annotations in judged.items():
        preferences = preferences_of(annotations)
        cells.append(MatrixCell(row, column, _count(preferences, config)))
        cells.append(MatrixCell(column, row, _count(1.0 - preferences, config)))
    return tuple(cells)


def _count(preferences: FloatArray, config: EvaluateConfig) -> WinRate:
    rng = np.random.default_rng(config.seed)
    return count_wins(preferences, rng=rng, resamples=config.resamples, level=config.confidence)
