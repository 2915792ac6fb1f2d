"""The demo: a workspace that is worth opening, made of the packaged demo pairs in acts that are told as they happen.

Each act is what commands of `mars` do, or a few lines of Python, and says which. What takes minutes runs as jobs once
the app is up.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mars_engine.advise.advice import Advice
from mars_engine.advise.kept import kept_advice, newest_advice, outcomes, standing_of, why_out_of_date
from mars_engine.augment.plan import PlanReport, make_plan
from mars_engine.augment.propose import ProposeReport
from mars_engine.augment.workbench import Workbench
from mars_engine.cli.demo_report import ToldStage
from mars_engine.core.config import AllocationConfig, MarsConfig, ProposeConfig
from mars_engine.core.import_records import ImportReport
from mars_engine.core.progress import Progress, WatchedProgress
from mars_engine.core.records import MAP_KINDS, MapKind, ModelRecord
from mars_engine.core.shipped import shipped
from mars_engine.curate.judging.deciding import JUDGE_POLICY
from mars_engine.curate.review import Decision, record_decisions
from mars_engine.data.demo_pairs import DEMO_FILES, demo_sources
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.embeddings.maps import MapShelf, UmapMapper
from mars_engine.embeddings.maps.semantic_map import MapReport, make_map
from mars_engine.embeddings.packaged_lm import PACKAGED_LM, is_packaged_lm_installed
from mars_engine.evaluate.heldout import Evaluation, evaluate
from mars_engine.evaluate.heldout_sections import score_sections
from mars_engine.evaluate.overview import headline, say_gain
from mars_engine.evaluate.results import first_model
from mars_engine.evaluate.status import Status, workspace_status
from mars_engine.jobs import headlines
from mars_engine.jobs.recorded_run import recorded_run
from mars_engine.reward_models.score import ScoreReport, score_model
from mars_engine.reward_models.train import CHECKED_WARM_UP, train_warm_up
from mars_engine.workspace.advising import advise_on
from mars_engine.workspace.judges import SecondOpinion, second_opinion
from mars_engine.workspace.rewrites_elsewhere import take_answers
from mars_engine.workspace.workspace import CONFIG_FILE, create_workspace, find_workspace, map_shelf, open_workbench

REWRITES_FILE, WRITER = "demo-rewrites.jsonl", "a large language model"
"""Rewrites of the demo pairs, and doubts about their labels, that were recorded; and who wrote them."""
READINGS_FILE = "demo-readings.jsonl"
"""Decisions of recorded readers about some labels, likewise."""
MAPS: tuple[MapKind, ...] = MAP_KINDS[:2]
DEMO_CONFIG = MarsConfig(
    allocation=AllocationConfig(scale="standard", budget_per_pair=1 / 3),
    propose=ProposeConfig(variants=2, refine_tries=2),
)
"""The defaults, but with margins in units of their standard deviation, as the probe's margins are small beside 1/τ;
with a new pair for each three, so that a round's proposals can be read in an hour; and with as many rewrites of a text
as were recorded."""

# The newest model with this label judges best-of-n: the fine-tuned one.
SMALL_POLICY = ("--policy", PACKAGED_LM)
BEST_OF_N = ("--judge", CHECKED_WARM_UP, "--most-prompts", "16", "--max-new-tokens", "64")
ALIGN = (
    *("--method", "rloo", "--steps", "8", "--align-learning-rate", "1e-4"),
    *("--align-max-new-tokens", "48", "--align-watch-every", "2"),
)


@dataclass(frozen=True)
class DemoReport:
    """What the demo did, act by act."""

    imports: list[ImportReport]
    warm_up: ModelRecord
    score: ScoreReport
    maps: list[MapReport]
    advice: Advice
    second_opinion: SecondOpinion
    readings: int
    """Labels that the recorded readers decided about, each counted for each reader."""
    checked: ModelRecord
    evaluation: Evaluation
    plan: PlanReport
    """Of the round that is left open, as what was proposed for it."""
    propose: ProposeReport
    status: Status


def run_demo(root: Path, progress: Progress, stage: ToldStage) -> DemoReport:
    """Play the acts in the workspace `root`, which is made where there is none; killed, they go on where they stopped.

    A label that was decided, and what was decided of an open round, stays as it is.
    """
    workspace = find_workspace(root) if (root / CONFIG_FILE).exists() else create_workspace(root, DEMO_CONFIG)
    settings = workspace.config.model_dump(exclude={"database_url"})
    watched = WatchedProgress(progress)
    with (
        open_workbench(workspace, watched) as bench,
        recorded_run(bench.store, "demo", settings, bench.clock, progress=watched) as notes,
    ):
        report = _play(bench, map_shelf(workspace), stage)
        notes.summary |= headlines.of_model(report.checked) | headlines.of_evaluation(report.evaluation)
        return report


def _play(bench: Workbench, maps: MapShelf, stage: ToldStage) -> DemoReport:
    imports = _import(bench, stage)
    warm_up, score, drawn = _warm_up(bench, maps, stage)
    advice = _advise(bench, stage)
    opinion, readings, checked = _second_opinion(bench, stage)
    evaluation = evaluate(bench, [warm_up, checked])
    stage.tell(evaluation)
    stage.tell(score_sections(bench.store, PairIndexCache(bench.store).current(), [warm_up, checked]))
    gain = say_gain(headline(bench.store, PairIndexCache(bench.store).current(), config=bench.config.evaluate))
    if gain is not None:
        stage.tell(f"In short: {gain.title.lower()}. {gain.words[0]} {gain.last_step}".rstrip() + "\n")
    for outcome in outcomes(bench.store, PairIndexCache(bench.store).current(), config=bench.config.evaluate)[:1]:
        stage.tell(outcome)
    plan, proposed = _open_round(bench, checked, stage)
    _advise_again(bench, stage)
    status = workspace_status(bench.store)
    stage.tell(status)
    return DemoReport(
        imports=imports,
        warm_up=warm_up,
        score=score,
        maps=drawn,
        advice=advice,
        second_opinion=opinion,
        readings=readings,
        checked=checked,
        evaluation=evaluation,
        plan=plan,
        propose=proposed,
        status=status,
    )


def _import(bench: Workbench, stage: ToldStage) -> list[ImportReport]:
    stage.act("Import, and what the set says against itself", "mars import demo")
    imports = [
        import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
        for source, split in demo_sources()
    ]
    for each in imports:
        stage.tell(each)
    return imports


def _warm_up(bench: Workbench, shelf: MapShelf, stage: ToldStage) -> tuple[ModelRecord, ScoreReport, list[MapReport]]:
    stage.act("A first reward model, its margins, and the map", "mars train", "mars score", "mars map --of …")
    # Labels that were decided since make another warm-up: the first is the one that saw them as they were imported.
    models = bench.store.models.all()
    warm_up = next(iter(first_model(models)), None) or train_warm_up(bench)
    stage.tell(warm_up)
    score = score_model(bench, warm_up, triage_again=len(models) < 2)
    stage.tell(score)
    store, encoder, config, progress = bench.store, bench.encoder, bench.config.map, bench.progress
    mapper = UmapMapper(config)
    drawn = [make_map(store, encoder, mapper, shelf, kind, config=config, progress=progress) for kind in MAPS]
    for each in drawn:
        stage.tell(f"A map of {each.pairs:,} pairs by their {each.kind}: {len(each.clusters):,} clusters.")
    return warm_up, score, drawn


def _advise(bench: Workbench, stage: ToldStage) -> Advice:
    stage.act("Where the next hour pays, by the training pairs alone", "mars advise")
    # What was advised before the checks is what they are compared with.
    advice = next(iter(reversed(kept_advice(bench.store))), None) or advise_on(bench)
    stage.tell(advice)
    return advice


def _advise_again(bench: Workbench, stage: ToldStage) -> None:
    stage.act("Where the next hour pays now", "mars advise")
    newest, now = newest_advice(bench.store), standing_of(bench.store, PairIndexCache(bench.store).current())
    stage.tell(advise_on(bench) if newest is None or why_out_of_date(newest, now) else newest)


def _second_opinion(bench: Workbench, stage: ToldStage) -> tuple[SecondOpinion, int, ModelRecord]:
    stage.act(
        "A second opinion on labels, from a recording",
        f"mars judge-labels --opinions data/{REWRITES_FILE} --dataset demo-train --decide",
        f'ws.check(pd.read_json("data/{READINGS_FILE}", lines=True), reviewer=…)',
        "mars train",
        "mars score",
    )
    stage.tell(
        f"Recorded are the doubts of {WRITER} about labels, and what recorded readers decided. By policy:judge labels "
        "are decided where these doubts and the out-of-fold margins agree."
    )
    opinion = second_opinion(
        bench,
        opinions=[shipped("data") / REWRITES_FILE],
        dataset=_train_set(bench),
        decide=not _has_decided(bench, JUDGE_POLICY),
    )
    stage.tell(opinion)
    readings = _record_readings(bench)
    stage.tell(
        f"Recorded readers, all of them large language models, decided {readings:,} times about labels; People shows "
        "how far they agree, and what two readings by different rules dispute."
    )
    checked = train_warm_up(bench)
    stage.tell(checked)
    stage.tell(score_model(bench, checked))
    return opinion, readings, checked


def _train_set(bench: Workbench) -> str:
    """The name under which the training pairs were imported."""
    return next(each.name for each in bench.store.pairs.datasets() if each.name == Path(DEMO_FILES[0][0]).stem)


def _has_decided(bench: Workbench, annotator: str) -> bool:
    """Whether somebody has decided about labels: an act that was cut short goes on without deciding twice."""
    events = bench.store.reviews.events("pair").values()
    return any(event.annotator == annotator for each in events for event in each)


def _record_readings(bench: Workbench) -> int:
    """Record what the readers decided, once; return how many decisions there are."""
    rows = [json.loads(line) for line in (shipped("data") / READINGS_FILE).read_text("utf-8").splitlines()]
    pairs = bench.store.pairs.pairs("train")
    by_reader: dict[str, dict[str, Decision]] = defaultdict(dict)
    for row in rows:
        decision = Decision(row["decision"], note=row["note"])
        by_reader[row["reader"]][pairs[row["i"]].id] = decision
    for reader, decisions in by_reader.items():
        if not _has_decided(bench, reader):
            record_decisions(bench.store, "pair", decisions, annotator=reader, clock=bench.clock)
    return len(rows)


def _open_round(bench: Workbench, checked: ModelRecord, stage: ToldStage) -> tuple[PlanReport, ProposeReport]:
    stage.act(
        "A round left open for you",
        "mars propose --law signed",
        f'mars propose --answers data/{REWRITES_FILE} --writer "{WRITER}"',
    )
    plan = make_plan(bench, checked, law="signed")
    stage.tell(plan)
    proposed = take_answers(bench, plan.plan, [shipped("data") / REWRITES_FILE], writer=WRITER).proposed[WRITER]
    stage.tell(proposed)
    return plan, proposed


def later_jobs(*, warm_up: str, checked: str) -> list[list[str]]:
    """Return the commands that take minutes, for the background, by the ids of the models before and after the checks.

    An experiment of MARS, uniform, leaving out and none; a fine-tuning whose dynamics Results shows; and, where the
    packaged language model is installed, best-of-n by the models before and after the checks and a small alignment.
    """
    fine_tune = ["train", "--warm-up", "--backbone", "packaged", "--reward-model-head", "probe"]
    jobs = [
        ["experiment", str(shipped("data") / "experiments" / "demo.toml")],
        [*fine_tune, "--reward-model-epochs", "2"],
        ["score"],
    ]
    if is_packaged_lm_installed():
        jobs.append(["best-of-n", *SMALL_POLICY, "--n", "4", "--model", warm_up, "--model", checked, *BEST_OF_N])
        jobs.append(["align", *SMALL_POLICY, "--reward-model", checked, "--gold", warm_up, *ALIGN])
    return jobs
