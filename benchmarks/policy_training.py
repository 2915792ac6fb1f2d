"""Train the packaged language model against a probe on the demo pairs, and provoke a policy that games length.

    .venv/bin/python -m benchmarks.policy_training ../shared/data WORK [--run dpo] [--run rloo] [--run length]

The prompts are those of the demo's held-out pairs. The gold reward is a probe on the alpaca pairs and HH-harmless,
which share none of them. Under "length" the reward is a probe to which the longer answer of each demo pair was the
better one; the prompts ask for one short sentence, so that there is room to grow, and the probe on the demo pairs is
gold. Prints reward, gold reward, KL and words of the watched answers at each look, with intervals over prompts, what
alarms said, and five answers before and after. What is finished is kept in WORK: started again, the command goes on.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import mars_engine as mars
from benchmarks.label_flips import load_pairs
from mars_engine.align.training.facts import TrainedPolicy
from mars_engine.align.training.guards import Look, describe_texts
from mars_engine.align.training.looks import load_looks
from mars_engine.core.records import FloatArray, Pair
from mars_engine.stats.intervals import bootstrap_mean
from mars_engine.workspace.workspace import CONFIG_FILE

TRAIN, HELDOUT = (Path(__file__).parent.parent / "data" / name for name in ("demo-train.jsonl", "demo-test.jsonl"))
GOLD_SETS = ("alpaca-pairs-train.jsonl.gz", "hh-harmless-train.jsonl.gz")
BRIEFLY = " Answer in one short sentence."
SHOWN = 5
COMMON: dict[str, Any] = {
    "policy": "packaged-lm",
    "micro_batch": 16,
    "max_prompt_tokens": 128,
    "watched_prompts": 24,
    "watch_every": 6,
    "checkpoint_every": 6,
    "lora_dropout": 0.0,
}
RUNS: dict[str, dict[str, Any]] = {
    "dpo": {
        "method": "dpo",
        "steps": 24,
        "prompts_per_step": 4,
        "completions": 4,
        "max_new_tokens": 48,
        "learning_rate": 5e-4,
        "kl_weight": 0.1,
    },
    "rloo": {
        "method": "rloo",
        "steps": 24,
        "prompts_per_step": 4,
        "completions": 4,
        "max_new_tokens": 48,
        "learning_rate": 5e-4,
        "kl_weight": 0.02,
    },
    "length": {
        "method": "rloo",
        "steps": 24,
        "prompts_per_step": 4,
        "completions": 4,
        "max_new_tokens": 80,
        "learning_rate": 1e-3,
        "kl_weight": 0.0,
    },
}


def open_reward(folder: Path, files: Sequence[Path], heldout: Path | None = None) -> mars.Workspace:
    """Open a workspace with a probe on the files' pairs; it is made where there is none."""
    workspace = mars.open(folder) if (folder / CONFIG_FILE).is_file() else mars.create(folder)
    for file in files:
        workspace.import_pairs(file)
    if heldout:
        workspace.import_pairs(heldout, split="heldout")
    workspace.train(warm_up=True)
    workspace.score()
    return workspace


def write_rows(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def longer_wins(pair: Pair) -> dict[str, str]:
    shorter, longer = sorted((pair.chosen, pair.rejected), key=len)
    return {"prompt": pair.prompt[-1].content, "chosen": longer, "rejected": shorter}


def train(name: str, data: Path, work: Path) -> tuple[TrainedPolicy, float]:
    """Train one of the policies; return it with the seconds that it took when it was trained."""
    demo = open_reward(work / "demo", [TRAIN], HELDOUT)
    settings = {"align": COMMON | RUNS[name]}
    seconds = work / f"{name}-seconds.json"
    if name == "length":
        longer = write_rows(work / "longer.jsonl", map(longer_wins, load_pairs(TRAIN)))
        asked = dict.fromkeys(pair.prompt[-1].content + BRIEFLY for pair in load_pairs(HELDOUT))
        prompts = write_rows(work / "brief-prompts.jsonl", ({"prompt": prompt} for prompt in asked))
        reward, gold = open_reward(work / "longer", [longer]), work / "demo"
    else:
        reward, gold, prompts = demo, work / "gold", None
        open_reward(gold, [data / file for file in GOLD_SETS])
    began = time.monotonic()
    trained = reward.align(settings=settings, gold=(str(gold),), prompts=str(prompts or ""))
    if not seconds.is_file():
        seconds.write_text(json.dumps(time.monotonic() - began), encoding="utf-8")
    return trained, float(json.loads(seconds.read_text(encoding="utf-8")))


# ------------------------------------------------------------------------------------------------------------- figures


def said(values: FloatArray, *, signed: bool = False) -> str:
    found = bootstrap_mean(values, rng=np.random.default_rng(0), resamples=2_000)
    sign = "+" if signed else ""
    return f"{found.estimate:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def show(name: str, trained: TrainedPolicy, seconds: float) -> None:
    looks = load_looks(trained.folder)
    first, last = looks[0], looks[-1]
    facts = trained.facts
    print(f"\n## {name}: {facts.steps} steps in {seconds / 60:.1f} minutes, {facts.watched} watched prompts\n")
    print("| step | reward | gold reward | KL, nats | words |\n|---|---|---|---|---|")
    for look in looks:
        print(f"| {look.step} | {said(look.rewards)} | {_gold(look)} | {said(look.kl)} | {words(look).mean():.1f} |")
    print(f"\nreward after less before: {said(last.rewards - first.rewards, signed=True)}")
    if first.gold is not None and last.gold is not None:
        print(f"gold reward after less before: {said(last.gold - first.gold, signed=True)}")
    print(f"gold peak at step {facts.gold_peak_step}")
    for sentence in facts.alarms:
        print(f"alarm: {sentence}")
    for before, after in list(zip(first.texts, last.texts, strict=True))[:SHOWN]:
        print(f"\n- before: {before!r}\n  after:  {after!r}")


def _gold(look: Look) -> str:
    return "–" if look.gold is None else said(look.gold)


def words(look: Look) -> FloatArray:
    return describe_texts(look.texts).words


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("work", type=click.Path(file_okay=False, path_type=Path))
@click.option("--run", "runs", multiple=True, type=click.Choice(list(RUNS)), help="Which. [default: all]")
def main(data: Path, work: Path, runs: tuple[str, ...]) -> None:
    work.mkdir(parents=True, exist_ok=True)
    for name in runs or RUNS:
        show(name, *train(name, data, work))


if __name__ == "__main__":
    main()
