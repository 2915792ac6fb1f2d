"""What a probe gains by reading lower layers, what choosing them costs, and where the budget goes: on real pairs.

    .venv/bin/python -m benchmarks.probe_features ../shared/data WORK [--splits 10] [--seeds 5]

For the demo pairs, the alpaca pairs and HH-harmless, with the sentence embedding (the last layer) and with the features
that the training pairs choose: held-out accuracy and log-loss with intervals; the choice against the best candidate on
splits drawn anew; flipped labels found, lost and won back; the share of the budget that signed allocation gives to
wrong labels, with and without triage; seconds for 1,000 texts against the sentence embedding alone. What was read is
kept in WORK.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.label_flips import READINGS, flipped_labels, load_pairs, study_flips
from mars_engine.augment.plan import spend
from mars_engine.core.config import EncoderConfig, MarsConfig, ProbeConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import BoolArray, FloatArray, HiddenState, Pair, Passage, TrainingSet
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.feature_choice import Candidate
from mars_engine.reward_models.features import ProbeFeatures, fit_scale
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.score import draw_folds
from mars_engine.reward_models.triage import judge_labels
from mars_engine.stats.metrics import auc, pairwise_accuracy

CONFIG = MarsConfig()
PROGRESS = SilentProgress()
RESAMPLES = 10_000


@dataclass(frozen=True)
class RealSet:
    """A set of real pairs; `mislabelled` marks those whose labels are known to be wrong."""

    name: str
    train: list[Pair]
    heldout: list[Pair]
    mislabelled: BoolArray


def real_sets(folder: Path) -> Iterator[RealSet]:
    demo = Path(__file__).parent.parent / "data"
    yield RealSet(
        "demo",
        load_pairs(demo / "demo-train.jsonl"),
        load_pairs(demo / "demo-test.jsonl"),
        _marked(demo / "demo-train.jsonl"),
    )
    for name in ("hh-harmless", "alpaca-pairs"):
        train, held = (load_pairs(folder / f"{name}-{part}.jsonl.gz") for part in ("train", "test"))
        yield RealSet(name, train, held, np.zeros(len(train), dtype=bool))


def _marked(path: Path) -> BoolArray:
    import json

    return np.array([json.loads(line)["mislabelled"] for line in path.read_text(encoding="utf-8").splitlines()])


def interval(values: FloatArray, pairs: Sequence[Pair]) -> str:
    """Return the mean with its 95% percentile bootstrap interval over prompts."""
    prompts = np.unique([pair.prompt_id for pair in pairs], return_inverse=True)[1]
    sums, counts = np.bincount(prompts, values), np.bincount(prompts)
    drawn = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def heldout_figures(each: RealSet, encoder: CachedEncoder, config: ProbeConfig) -> str:
    trainer = ProbeTrainer(config, encoder)
    probe = trainer.train(TrainingSet.plain(each.train), progress=PROGRESS)
    margins = probe.score(each.heldout, progress=PROGRESS).margins
    text = probe.features.text
    correct = (margins > 0) + 0.5 * (margins == 0)
    loss = float(np.logaddexp(0, -margins).mean())
    return (
        f"accuracy {interval(correct, each.heldout)}, log-loss {loss:.3f}, layers {list(text.layers)}, {text.reading}, "
        f"l2 {probe.choice.l2:g}"
    )


def choice_against_best(each: RealSet, encoder: CachedEncoder, splits: int) -> str:
    """Draw training and held-out prompts anew; compare what the training pairs choose with the best candidate there."""
    pairs = [*each.train, *each.heldout]
    prompts = sorted({pair.prompt_id for pair in pairs})
    share = len({pair.prompt_id for pair in each.train}) / len(prompts)
    found = []
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(prompts))
        chosen = {prompts[place] for place in order[: round(share * len(prompts))]}
        train = [pair for pair in pairs if pair.prompt_id in chosen]
        held = [pair for pair in pairs if pair.prompt_id not in chosen]
        trainer = ProbeTrainer(ProbeConfig(reading="response"), encoder)
        probe = trainer.train(TrainingSet.plain(train), progress=PROGRESS)
        own = pairwise_accuracy(probe.score(held, progress=PROGRESS).margins)
        others = [_accuracy_of(candidate, train, held, encoder) for candidate in probe.choice.candidates]
        found.append((own, max(others), float(np.mean(others))))
    own, best, mean = np.mean(found, axis=0)
    return f"{splits} splits: chosen {own:.4f}, best of all candidates {best:.4f}, their mean {mean:.4f}"


def _accuracy_of(candidate: Candidate, train: Sequence[Pair], held: Sequence[Pair], encoder: CachedEncoder) -> float:
    from mars_engine.reward_models.bradley_terry import fit_bradley_terry

    raw = candidate.text.of(encoder, train, progress=PROGRESS).differences
    features = ProbeFeatures(candidate.text, fit_scale(raw))
    ones = np.ones(len(train))
    head = fit_bradley_terry(features.of(encoder, train, progress=PROGRESS).differences, ones, ones, l2=candidate.l2)
    return pairwise_accuracy(features.of(encoder, held, progress=PROGRESS).differences @ head)


def budget_share(pairs: Sequence[Pair], wrong: BoolArray, encoder: CachedEncoder, config: ProbeConfig) -> str:
    """Return what share of the budget signed allocation at the defaults gives to wrong labels."""
    trainer = ProbeTrainer(config, encoder)
    examples = TrainingSet.plain(pairs)
    probe = trainer.train(examples, progress=PROGRESS)
    margins = probe.score(pairs, progress=PROGRESS).margins
    judgement = judge_labels(
        trainer.out_of_fold_margins(examples, draw_folds(list(pairs), CONFIG), progress=PROGRESS),
        near_zero=CONFIG.triage.near_zero,
    )
    suspected = judgement.suspected
    shares = []
    for eligible in (np.ones(len(pairs), dtype=bool), ~suspected):
        budgets = spend(margins, CONFIG.allocation, law="signed", eligible=eligible).budgets
        shares.append(float(budgets[wrong].sum() / budgets.sum()))
    lowest = np.argsort(judgement.margin_mean)[: len(pairs) // 10]
    found = auc(-judgement.margin_mean[wrong], -judgement.margin_mean[~wrong])
    return (
        f"{wrong.mean():.1%} of labels wrong: {shares[0]:.1%} of the budget without triage, {shares[1]:.1%} with it "
        f"({suspected.sum()} suspected, {suspected[wrong].sum()} of {wrong.sum()} wrong ones); AUC {found:.3f}; "
        f"{wrong[lowest].sum()} of {wrong.sum()} in the lowest tenth; sd of margins {margins.std():.2f}"
    )


def seconds_of_reading(pairs: Sequence[Pair], encoder: SentenceEncoder) -> str:
    """Time 1,000 texts: sentence embeddings alone, with the layers that a choice looks at, and with two of them."""
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.chosen, pair.rejected)))[:1_000]
    rows = encoder.tokenize([Passage(text) for text in texts])
    batches = encoder.plan_batches(rows)

    def read(sentence: bool, states: Sequence[HiddenState]) -> Callable[[], None]:
        def work() -> None:
            for batch in batches:
                encoder.read_batch([rows[index] for index in batch], sentence=sentence, states=states)

        return work

    ways = {
        "embedding": read(True, ()),
        "with the chosen layers": read(True, [HiddenState(3), HiddenState(5)]),
        "with all candidates' layers": read(True, [HiddenState(layer) for layer in (1, 2, 3, 4, 5)]),
    }
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        times = {}
        for name, work in ways.items():
            started = time.perf_counter()
            work()
            times[name] = time.perf_counter() - started
        for name in ways:
            ratios[name].append(times[name] / times["embedding"])
    return "; ".join(
        f"{name} {np.median(values):.3f} ({min(values):.3f} to {max(values):.3f})" for name, values in ratios.items()
    )


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("work", type=click.Path(path_type=Path, file_okay=False))
@click.option("--splits", type=click.IntRange(1), default=10, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
def main(folder: Path, work: Path, splits: int, seeds: int) -> None:
    batch_encoder = SentenceEncoder(EncoderConfig())
    encoder = CachedEncoder(batch_encoder, work)
    for each in real_sets(folder):
        print(f"\n{each.name}: {len(each.train)} training pairs, {len(each.heldout)} held out", flush=True)
        for name, config in READINGS.items():
            print(f"  {name}: {heldout_figures(each, encoder, config)}", flush=True)
        print(f"  the choice: {choice_against_best(each, encoder, splits)}", flush=True)
        for name, config in READINGS.items():
            if each.mislabelled.any():
                print(f"  {name}: {budget_share(each.train, each.mislabelled, encoder, config)}", flush=True)
                continue
            flipped = flipped_labels(len(each.train), seed=0)
            noisy = [pair.exchanged if flip else pair for pair, flip in zip(each.train, flipped, strict=True)]
            print(f"  {name}: {budget_share(noisy, flipped, encoder, config)}", flush=True)
            study = study_flips(each.train, each.heldout, encoder, config, seeds=seeds)
            print(
                f"  {name}, {seeds} seeds of flips: AUC {study.detection_auc:.3f}, accuracy lost "
                f"{study.accuracy_lost:+.4f}, won back {study.accuracy_won_back:+.4f}",
                flush=True,
            )
    print(f"\nseconds for 1,000 texts, as ratios: {seconds_of_reading(each.train, batch_encoder)}")


if __name__ == "__main__":
    main()
