"""The demo: the whole method on the packaged model and the demo pairs, against uniform allocation and none."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mars_engine.augment.allocation import AllocationSummary
from mars_engine.augment.compose import ComposeReport, compose_plan
from mars_engine.augment.generators.given import given_card
from mars_engine.augment.plan import PlanReport, compare_laws, make_plan
from mars_engine.augment.propose import ProposeReport
from mars_engine.core.config import AllocationConfig, AllocationLaw, MarsConfig, ProposeConfig
from mars_engine.core.import_records import ImportReport
from mars_engine.core.progress import WatchedProgress
from mars_engine.core.protocols import PairSource, Progress
from mars_engine.core.records import GeneratorCard, ModelRecord, Split
from mars_engine.curate.review import ReviewReport, review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.data.sources import load_sources, oriented_margins
from mars_engine.evaluate.heldout import Evaluation, evaluate
from mars_engine.evaluate.status import Status, workspace_status
from mars_engine.jobs import headlines
from mars_engine.jobs.recorded_run import recorded_run
from mars_engine.reward_models.score import ScoreReport, score_model
from mars_engine.reward_models.train import train_on, train_warm_up
from mars_engine.service.shipped import shipped
from mars_engine.workspace.rewrites_elsewhere import take_answers
from mars_engine.workspace.workspace import CONFIG_FILE, create_workspace, find_workspace, open_workbench

DEMO = "demo"
"""The name of the packaged demo pairs, as a source."""

DEMO_FILES: tuple[tuple[str, Split], ...] = (("demo-train.jsonl", "train"), ("demo-test.jsonl", "heldout"))
REWRITES_FILE, WRITER = "demo-rewrites.jsonl", "a large language model"
"""Rewrites of the demo pairs that were recorded, and who wrote them."""
DEMO_CONFIG = MarsConfig(
    allocation=AllocationConfig(scale="standard", budget_per_pair=1), propose=ProposeConfig(variants=2, refine_tries=2)
)
"""The defaults, but with margins in units of their standard deviation, as the probe's margins are small beside 1/τ;
with a budget that the variants which pass the gates can fill, so that it matters how a law spreads it; and with as many
rewrites of a text as were recorded."""

ARMS: tuple[AllocationLaw, AllocationLaw] = ("uniform", "signed")
"""MARS last, so that it is what the workspace goes on with."""


@dataclass(frozen=True)
class DemoReport:
    """What the demo did, step by step; MARS's steps where both arms have one."""

    imports: list[ImportReport]
    warm_up: ModelRecord
    score: ScoreReport
    laws: dict[AllocationLaw, AllocationSummary]
    plan: PlanReport
    generators: tuple[GeneratorCard, ...]
    propose: ProposeReport
    review: ReviewReport
    compose: ComposeReport
    trained: ModelRecord
    evaluation: Evaluation
    status: Status


def demo_sources() -> list[tuple[PairSource, Split]]:
    """Open the packaged demo pairs: those to train on, and those held out."""
    return [(open_source(str(shipped("data") / name)), split) for name, split in DEMO_FILES]


def run_demo(root: Path, progress: Progress, announce: Callable[[str], None]) -> DemoReport:
    """Run the whole method in the workspace `root`, which is made where there is none; what was done is not done again.

    Both arms start from the same warm-up, the same proposals' rules and the same budget; only the allocation differs.
    """
    workspace = find_workspace(root) if (root / CONFIG_FILE).exists() else create_workspace(root, DEMO_CONFIG)
    settings = workspace.config.model_dump(exclude={"database_url"})
    watched = WatchedProgress(progress)
    with (
        open_workbench(workspace, watched) as bench,
        recorded_run(bench.store, "demo", settings, bench.clock, progress=watched) as notes,
    ):
        announce("import the demo pairs")
        imports = [
            import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
            for source, split in demo_sources()
        ]
        announce("warm up a probe on the base pairs, and score")
        model = train_warm_up(bench)
        score = score_model(bench, model)
        margins = oriented_margins(bench.store, model, load_sources(bench.store, bench.config.triage))
        trained = [model]
        for law in ARMS:
            announce(f"allocate, gate, propose, review by the quality gates, compose, retrain: {law}")
            plan = make_plan(bench, model, law=law)
            proposed = take_answers(bench, plan.plan, [shipped("data") / REWRITES_FILE], writer=WRITER).proposed[WRITER]
            reviewed = review_by_policy(bench.store, "gates", clock=bench.clock)
            composed = compose_plan(bench, plan.plan)
            trained.append(train_on(bench, composed.composition))
        announce("evaluate on the held-out pairs")
        trained = list({record.id: record for record in trained}.values())  # both laws may come to the same pairs
        for record in trained[1:]:
            score_model(bench, record, triage_again=False)
        evaluation = evaluate(bench, trained)
        notes.summary |= headlines.of_model(trained[-1]) | headlines.of_evaluation(evaluation)
        return DemoReport(
            imports=imports,
            warm_up=model,
            score=score,
            laws=compare_laws(margins, bench.config.allocation),
            plan=plan,
            generators=(given_card(WRITER),),
            propose=proposed,
            review=reviewed,
            compose=composed,
            trained=trained[-1],
            evaluation=evaluation,
            status=workspace_status(bench.store),
        )
