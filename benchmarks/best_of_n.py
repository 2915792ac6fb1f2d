"""Best-of-8 among eight models' answers: by a probe, by length, by the oracle; and by heads of several methods.

    .venv/bin/python -m benchmarks.best_of_n ../shared/data WORK [--seeds 10] [--first-seed 0] [--table]

The answers have recorded preferences, which judge the picks. The probe is trained on the alpaca pairs whose prompts are
not among those answered. The methods (none, uniform, West-of-N, MARS, MARS with triage) are trained on the same draws
of base pairs for equally many optimizer steps; each is a linear head on the encoder's lower layers. What is finished is
kept in WORK: interrupted and started again, the command goes on. With --table it computes nothing more and prints.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.label_flips import load_pairs
from mars_engine.align.answers import AnsweredPrompt, load_recorded_answers
from mars_engine.align.best_of_estimator import best_of, doubling_sizes, kl_bound
from mars_engine.align.best_of_n import RecordedPreferences, SelectionCurve, best_of_n, rewards_of
from mars_engine.align.policies import PolicyAnswers, RecordedPolicy
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import (
    AllocationConfig,
    EncoderConfig,
    EvaluateConfig,
    ProbeConfig,
    ProposeConfig,
    TriageConfig,
)
from mars_engine.core.progress import PlainProgress, SilentProgress
from mars_engine.core.records import FloatArray, Pair, TrainingSet
from mars_engine.core.whole_file import completed_file
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.experiments.draws import DatasetPairs, draw_pairs
from mars_engine.experiments.files import WorkspaceExperiment
from mars_engine.experiments.methods import Laboratory
from mars_engine.experiments.plan import DatasetPlan, ExperimentPlan, Method, TrainingSettings
from mars_engine.reward_models.kept_choice import FileKeeper
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.stats.crossed_bootstrap import crossed_mean, spread_over_seeds
from mars_engine.stats.intervals import Interval, paired_difference
from mars_engine.workspace.workspace import ARTIFACTS, CONFIG_FILE, create_workspace, find_workspace, open_workbench

SILENT = SilentProgress()
EVALUATE = EvaluateConfig()
ANSWERS = 8
BASE_PAIRS = 50
"""Few, since their answers are long, and sharpening their contrast embeds many tries."""
ENCODER = EncoderConfig(max_tokens=128)
DATASET = DatasetPlan(
    name="alpaca-pairs", paths=("alpaca-pairs-train.jsonl.gz",), base_pairs=BASE_PAIRS, heldout_pairs=2
)
PLAN = ExperimentPlan(
    name="best of n",
    datasets=(DATASET,),
    encoder=ENCODER,
    probe=ProbeConfig(reading="response", layers="2,4", l2=0.003),
    allocation=AllocationConfig(budget_per_pair=1.0, tau=0.5, scale="standard"),
    propose=ProposeConfig(variants=3),
    training=TrainingSettings(epochs=20),
)
"""The settings of benchmarks/plans/baselines.toml, but for more epochs of fewer pairs, and what the heads read: fixed
to what the probe on all pairs chooses, so that draws differ in their pairs alone, and each answer is read once."""
ARMS: dict[str, tuple[Method, bool]] = {
    "none": ("none", False),
    "uniform": ("uniform", False),
    "West-of-N": ("west_of_n", False),
    "MARS": ("mars_signed", False),
    "MARS with triage": ("mars_signed", True),
}
"""Methods, and whether suspected mislabels are left out."""


@dataclass(frozen=True)
class Data:
    """The answers, and the training pairs of other prompts."""

    rows: tuple[AnsweredPrompt, ...]
    judged: FloatArray
    pairs: list[Pair]
    all_pairs: int

    @property
    def summary(self) -> str:
        prompts = len({pair.prompt_id for pair in self.pairs})
        return (
            f"{len(self.rows)} prompts with {ANSWERS} answers; of {self.all_pairs:,} training pairs "
            f"{self.all_pairs - len(self.pairs):,} share a prompt with them and are left out, {len(self.pairs):,} of "
            f"{prompts} prompts remain"
        )


def load_data(folder: Path) -> Data:
    recorded = load_recorded_answers(str(folder / "alpaca-candidates.jsonl.gz"))
    answered = RecordedPolicy(recorded).answer([row.prompt for row in recorded.rows], ANSWERS, progress=SILENT)
    asked = {row.prompt_id for row in answered.rows}
    pairs = load_pairs(folder / "alpaca-pairs-train.jsonl.gz")
    judged = RecordedPreferences().judge(answered.rows, progress=SILENT)
    return Data(answered.rows, judged, [pair for pair in pairs if pair.prompt_id not in asked], len(pairs))


# ---------------------------------------------------------------------------------------------- one probe on all pairs


def show_probe(data: Data, work: Path) -> None:
    """Train one probe on all the remaining pairs, and print its curve beside the longest answer and the oracle."""
    encoder = CachedEncoder(SentenceEncoder(ENCODER), work / "workspace" / ARTIFACTS / "embeddings")
    trainer = ProbeTrainer(ProbeConfig(), encoder, FileKeeper(work / "probe-features.json"))
    probe = trainer.train(TrainingSet.plain(data.pairs), progress=PlainProgress())
    report = best_of_n(
        PolicyAnswers("recorded answers", data.rows, {}),
        {"probe": probe},
        RecordedPreferences(),
        config=EVALUATE,
        progress=PlainProgress(),
    )
    print(f"a random answer: {said(report.random)}\n")
    print("| selector | n | √KL at most | proxy reward above the mean | judged | above random |")
    print("|---|---|---|---|---|---|")
    for curve in report.curves:
        show_curve(curve)
    for remark in report.remarks:
        print(remark)
    rewards = rewards_of(probe, data.rows, name="probe", progress=SILENT)
    lengths = np.array([[float(len(answer.text)) for answer in row.answers] for row in data.rows])
    picked, longest = (best_of(each, data.judged, ANSWERS) for each in (rewards, lengths))
    difference = paired_difference(picked, longest, rng=np.random.default_rng(0), resamples=EVALUATE.resamples)
    print(f"the probe less the longest, n = {ANSWERS}: {said(difference, signed=True)}")
    mean_lengths = [best_of(each, lengths, ANSWERS).mean() for each in (rewards, lengths, data.judged)]
    print(
        f"characters: a random answer {lengths.mean():,.0f}, the picks of the probe, of length and of the oracle "
        f"{', '.join(f'{length:,.0f}' for length in mean_lengths)}"
    )


def show_curve(curve: SelectionCurve) -> None:
    for point in curve.points:
        figures = [f"{point.root_kl:.2f}", f"{point.proxy.estimate:.3f}", said(point.judged)]
        print(f"| {curve.selector} | {point.n} | {' | '.join(figures)} | {said(point.gain, signed=True)} |")


def said(value: Interval, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{value.estimate:{sign}.3f} [{value.low:{sign}.3f}, {value.high:{sign}.3f}]"


# ------------------------------------------------------------------------------------------------- methods and seeds


@dataclass(frozen=True)
class Cells:
    """The rewards that each method's head gives under each seed, a file each."""

    folder: Path

    def load(self) -> dict[tuple[int, str], dict[str, Any]]:
        cells = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob("*.json"))]
        return {(cell["seed"], cell["arm"]): cell for cell in cells}

    def add(self, cell: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with completed_file(self.folder / f"{cell['seed']} {cell['arm']}.json") as part:
            part.write_text(json.dumps(cell), encoding="utf-8")


@contextmanager
def workspace_bench(work: Path) -> Iterator[Workbench]:
    root = work / "workspace"
    if not (root / CONFIG_FILE).is_file():
        create_workspace(root)
    with open_workbench(find_workspace(root), SILENT) as bench:
        yield bench


def compute_cells(data: Data, work: Path, seeds: Sequence[int], cells: Cells) -> None:
    """Train the heads that are missing, seed by seed."""
    with workspace_bench(work) as bench:
        for seed in seeds:
            missing = [arm for arm in ARMS if (seed, arm) not in cells.load()]
            if missing:
                compute_seed(data, work / "workspace", bench, seed, missing, cells)


def compute_seed(data: Data, root: Path, bench: Workbench, seed: int, missing: Sequence[str], cells: Cells) -> None:
    """Train and keep the missing heads of one draw of base pairs."""
    draw = draw_pairs(DatasetPairs(data.pairs), DATASET, seed)
    labs = {}
    for with_triage in (False, True):
        plan = PLAN.model_copy(update={"triage": TriageConfig(policy="leave_out" if with_triage else "keep")})
        tools = WorkspaceExperiment(root, plan, {DATASET.name: DatasetPairs(data.pairs)}, bench).tools()
        labs[with_triage] = Laboratory(f"{seed} {with_triage}", plan, draw, tools)
    with labs[False], labs[True]:
        steps = labs[False].mars_steps
        for arm in missing:
            method, with_triage = ARMS[arm]
            lab = labs[with_triage]
            rows = lab.training_rows(method)
            head = lab.tools.stepwise.fit(
                rows.differences, rows.weights, rows.label_confidence, steps=steps, rng=np.random.default_rng(seed)
            )
            rewards = head_rewards(lab, head, data.rows)
            figures = {"training_pairs": len(rows), "new_pairs": rows.new_pairs, "steps": steps}
            cells.add({"seed": seed, "arm": arm, **figures, "rewards": rewards.round(6).tolist()})
            gain = float((best_of(rewards, data.judged, ANSWERS) - data.judged.mean(axis=1)).mean())
            print(f"seed {seed}, {arm}: {figures}, best of {ANSWERS} {gain:+.4f} above random", flush=True)
        for lab in labs.values():
            lab.discard()


def head_rewards(lab: Laboratory, head: FloatArray, rows: Sequence[AnsweredPrompt]) -> FloatArray:
    """Return the rewards of a linear head, shape (prompts, answers), each prompt's first answer at 0."""
    pairs = [Pair.of(row.prompt, answer.text, row.answers[0].text) for row in rows for answer in row.answers[1:]]
    margins = (lab.linear.feature_differences(pairs, progress=SILENT) @ head).reshape(len(rows), -1)
    return np.asarray(np.hstack([np.zeros((len(rows), 1)), margins]), dtype=np.float64)


def show_methods(data: Data, cells: Cells) -> None:
    """Print what each method's picks are worth over n, over the seeds under which all methods are finished."""
    found = cells.load()
    seeds = sorted({seed for seed, _ in found if all((seed, arm) in found for arm in ARMS)})
    if not seeds:
        print("no seed is finished for all methods")
        return
    sizes = doubling_sizes(ANSWERS)
    rewards = {arm: [np.array(found[seed, arm]["rewards"]) for seed in seeds] for arm in ARMS}
    worth = {
        (arm, n): np.array([best_of(each, data.judged, n) for each in rewards[arm]]) for arm in ARMS for n in sizes
    }
    at_random = data.judged.mean(axis=1)
    print(f"{len(seeds)} seeds, {BASE_PAIRS} base pairs each; gains above a random answer, judged by preference\n")
    print(f"| method | {' | '.join(f'n = {n}' for n in sizes)} | sd over seeds | less none | less uniform | pairs |")
    print(f"|---|{'---|' * len(sizes)}---|---|---|---|")
    for arm in ARMS:
        gains = [crossed(worth[arm, n] - at_random) for n in sizes]
        spread = spread_over_seeds((worth[arm, ANSWERS] - at_random).mean(axis=1))
        against = [
            "–" if arm == other else said(crossed(worth[arm, ANSWERS] - worth[other, ANSWERS]), signed=True)
            for other in ("none", "uniform")
        ]
        pairs = np.mean([found[seed, arm]["training_pairs"] for seed in seeds])
        curve = " | ".join(said(gain, signed=True) if gain.estimate else "0" for gain in gains)
        print(f"| {arm} | {curve} | {spread.deviation:.3f} | {' | '.join(against)} | {pairs:.0f} |")
    print(f"√KL at most: {', '.join(f'{np.sqrt(kl_bound(n)):.2f}' for n in sizes)}")


def crossed(values: FloatArray) -> Interval:
    """Return the mean of values of shape (seeds, prompts) with an interval over seeds and prompts."""
    seeds, prompts = np.indices(values.shape)
    return crossed_mean(
        values.ravel(), seeds.ravel(), prompts.ravel(), rng=np.random.default_rng(0), resamples=EVALUATE.resamples
    )


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("work", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--first-seed", type=click.IntRange(0), default=0, help="To share the seeds among several processes.")
@click.option("--table", is_flag=True, help="Compute nothing more of the methods: print what is finished.")
def main(folder: Path, work: Path, seeds: int, first_seed: int, table: bool) -> None:
    work.mkdir(parents=True, exist_ok=True)
    data, cells = load_data(folder), Cells(work / "heads")
    print(data.summary, flush=True)
    if not table:
        compute_cells(data, work, range(first_seed, first_seed + seeds), cells)
    show_methods(data, cells)
    show_probe(data, work)


if __name__ == "__main__":
    main()
