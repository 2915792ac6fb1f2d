"""A comparison by policies in a workspace: reward models are trained, policies come of them, and a judge compares.

What is finished is kept at once: heads, policies with their checkpoints, drawn answers, and what the judge said.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from mars_engine.align.best_of_n import GoldRewards
from mars_engine.align.prompts import PromptSet, heldout_prompts, leave_out_trained, load_prompts
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import TriageConfig
from mars_engine.core.errors import NotReadyError, StoreError
from mars_engine.core.records import EvaluationRecord, content_id, prompt_id
from mars_engine.core.whole_folder import replace_text
from mars_engine.data.sources import load_sources
from mars_engine.embeddings.model_folder import find_model_folder, fingerprint_folder
from mars_engine.experiments.alignment.curves import PolicyCurve
from mars_engine.experiments.alignment.heads import RewardHead, train_heads
from mars_engine.experiments.alignment.page import alignment_html
from mars_engine.experiments.alignment.plan import BEST_OF_N, WORKSPACE, AlignmentPlan, Way, load_alignment_plan
from mars_engine.experiments.alignment.policies import PolicyMaker
from mars_engine.experiments.alignment.results import (
    AlignmentCell,
    AlignmentResults,
    alignment_as_csv,
    summarize_alignment,
    win_rate_rows,
)
from mars_engine.experiments.cells import CellKey, wanted_cells
from mars_engine.experiments.draws import DatasetPairs
from mars_engine.experiments.files import WorkspaceExperiment
from mars_engine.experiments.record import PLAN_FILE, REPORT_FILE, RESULTS_FILE
from mars_engine.workspace.named_models import NamedModel, open_named_model
from mars_engine.workspace.workspace import ARTIFACTS

COMPARISONS = f"{ARTIFACTS}/align/comparisons"
CELLS = "cells"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """What a comparison by policies found, and where its files are."""

    id: str
    folder: Path
    files: tuple[str, ...]
    results: AlignmentResults


def align_by_plan(bench: Workbench, root: Path, plan_path: Path, *, say: Say = lambda _: None) -> AlignmentReport:
    """Train the plan's missing reward models and policies, compare all, and write the report.

    Args:
        bench: the workspace's.
        root: its folder.
        plan_path: the plan, a TOML file.
        say: is told what is left out, and how far it has come.

    Raises:
        ConfigError: the plan cannot be used.
        NotReadyError: there are too few prompts.
        LoadError: there are too few pairs, or a file of prompts cannot be read.
        ModelError: the judge, the policy or a reward cannot be used, or a file cannot be written.
    """
    plan = load_alignment_plan(plan_path)
    prompts, dataset = _prompts(bench, plan, plan_path), _dataset(bench, say)
    for reason, count in prompts.left_out.items():
        say(f"left out: {count:,} × {reason}")
    experiment = WorkspaceExperiment(root, plan.heads(len(dataset.pairs)), {WORKSPACE: dataset}, bench)
    with open_named_model(bench, plan.judge, role="judge") as gold:
        key = _comparison_id(plan, experiment, prompts, gold)
        folder = root / COMPARISONS / key
        maker = PolicyMaker(plan, bench, root, prompts.prompts, GoldRewards(gold.label, gold.model), say)
        cells = _finish_cells(plan, experiment, maker, folder / CELLS)
        remarks = _said_of_judge(bench, gold, {each for cell in cells for each in cell.curve.prompts})
    results = summarize_alignment(plan, cells, judge=gold.label, prompts=prompts.name, remarks=remarks)
    return _store(bench, plan, results, key, folder)


def _prompts(bench: Workbench, plan: AlignmentPlan, plan_path: Path) -> PromptSet:
    """Return the prompts that no reward model is trained on; too few of them are refused before anything is trained."""
    beside = plan_path.resolve().parent / plan.prompts
    named = str(beside) if plan.prompts and beside.exists() else plan.prompts
    found = load_prompts(named) if named else heldout_prompts(bench.store)
    found = leave_out_trained(found, {pair.prompt_id for pair in bench.store.pairs.stream("train")})
    trains = set(plan.ways) != {BEST_OF_N}
    if len(found.prompts) < plan.align.watched_prompts + trains:
        raise NotReadyError(
            f"there are {len(found.prompts):,} prompts, and {plan.align.watched_prompts:,} are kept to be watched",
            expected="more prompts than are watched",
            remedy="import more, name a file of prompts in the plan, or lower watched_prompts under its [align]",
        )
    return found


def _dataset(bench: Workbench, say: Say) -> DatasetPairs:
    """Return the workspace's held-out pairs, and its training pairs whose prompts are not among theirs.

    A training pair is as people decided about it; suspicion alone changes none.
    """
    heldout = bench.store.pairs.pairs("heldout")
    asked = {pair.prompt_id for pair in heldout}
    sources = load_sources(bench.store, TriageConfig(policy="keep"))
    pairs = {each.oriented.id: each.oriented for each in sources if each.treatment.trained_on}
    kept = [pair for pair in pairs.values() if pair.prompt_id not in asked]
    if len(kept) < len(pairs):
        say(f"left out: {len(pairs) - len(kept):,} × training pair whose prompt is held out")
    return DatasetPairs(kept, heldout)


def _comparison_id(plan: AlignmentPlan, experiment: WorkspaceExperiment, prompts: PromptSet, gold: NamedModel) -> str:
    """Return the id of what the finished policies depend on; methods, seeds and ways may be added to a plan."""
    from mars_engine.align.training.policy import EXPECTED_POLICY, POLICY_SETTING

    policy = find_model_folder(plan.align.policy, purpose="policy", expected=EXPECTED_POLICY, setting=POLICY_SETTING)
    return content_id(
        experiment.id,
        plan.align.model_dump(mode="json", exclude={"method", "seed", "device", "checkpoint_every"}),
        plan.n,
        fingerprint_folder(policy),
        gold.model.id,
        [prompt_id(prompt) for prompt in prompts.prompts],
    )


def _finish_cells(
    plan: AlignmentPlan, experiment: WorkspaceExperiment, maker: PolicyMaker, folder: Path
) -> list[AlignmentCell]:
    """Return the plan's policies as they fare; what is missing is made seed by seed, and kept at once."""
    wanted = list(product(plan.ways, wanted_cells(experiment.plan)))
    known = {each: _load_cell(_cell_file(folder, *each)) for each in wanted}
    missing = [each for each, cell in known.items() if cell is None]
    maker.say(f"{len(wanted):,} policies, of which {len(wanted) - len(missing):,} are finished")
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        heads = train_heads(experiment)
        with maker.bench.progress.task("policies of the plan", len(missing)) as task:
            for way, key in missing:
                known[way, key] = cell = _make_cell(way, key, heads[key], maker)
                replace_text(_cell_file(folder, way, key), json.dumps(asdict(cell)))
                task.advance()
    return [cell for cell in known.values() if cell is not None]


def _make_cell(way: Way, key: CellKey, head: RewardHead, maker: PolicyMaker) -> AlignmentCell:
    curve = maker.curve(way, key.seed, head.source)
    cell = AlignmentCell(way, key.seed, key.method, head.accuracy, curve)
    maker.bench.add_point(f"{way}: {key.method}", key.seed, sum(curve.wins[-1]) / len(curve.prompts))
    return cell


def _cell_file(folder: Path, way: Way, key: CellKey) -> Path:
    return folder / f"{key.seed} {way} {key.method} {key.matching}.json"


def _load_cell(path: Path) -> AlignmentCell | None:
    """Return a finished policy; None where it is not finished.

    Raises:
        StoreError: its file is damaged.
    """
    if not path.is_file():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        curve = {name: tuple(values) for name, values in row["curve"].items()}
        curve["wins"] = tuple(map(tuple, curve["wins"]))
        return AlignmentCell(**{**row, "curve": PolicyCurve(**curve)})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{path} is no finished policy of a plan: {error}",
            remedy="delete that file; its policy is then judged again, not trained again",
        ) from error


def _said_of_judge(bench: Workbench, gold: NamedModel, prompts: Collection[str]) -> list[str]:
    said = []
    if any(model.id == gold.model.id for model in bench.store.models.all()):
        said.append(
            f"The judge {gold.label} is a model of this workspace, trained on the same pairs as the reward models "
            "that it compares: it shares their errors."
        )
    return [*said, *gold.prompts_seen(prompts, role="judge")]


def _store(bench: Workbench, plan: AlignmentPlan, results: AlignmentResults, key: str, folder: Path) -> AlignmentReport:
    """Put the results into the database and their files."""
    settings = plan.model_dump(mode="json")
    record = EvaluationRecord(
        id=key,
        kind="alignment",
        model_id="",
        label=plan.name,
        settings=settings,
        results={"win_rates": win_rate_rows(results)},
        artifact=f"{COMPARISONS}/{key}",
        created_at=bench.clock(),
    )
    files = {
        RESULTS_FILE: alignment_as_csv(results),
        REPORT_FILE: alignment_html(results, plan, made_at=record.created_at),
        PLAN_FILE: json.dumps(settings, ensure_ascii=False, indent=2),
    }
    for name, text in files.items():  # the cells are there already, and their folder with them
        replace_text(folder / name, text)
    bench.store.evaluations.add(record)
    return AlignmentReport(key, folder, tuple(files), results)
