"""Who should decide about suspected labels: the out-of-fold margin, a judge, or both where they agree?

    .venv/bin/python -m benchmarks.label_judges ../shared/data WORK [--seconds S] [--packaged 60]

A tenth, a quarter and two fifths of the training labels of both real sets are flipped by seed. A scripted judge gives
its opinion on every pair and is right with a known probability, its errors drawn by seed without a look at the pair.
Each policy flips what it takes for wrong. Told are the flips that it set right, the good labels that it spoilt, and the
held-out accuracy of the probe fitted on what it left; five seeds. WORK keeps each cell (a set, a share, a seed) that is
finished. With --seconds no cell begins after that time, and the next run goes on from there; the tables come once all
cells are there. With --packaged the packaged language model is tried as a judge on demo pairs, and nothing else.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.label_flips import load_pairs
from mars_engine.augment.generators.causal.ranking import CausalFluency
from mars_engine.core.config import EncoderConfig, MarginRule, MarsConfig
from mars_engine.core.judge_records import LabelVerdict, Preference
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import BoolArray, FloatArray, Pair, TrainingSet
from mars_engine.core.shipped import shipped
from mars_engine.core.whole_file import completed_file
from mars_engine.curate.judging.judges import AskedJudge, LikelihoodJudge
from mars_engine.curate.judging.verdicts import (
    LabelSays,
    agreed_decision,
    label_by_margin,
    label_by_verdict,
    merge_orders,
)
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.protocols import Encoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.score import draw_folds
from mars_engine.reward_models.triage import TriageJudgement, judge_labels
from mars_engine.stats.metrics import pairwise_accuracy

SETS = ("alpaca-pairs", "hh-harmless")
SHARES = (0.10, 0.25, 0.40)
JUDGES = (0.7, 0.9)
SEEDS = 5
RULES: tuple[MarginRule, ...] = ("suspected", "negative")
RULE_WORDS: Mapping[MarginRule, str] = {"suspected": "suspected", "negative": "margin < 0"}
CONFIG = MarsConfig()
SILENT = SilentProgress()
NOTHING, CLEAN = "nothing", "all labels right"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a policy under one seed."""

    set_right: int
    """Flipped labels that it flipped back."""
    spoilt: int
    """Good labels that it flipped."""
    accuracy: float
    """Of the probe, held out."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One set with one share of flips under one seed."""

    name: str
    share: float
    seed: int

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.share:.2f}-{self.seed}.json"


def policies(triage: TriageJudgement, is_flipped: BoolArray, seed: int) -> dict[str, BoolArray]:
    """Return which labels each policy flips, shape (n,)."""
    count = len(is_flipped)
    margins = {rule: _margins_say(triage, rule) for rule in RULES}
    flips: dict[str, BoolArray] = {NOTHING: np.zeros(count, dtype=bool)}
    for rule in RULES:
        flips[f"margin alone: {RULE_WORDS[rule]}"] = np.array([says == "wrong" for says in margins[rule]])
    for accuracy in JUDGES:
        verdicts = scripted_verdicts(is_flipped, accuracy, seed)
        says = [label_by_verdict(verdict) for verdict in verdicts]
        flips[f"judge {accuracy} alone"] = np.array([each == "wrong" for each in says])
        for rule in RULES:
            decided = [agreed_decision(*both) for both in zip(says, margins[rule], strict=True)]
            flips[f"judge {accuracy} and {RULE_WORDS[rule]}"] = np.array([each == "flip" for each in decided])
    return flips | {CLEAN: is_flipped}


def _margins_say(triage: TriageJudgement, rule: MarginRule) -> list[LabelSays | None]:
    return [
        label_by_margin(verdict, margin, rule=rule)
        for verdict, margin in zip(triage.verdicts, triage.margin_mean.tolist(), strict=True)
    ]


def scripted_verdicts(is_flipped: BoolArray, accuracy: float, seed: int) -> list[LabelVerdict]:
    """Return what a judge says that is right with a probability, whatever the pair."""
    is_right = np.random.default_rng([seed, round(100 * accuracy)]).random(len(is_flipped)) < accuracy
    return ["rejected" if flipped == right else "chosen" for flipped, right in zip(is_flipped, is_right, strict=True)]


def flip_share(count: int, share: float, seed: int) -> BoolArray:
    """Return which labels are flipped, shape (count,)."""
    drawn = np.random.default_rng([seed, round(100 * share)]).permutation(count)[: round(share * count)]
    return np.isin(np.arange(count), drawn)


def run_cell(cell: Cell, clean: Sequence[Pair], heldout: Sequence[Pair], encoder: Encoder) -> dict[str, Outcome]:
    """Flip labels, triage, let each policy decide, and fit a probe on what each leaves.

    The probe's features are chosen by the noisy pairs, and stand for all fits of the cell, as in a workspace.
    """
    is_flipped = flip_share(len(clean), cell.share, cell.seed)
    noisy = [pair.exchanged if flip else pair for pair, flip in zip(clean, is_flipped, strict=True)]
    trainer, examples = ProbeTrainer(CONFIG.probe, encoder), TrainingSet.plain(noisy)
    trainer.prepare(examples, progress=SILENT)
    folds = draw_folds(noisy, CONFIG.model_copy(update={"seed": cell.seed}))
    margins = trainer.out_of_fold_margins(examples, folds, progress=SILENT)
    triage = judge_labels(margins, near_zero=CONFIG.triage.near_zero)
    differences = trainer.feature_differences(noisy, progress=SILENT)
    held_out = trainer.feature_differences(heldout, progress=SILENT)

    def accuracy(flips: BoolArray) -> float:
        weights = trainer.fit(differences, np.ones(len(noisy)), np.where(flips, 0.0, 1.0))
        return pairwise_accuracy(held_out @ weights)

    return {
        policy: Outcome(int((flips & is_flipped).sum()), int((flips & ~is_flipped).sum()), accuracy(flips))
        for policy, flips in policies(triage, is_flipped, cell.seed).items()
    }


# -------------------------------------------------------------------------------------------------------------- tables


def print_tables(found: Mapping[Cell, Mapping[str, Outcome]], sizes: Mapping[str, int]) -> None:
    """Print a table for each set: means over the seeds, accuracy with its interval over seeds."""
    for name in dict.fromkeys(cell.name for cell in found):
        print(f"\n{name}, {sizes[name]:,} training pairs\n")
        print("| flipped | policy | set right | spoilt | wrong labels left | held-out accuracy | against nothing |")
        print("|---|---|---|---|---|---|---|")
        for share in SHARES:
            cells = [found[Cell(name, share, seed)] for seed in range(SEEDS)]
            flipped = round(share * sizes[name])
            for place, policy in enumerate(cells[0]):
                print(_row(f"{share:.0%}, {flipped:,}" if place == 0 else "", policy, flipped, cells))


def _row(first: str, policy: str, flipped: int, cells: Sequence[Mapping[str, Outcome]]) -> str:
    outcomes = [cell[policy] for cell in cells]
    right, spoilt = (float(np.mean([getattr(each, name) for each in outcomes])) for name in ("set_right", "spoilt"))
    accuracy = np.array([each.accuracy for each in outcomes])
    gained = 100 * (accuracy - np.array([cell[NOTHING].accuracy for cell in cells]))
    against = "" if policy == NOTHING else _interval(gained)
    return (
        f"| {first} | {policy} | {right:.0f} | {spoilt:.0f} | {flipped - right + spoilt:.0f} | "
        f"{accuracy.mean():.3f} ± {accuracy.std(ddof=1):.3f} | {against} |"
    )


def _interval(values: FloatArray) -> str:
    """Return a mean with its 95% interval by Student's t over the seeds, in points."""
    mean = float(values.mean())
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})".replace("-", "−")


# ----------------------------------------------------------------------------------------------------------------- run


def run(data: Path, work: Path, seconds: float, sets: Sequence[str] = SETS) -> None:
    """Run the cells that are not there yet, as far as the time goes; then print."""
    cells = [Cell(name, share, seed) for name in sets for share in SHARES for seed in range(SEEDS)]
    kept = work / "cells"
    kept.mkdir(parents=True, exist_ok=True)
    encoder = CachedEncoder(SentenceEncoder(EncoderConfig()), work / "embeddings")
    pairs = {name: tuple(load_pairs(data / f"{name}-{part}.jsonl.gz") for part in ("train", "test")) for name in sets}
    end = time.monotonic() + seconds
    for cell in cells:
        if (kept / cell.file_name).exists():
            continue
        if time.monotonic() > end:
            break
        begun = time.monotonic()
        clean, heldout = pairs[cell.name]
        outcomes = run_cell(cell, clean, heldout, encoder)
        with completed_file(kept / cell.file_name) as part:
            part.write_text(json.dumps({policy: asdict(each) for policy, each in outcomes.items()}), encoding="utf-8")
        print(f"{cell.file_name}: {time.monotonic() - begun:.1f} s", flush=True)
    missing = [cell for cell in cells if not (kept / cell.file_name).exists()]
    if missing:
        print(f"{len(missing)} of {len(cells)} cells are still to run: give the same command again")
        return
    found = {cell: _read_cell(kept / cell.file_name) for cell in cells}
    print_tables(found, {name: len(pairs[name][0]) for name in sets})


def _read_cell(path: Path) -> dict[str, Outcome]:
    plain = json.loads(path.read_text(encoding="utf-8"))
    return {policy: Outcome(**each) for policy, each in plain.items()}


# -------------------------------------------------------------------------------------------------------- the packaged


def try_packaged(work: Path, count: int, seconds: float) -> None:
    """Ask the packaged language model, by the likelihood of A and B, about the first demo pairs; print what it says.

    The file says which of them are mislabelled on purpose; an import does not read that. What was said is kept in WORK.
    """
    path, kept = shipped("data") / "demo-train.jsonl", work / "packaged.json"
    pairs = load_pairs(path)[:count]
    wrong = [bool(json.loads(line).get("mislabelled")) for line in path.read_text(encoding="utf-8").splitlines()]
    said: dict[str, tuple[Preference, Preference]] = (
        json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    )
    judge = AskedJudge("packaged", LikelihoodJudge(CausalFluency(CONFIG.causal, progress=SILENT)))
    end = time.monotonic() + seconds
    for pair in pairs:
        if pair.id not in said and time.monotonic() < end:
            (one,) = judge.judge([pair])
            said[pair.id] = one.chosen_first, one.rejected_first
            with completed_file(kept) as part:
                part.write_text(json.dumps(said), encoding="utf-8")
    both = [said[pair.id] for pair in pairs if pair.id in said]
    verdicts = [merge_orders(*orders) for orders in both]
    print(f"{len(both)} of {len(pairs)} pairs judged, {sum(wrong[: len(both)])} of them mislabelled")
    print(", ".join(f"{verdict}: {number}" for verdict, number in Counter(verdicts).items()))
    print(
        f"prefers the answer shown first in both orders: {sum(tuple(each) == ('chosen', 'rejected') for each in both)}"
    )
    told = [(label_by_verdict(verdict), flipped) for verdict, flipped in zip(verdicts, wrong, strict=False)]
    right = [(says == "wrong") == flipped for says, flipped in told if says is not None]
    print(f"says something of {len(right)} labels, and is right about {sum(right)}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_judges")
    parser.add_argument("data", type=Path, help=f"the folder of {', '.join(SETS)}")
    parser.add_argument("work", type=Path, help="keeps embeddings and finished cells")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no cell after so many")
    parser.add_argument("--set", action="append", choices=SETS, help="run and print this set alone")
    parser.add_argument("--packaged", type=int, default=0, help="try the packaged language model on so many demo pairs")
    arguments = parser.parse_args()
    if arguments.packaged:
        try_packaged(arguments.work, arguments.packaged, arguments.seconds)
        return
    run(arguments.data, arguments.work, arguments.seconds, arguments.set or SETS)


if __name__ == "__main__":
    main()
