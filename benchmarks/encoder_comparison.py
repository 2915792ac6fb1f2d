"""Probes on the packaged language model's hidden states beside the packaged encoder's, and both together.

    .venv/bin/python -m benchmarks.encoder_comparison ../shared/data WORK [--sets demo,hh-harmless,alpaca-pairs]
        [--train 400] [--heldout 200] [--seeds 5]

For each set and seed the probes are trained on four fifths of the training prompts, with features chosen by these; the
held-out pairs stay the same. "both" is the mean of the two margins, which are log-odds. Accuracy is the mean over seeds
with a 95% bootstrap interval over prompts; the last column is its paired difference from the packaged encoder's. What
was read is kept in WORK, so that a run that was stopped goes on; the seconds are those of reading 1,000 pairs anew,
measured on as many as are read.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.probe_features import interval, real_sets
from mars_engine.core.config import EncoderConfig, ProbeConfig
from mars_engine.core.progress import PlainProgress, SilentProgress
from mars_engine.core.records import FloatArray, Pair, TrainingSet
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.probe import ProbeTrainer

ENCODERS = ("packaged", "packaged-lm")
SHARE = 0.8


def some(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Return at most so many pairs: those whose ids come first, which are digests of content."""
    return sorted(pairs, key=lambda pair: pair.id)[:most]


def drawn(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return the pairs of four fifths of the prompts."""
    prompts = sorted({pair.prompt_id for pair in pairs})
    order = np.random.default_rng(seed).permutation(len(prompts))
    kept = {prompts[place] for place in order[: round(SHARE * len(prompts))]}
    return [pair for pair in pairs if pair.prompt_id in kept]


def heldout_margins(
    encoder: CachedEncoder, train: Sequence[Pair], held: Sequence[Pair], seeds: int
) -> tuple[FloatArray, list[str], float]:
    """Return held-out margins, shape (seeds, n), the layers that each seed chose, and the seconds of it all."""
    trainer = ProbeTrainer(ProbeConfig(reading="response"), encoder)
    margins, layers, start = [], [], time.perf_counter()
    for seed in range(seeds):
        probe = trainer.train(TrainingSet.plain(drawn(train, seed)), progress=PlainProgress())
        margins.append(probe.score(held, progress=SilentProgress()).margins)
        layers.append("+".join(map(str, probe.features.text.layers)) or "sentence")
    return np.stack(margins), layers, time.perf_counter() - start


def correct(margins: FloatArray) -> FloatArray:
    """Return how often each pair was told right over the seeds, shape (n,)."""
    share: FloatArray = ((margins > 0) + 0.5 * (margins == 0)).mean(axis=0)
    return share


def show(name: str, margins: FloatArray, held: Sequence[Pair], beside: FloatArray | None) -> None:
    own = correct(margins)
    loss = np.logaddexp(0, -margins).mean(axis=1)
    difference = "" if beside is None else f", difference {interval(own - correct(beside), held)}"
    print(
        f"  {name}: accuracy {interval(own, held)}{difference}, log-loss {loss.mean():.3f} "
        f"({loss.min():.3f} to {loss.max():.3f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sets", default="demo,hh-harmless,alpaca-pairs")
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--heldout", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    wanted = options.sets.split(",")
    for each in real_sets(options.data):
        if each.name not in wanted:
            continue
        train, held = some(each.train, options.train), some(each.heldout, options.heldout)
        print(f"\n{each.name}: {len(train)} training pairs, {len(held)} held out, {options.seeds} seeds", flush=True)
        found: dict[str, FloatArray] = {}
        for name in ENCODERS:
            encoder = CachedEncoder(SentenceEncoder(EncoderConfig(name=name)), options.work / name)
            found[name], layers, seconds = heldout_margins(encoder, train, held, options.seeds)
            show(name, found[name], held, found["packaged"] if name != "packaged" else None)
            print(f"    layers {', '.join(layers)}; {1000 * seconds / (len(train) + len(held)):,.0f} s for 1,000 pairs")
        show("both", (found["packaged"] + found["packaged-lm"]) / 2, held, found["packaged"])


if __name__ == "__main__":
    main()
