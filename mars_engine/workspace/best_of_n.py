"""Best-of-n in a workspace: which prompts, which answers, which reward models pick, and who judges."""

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mars_engine.align.answers import RecordedAnswers, load_recorded_answers
from mars_engine.align.best_of_n import AnswerJudge, BestOfNReport, GoldRewards, RecordedPreferences, best_of_n
from mars_engine.align.blind.sheets import write_sheet
from mars_engine.align.policies import Policy, PolicyAnswers, RecordedPolicy, load_policy
from mars_engine.align.prompts import (
    PromptSet,
    heldout_prompts,
    leave_out_trained,
    load_prompts,
    trained_prompts,
)
from mars_engine.align.sampling import SamplingSettings
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import ConfigError, WorkspaceError
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.records import content_id, prompt_id
from mars_engine.core.whole_file import completed_file
from mars_engine.reward_models.model_labels import with_distinct_labels
from mars_engine.workspace.named_models import NamedModel, chosen_models, open_named_model
from mars_engine.workspace.workspace import ARTIFACTS

ANSWERS_FOLDER = f"{ARTIFACTS}/align/answers"
RESULTS_FOLDER = f"{ARTIFACTS}/align/best-of-n"
RESULTS_FILE, CURVES_FILE, PICKS = "results.json", "curves.csv", "picks"
RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class BestOfNRequest:
    """What is asked for; a policy or recorded answers, not both."""

    policy: str = ""
    """'packaged-lm', a folder with a language model or an adapter, or a hub id."""
    answers: str = ""
    """A file of recorded answers."""
    prompts: str = ""
    """A file of prompts; empty: those of the recorded answers, else of the held-out pairs."""
    n: int = 8
    models: tuple[str, ...] = ()
    """Ids or labels of reward models; empty: all of the workspace."""
    judge: str = ""
    """'recorded', a model of the workspace, another workspace, or a reward model's folder or hub id; empty: recorded
    preferences, where the answers have them."""
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    device: str = "auto"
    most_prompts: int = 0
    """Ask the first so many prompts; 0: all."""
    include_trained: bool = False
    download: bool = False


@dataclass(frozen=True, slots=True)
class BestOfNResult(ShownAsTable):
    """A report, and where its files are."""

    id: str
    folder: Path
    report: BestOfNReport


def run_best_of_n(bench: Workbench, root: Path, request: BestOfNRequest) -> BestOfNResult:
    """Ask the policy, let the workspace's reward models pick, judge the picks, and write the report.

    Answers that were drawn before are not drawn again. The files are results.json, curves.csv, and in picks/ what
    each selector picked, beside one answer of the policy, in AlpacaEval's format.

    Raises:
        ConfigError: the request is not clear.
        NotReadyError: there is no reward model, or no prompt is left.
        LoadError: a file cannot be read, or its answers have no preferences to judge by.
        ModelError: a model cannot be loaded, or gives rewards that are not numbers.
        WorkspaceError: the files cannot be written.
    """
    if bool(request.policy) == bool(request.answers):
        raise ConfigError(
            "both a policy and recorded answers are named" if request.policy else "no policy is named",
            expected="one of --policy, a language model to draw answers from, and --answers, a file of recorded ones",
        )
    records = chosen_models(bench, request.models)
    recorded = load_recorded_answers(request.answers) if request.answers else None
    picking = trained_prompts(bench.store, records)
    prompts = _prompts(bench, request, recorded, picking)
    with ExitStack() as stack:
        judge, named = stack.enter_context(_judge(bench, request, recorded))
        answered, fingerprint = _answers(bench, root, request, recorded, prompts)
        labels = [record.label for record in with_distinct_labels(records)]
        loaded = {label: bench.shelf.load(record) for label, record in zip(labels, records, strict=True)}
        report = best_of_n(answered, loaded, judge, config=bench.config.evaluate, progress=bench.progress)
    report = replace(report, remarks=(*report.remarks, *_said_of_judge(named, answered, picking)))
    key = content_id(
        fingerprint,
        [prompt_id(prompt) for prompt in prompts.prompts],
        request.n,
        [record.id for record in records],
        named.model.id if named else RECORDED,
    )
    folder = _write(root / RESULTS_FOLDER / key, report)
    _write_picks(folder / PICKS, report, answered)
    return BestOfNResult(key, folder, report)


# --------------------------------------------------------------------------------------------------- what is compared


def _prompts(
    bench: Workbench, request: BestOfNRequest, recorded: RecordedAnswers | None, trained: set[str]
) -> PromptSet:
    if request.prompts:
        prompts = load_prompts(request.prompts)
    elif recorded is not None:
        prompts = PromptSet(recorded.name, tuple(row.prompt for row in recorded.rows), recorded.dropped)
    else:
        prompts = heldout_prompts(bench.store)
    if not request.include_trained:
        prompts = leave_out_trained(prompts, trained)
    return replace(prompts, prompts=prompts.prompts[: request.most_prompts or None])


def _answers(
    bench: Workbench, root: Path, request: BestOfNRequest, recorded: RecordedAnswers | None, prompts: PromptSet
) -> tuple[PolicyAnswers, str]:
    """Return the answers, the prompts that were left out before counted with them, and the policy's fingerprint."""
    policy: Policy = (
        RecordedPolicy(recorded)
        if recorded is not None
        else load_policy(
            request.policy,
            request.sampling,
            root / ANSWERS_FOLDER,
            device=request.device,
            download=request.download,
        )
    )
    answered = policy.answer(prompts.prompts, request.n, progress=bench.progress)
    counts = dict(prompts.left_out)
    for reason, count in answered.left_out.items():
        counts[reason] = counts.get(reason, 0) + count
    return replace(answered, left_out=counts), policy.fingerprint


# ------------------------------------------------------------------------------------------------------ who judges


@contextmanager
def _judge(
    bench: Workbench, request: BestOfNRequest, recorded: RecordedAnswers | None
) -> Iterator[tuple[AnswerJudge, NamedModel | None]]:
    """Open the judge, and the reward model that it is, if it is one."""
    name = request.judge or (RECORDED if recorded is not None and recorded.have_preferences else "")
    if not name:
        raise ConfigError(
            "nobody judges the picks: the answers have no recorded preferences",
            expected="a gold reward model that was trained on other pairs",
            remedy="name one with --judge: a model of the workspace, another workspace, a folder or a hub id",
        )
    if name == RECORDED:
        yield RecordedPreferences(), None
        return
    with open_named_model(bench, name, role="judge", download=request.download) as named:
        yield GoldRewards(named.label, named.model), named


def _said_of_judge(judge: NamedModel | None, answered: PolicyAnswers, picking: set[str]) -> list[str]:
    """Say what the judge was trained on of the prompts asked, and of those that the picking models were trained on."""
    if judge is None or judge.trained_on is None:
        return []
    said = judge.prompts_seen([row.prompt_id for row in answered.rows], role="judge")
    if shared := len(judge.trained_on & picking):
        said.append(
            f"The judge {judge.label} is not independent: it learned from pairs of {shared:,} of the "
            f"{len(picking):,} prompts that the models it judges learned from, and shares their mistakes. A model of "
            "another workspace or of the hub (--judge) would be."
        )
    return said


# ---------------------------------------------------------------------------------------------------------- files


def _write(folder: Path, report: BestOfNReport) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with completed_file(folder / RESULTS_FILE) as part:
            part.write_text(json.dumps(asdict(report), ensure_ascii=False, indent=1), encoding="utf-8")
        with completed_file(folder / CURVES_FILE) as part, part.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(_curve_rows(report))
    except OSError as error:
        raise WorkspaceError(
            f"the results cannot be written to {folder}: {error}", remedy="make room on the disk, then run it again"
        ) from error
    return folder


def _write_picks(folder: Path, report: BestOfNReport, answered: PolicyAnswers) -> None:
    folder.mkdir(exist_ok=True)
    prompts = [row.prompt for row in answered.rows]
    texts = [[each.text for each in row.answers] for row in answered.rows]
    write_sheet(
        folder / "one-answer.json", f"{report.policy}, one answer", zip(prompts, (row[0] for row in texts), strict=True)
    )
    for number, (selector, places) in enumerate(report.picks.items(), start=1):
        picked = (row[place] for row, place in zip(texts, places, strict=True))
        name = f"{report.policy}, best of {report.answers} by {selector}"
        write_sheet(folder / f"picked-{number}.json", name, zip(prompts, picked, strict=True))


def _curve_rows(report: BestOfNReport) -> Iterator[list[str | float]]:
    """Yield the columns' names, then a row for each selector and n."""
    figures = ("proxy", "judged", "gain")
    yield [
        "selector",
        "n",
        "kl_bound",
        "root_kl",
        *(f"{each}{end}" for each in figures for end in ("", "_low", "_high")),
    ]
    for curve in report.curves:
        for point in curve.points:
            intervals = (point.proxy, point.judged, point.gain)
            values = [value for each in intervals for value in (each.estimate, each.low, each.high)]
            yield [curve.selector, point.n, point.kl_bound, point.root_kl, *values]
