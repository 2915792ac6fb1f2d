"""What flipped labels cost a probe, how well out-of-fold margins find them, and what a person's reading wins back.

    .venv/bin/python -m benchmarks.label_flips ../shared/data

For each real set, with the sentence embedding (the last layer) and with what the training pairs choose: flip a quarter
of the training labels, look for them by out-of-fold margins, let a simulated person read the tenth of the pairs with
the lowest ones and set right what was flipped; five seeds.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from mars_engine.core.config import EncoderConfig, MarsConfig, ProbeConfig
from mars_engine.core.progress import PlainProgress, SilentProgress
from mars_engine.core.records import BoolArray, FloatArray, Pair, TrainingSet
from mars_engine.data.loaders import open_source
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.protocols import Encoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.score import draw_folds
from mars_engine.reward_models.triage import judge_labels
from mars_engine.stats.metrics import auc, pairwise_accuracy

SETS = ("hh-harmless", "alpaca-pairs")
READINGS = {
    "sentence embedding": ProbeConfig(layers="sentence", reading="response", l2=0.005),
    "chosen": ProbeConfig(),
}
"""The first is what probes read before they chose."""
SEEDS = 5
FLIPPED_SHARE = 0.25
READ_SHARE = 0.10
CONFIG = MarsConfig()
PROGRESS = SilentProgress()


@dataclass(frozen=True)
class FlipStudy:
    """Means over the seeds; accuracies are on held-out pairs."""

    clean_accuracy: float
    detection_auc: float
    accuracy_lost: float
    accuracy_won_back: float

    @property
    def share_won_back(self) -> float:
        return self.accuracy_won_back / self.accuracy_lost if self.accuracy_lost else float("nan")


def study_flips(
    clean: Sequence[Pair], heldout: Sequence[Pair], encoder: Encoder, probe: ProbeConfig, *, seeds: int = SEEDS
) -> FlipStudy:
    """Flip labels, find them, set some right; see the module's text."""

    def accuracy(pairs: Sequence[Pair]) -> float:
        model = ProbeTrainer(probe, encoder).train(TrainingSet.plain(pairs), progress=PROGRESS)
        return pairwise_accuracy(model.score(heldout, progress=PROGRESS).margins)

    def margins_of(pairs: Sequence[Pair], seed: int) -> FloatArray:
        folds = draw_folds(list(pairs), CONFIG.model_copy(update={"seed": seed}))
        found = ProbeTrainer(probe, encoder).out_of_fold_margins(TrainingSet.plain(pairs), folds, progress=PROGRESS)
        return judge_labels(found, near_zero=CONFIG.triage.near_zero).margin_mean

    best = accuracy(clean)
    aucs, lost, won = [], [], []
    for seed in range(seeds):
        is_flipped = flipped_labels(len(clean), seed=seed)
        noisy = [pair.exchanged if flip else pair for pair, flip in zip(clean, is_flipped, strict=True)]
        margins = margins_of(noisy, seed)
        aucs.append(auc(-margins[is_flipped], -margins[~is_flipped]))
        read = set(np.argsort(margins)[: int(READ_SHARE * len(clean))].tolist())
        repaired = [clean[index] if index in read else pair for index, pair in enumerate(noisy)]
        worse = accuracy(noisy)
        lost.append(best - worse)
        won.append(accuracy(repaired) - worse)
    return FlipStudy(best, float(np.mean(aucs)), float(np.mean(lost)), float(np.mean(won)))


def flipped_labels(count: int, *, seed: int) -> BoolArray:
    """Return which labels are flipped, shape (count,)."""
    drawn = np.random.default_rng(seed).permutation(count)[: int(FLIPPED_SHARE * count)]
    return np.isin(np.arange(count), drawn)


def load_pairs(path: Path) -> list[Pair]:
    """Return the file's pairs, each once."""
    pairs = [pair for row in open_source(str(path)).rows() for pair in row.pairs]
    return list({pair.id: pair for pair in pairs}.values())


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Print a table over both sets and both readings."""
    with tempfile.TemporaryDirectory() as cache:
        encoder = CachedEncoder(SentenceEncoder(EncoderConfig()), Path(cache))
        print(f"{'set':14} {'reads':>20} {'accuracy':>9} {'AUC':>6} {'lost':>7} {'won back':>9} {'share':>6}")
        for name in SETS:
            clean, heldout = (load_pairs(folder / f"{name}-{part}.jsonl.gz") for part in ("train", "test"))
            ProbeTrainer(CONFIG.probe, encoder).train(TrainingSet.plain([*clean, *heldout]), progress=PlainProgress())
            for reading, config in READINGS.items():
                study = study_flips(clean, heldout, encoder, config)
                print(
                    f"{name:14} {reading:>20} {study.clean_accuracy:9.3f} {study.detection_auc:6.3f} "
                    f"{study.accuracy_lost:7.4f} {study.accuracy_won_back:9.4f} {study.share_won_back:6.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
