"""Whether a probe ranks better when its rewards are averaged over paraphrases of the answers at test time.

    .venv/bin/python -m benchmarks.averaged_margins ../shared/data WORK

For the demo pairs, HH-harmless and the alpaca pairs, with labels as they are and with a quarter flipped: a probe is
trained, each held-out answer is paraphrased twice by the packaged rule-based writer, and the reward of an answer is
that of its text alone, or the mean with its paraphrases. Printed are the differences in held-out accuracy and in
log-loss, the latter also where each has the scale that is best for it, with 95% bootstrap intervals over prompts. What
was read is kept in WORK.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.advisor import rule_variants
from benchmarks.probe_features import RealSet, interval, real_sets
from mars_engine.core.config import EncoderConfig, ProbeConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import FloatArray, Pair, TrainingSet
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.stats.metrics import correctness, log_losses, log_losses_at_best_scale

PROGRESS = SilentProgress()
FLIPPED = (0.0, 0.25)


def averaged_margins(probe: Probe, pairs: Sequence[Pair]) -> FloatArray:
    """Return each pair's margin between the mean rewards of its answers and their paraphrases, shape (n,)."""
    texts = [
        ([pair.chosen, *chosen], [pair.rejected, *rejected])
        for pair, (chosen, rejected) in zip(pairs, rule_variants(pairs), strict=True)
    ]
    rows = [
        Pair.of(pair.prompt, better[min(turn, len(better) - 1)], worse[min(turn, len(worse) - 1)])
        for pair, (better, worse) in zip(pairs, texts, strict=True)
        for turn in range(max(len(better), len(worse)))
    ]
    rewards = probe.score(rows, progress=PROGRESS)
    means, place = [], 0
    for better, worse in texts:
        turns = max(len(better), len(worse))
        own = slice(place, place + turns)
        means.append(rewards.chosen[own][: len(better)].mean() - rewards.rejected[own][: len(worse)].mean())
        place += turns
    return np.array(means)


def compare(each: RealSet, flipped: float, encoder: CachedEncoder) -> str:
    """Return a line of the table: what averaging changes on the held-out pairs of a set."""
    wrong = np.random.default_rng(0).random(len(each.train)) < flipped
    shown = [pair.exchanged if flip else pair for pair, flip in zip(each.train, wrong, strict=True)]
    probe = ProbeTrainer(ProbeConfig(), encoder).train(TrainingSet.plain(shown), progress=PROGRESS)
    alone, averaged = probe.score(each.heldout, progress=PROGRESS).margins, averaged_margins(probe, each.heldout)
    prompts = np.unique([pair.prompt_id for pair in each.heldout], return_inverse=True)[1]
    scaled = log_losses_at_best_scale(averaged, prompts) - log_losses_at_best_scale(alone, prompts)
    return (
        f"| {each.name} | {flipped:.0%} | {interval(correctness(alone), each.heldout)} "
        f"| {interval(correctness(averaged) - correctness(alone), each.heldout)} "
        f"| {interval(log_losses(averaged) - log_losses(alone), each.heldout)} | {interval(scaled, each.heldout)} |"
    )


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("work", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path, work: Path) -> None:
    encoder = CachedEncoder(SentenceEncoder(EncoderConfig()), work)
    click.echo("| set | flipped | accuracy alone | averaged less alone | log-loss | log-loss at the best scales |")
    for each in real_sets(folder):
        for flipped in FLIPPED:
            click.echo(compare(each, flipped, encoder))


if __name__ == "__main__":
    main()
