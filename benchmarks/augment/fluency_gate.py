"""What the fluency gate tells apart: texts with words swapped or dropped, and proposals that were read by hand.

    .venv/bin/python -m benchmarks.augment.fluency_gate WORK [--read passed-hh-harmless.txt]

The texts are 1,000 rewrites of the demo pairs by a large language model (`data/demo-rewrites.jsonl`), drawn
by seed, each as it is and with one in twenty words swapped with the next or dropped; both are compared with the text
that they rewrite, in its place after the prompt, under the packaged language model. Printed are the area under the ROC
curve, damaged against undamaged, with a 95% bootstrap interval over texts, and what each threshold stops. --read takes
the 50 proposals that benchmarks.augment.gates wrote for reading by hand on 2026-11-26. What was measured is kept in
WORK.
"""

import argparse
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mars_engine.augment.generators.causal import CausalFluency
from mars_engine.core.config import CausalConfig
from mars_engine.core.progress import PlainProgress
from mars_engine.core.records import FloatArray, Prompt, Turn
from mars_engine.stats.intervals import wilson_interval
from mars_engine.stats.metrics import auc

DATA = Path(__file__).resolve().parents[2] / "data"
SOURCES = 180
"""Of the demo's first training pairs the rewrites are drawn."""
TEXTS, EVERY, SEED, RESAMPLES = 1_000, 20, 0, 2_000
THRESHOLDS = (0.25, 0.5, 0.75, 1.0, 1.25)
BADLY_WORDED = frozenset({5, 8, 14, 27, 29, 37, 44, 47, 50})
OTHERWISE_REJECTED = frozenset({10, 19, 24, 25, 28, 30, 39, 42})
"""By their number in passed-hh-harmless.txt, as docs/experiments.md lists them."""
FIELD = re.compile(r"^(PROMPT|CHOSEN|REJECTED)('?) {1,3}(.*?)(?=^(?:PROMPT|CHOSEN|REJECTED)'? {1,3}|\Z)", re.M | re.S)


def damaged(text: str, rng: random.Random) -> str:
    """Return a text with one in twenty words, at least one, swapped with the next or dropped."""
    words = text.split(" ")
    for _ in range(max(1, len(words) // EVERY)):
        if len(words) < 3:
            break
        place = rng.randrange(len(words) - 1)
        if rng.random() < 0.5:
            words[place], words[place + 1] = words[place + 1], words[place]
        else:
            del words[place]
    return " ".join(words)


def rewrites() -> list[tuple[str, str, str]]:
    """Return the prompt, the text and its rewrite, for every rewrite of the demo pairs' answers."""
    sources, rows = (read(DATA / name)[:SOURCES] for name in ("demo-train.jsonl", "demo-rewrites.jsonl"))
    found = []
    for source, row in zip(sources, rows, strict=True):
        prompt = source["prompt"][-1]["content"]
        for side, field in (("chosen", "chosen_p"), ("rejected", "rejected_p")):
            found += [(prompt, source[side][-1]["content"], new) for new in row[field]]
        for side in ("rejected", "chosen"):
            found += [(prompt, source[side][-1]["content"], new) for new in row.get(f"{side}_refined", [])]
    return found


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def measure_losses(kept: Path) -> tuple[FloatArray, FloatArray]:
    """Return by how much undamaged and damaged rewrites lie below their sources, in nats a token, shape (n,) each."""
    if not kept.is_file():
        rng = random.Random(SEED)  # noqa: S311 (a draw of examples, no secret)
        rows = rewrites()
        rng.shuffle(rows)
        rows = rows[:TEXTS]
        broken = [damaged(new, rng) for _, _, new in rows]
        figures = fluency().measure(
            [(question(prompt), text) for prompt, text, _ in rows]
            + [(question(prompt), new) for prompt, _, new in rows]
            + [(question(prompt), text) for (prompt, _, _), text in zip(rows, broken, strict=True)]
        )
        source, new, worse = np.split(figures, 3)
        np.savez(kept, s=source, n=new, d=worse)
    figures = np.load(kept)
    return figures["s"] - figures["n"], figures["s"] - figures["d"]


def question(prompt: str) -> Prompt:
    return (Turn("user", prompt),)


def fluency() -> CausalFluency:
    return CausalFluency(CausalConfig(), progress=PlainProgress())


def auc_interval(good: FloatArray, bad: FloatArray) -> str:
    rng = np.random.default_rng(SEED)
    places = rng.integers(len(good), size=(RESAMPLES, len(good)))
    low, high = np.quantile([auc(bad[drawn], good[drawn]) for drawn in places], [0.025, 0.975])
    return f"{auc(bad, good):.3f} [{low:.3f}, {high:.3f}]"


def show_stopped(name: str, losses: FloatArray) -> None:
    said = []
    for threshold in THRESHOLDS:
        stopped = int((losses > threshold).sum())
        interval = wilson_interval(stopped, len(losses))
        said.append(f"{threshold:g}: {stopped}/{len(losses)} ({interval.low:.0%} to {interval.high:.0%})")
    print(f"  {name}, stopped where the loss exceeds {'; '.join(said)}")


def read_by_hand(path: Path) -> tuple[list[int], FloatArray]:
    """Return the numbers of the proposals, and by how much their worst text lies below its source."""
    numbers, texts = [], []
    for block in re.split(r"^##### ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
        fields = {match[1] + match[2]: match[3].strip() for match in FIELD.finditer(block)}
        numbers.append(int(block.split()[0]))
        for name in ("PROMPT", "CHOSEN", "REJECTED"):
            for mark in ("", "'"):
                texts.append((() if name == "PROMPT" else question(fields[f"PROMPT{mark}"]), fields[name + mark]))
    figures = fluency().measure(texts).reshape(-1, 3, 2)
    return numbers, np.nanmax(figures[:, :, 0] - figures[:, :, 1], axis=1)


def show_read(numbers: Sequence[int], losses: FloatArray) -> None:
    places = np.array(numbers)
    bad = np.isin(places, list(BADLY_WORDED))
    good = ~bad & ~np.isin(places, list(OTHERWISE_REJECTED))
    print(f"\nRead by hand: {bad.sum()} wrongly worded or broken, {good.sum()} good")
    show_stopped("wrongly worded or broken", losses[bad])
    show_stopped("good", losses[good])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--read", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    good, bad = measure_losses(options.work / "fluency.npz")
    print(f"{len(good):,} rewrites, damaged against undamaged: AUC {auc_interval(good, bad)}")
    show_stopped("undamaged", good)
    show_stopped("damaged", bad)
    if options.read:
        show_read(*read_by_hand(options.read))


if __name__ == "__main__":
    main()
