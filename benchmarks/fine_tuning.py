"""Fine-tuning from the probe, beside the frozen probe and fine-tuning with the default head: figures over wall time.

    .venv/bin/python -m benchmarks.fine_tuning ../shared/data [--sets demo,hh-harmless] [--seeds 3]
    .venv/bin/python -m benchmarks.fine_tuning ../shared/data --choose
    .venv/bin/python -m benchmarks.fine_tuning ../shared/data --sets hh-harmless --lora 300 --heldout 200 --epochs 1

The first prints, for each set, way and seed, held-out accuracy and log-loss after each epoch and the seconds until
then, with nothing cached, loading and the choice of features included, measuring not. The second prints the out-of-fold
log-loss of the head 'probe' after each epoch by learning rate, from training pairs alone. The third trains the packaged
language model through LoRA on so many training pairs, beside the packaged encoder from its probe and through LoRA.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from benchmarks.label_flips import load_pairs
from mars_engine.core.config import EncoderConfig, ProbeConfig, RewardModelConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import FloatArray, Pair, TrainingSet
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.devices import find_device, trains_in_bf16
from mars_engine.embeddings.packaged_lm import PACKAGED_LM
from mars_engine.embeddings.pretrained import quiet_transformers
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.transformer.backbone import Backbone, add_lora, load_backbone, load_probe_backbone
from mars_engine.reward_models.transformer.collator import PairCollator
from mars_engine.reward_models.transformer.examples import make_examples
from mars_engine.reward_models.transformer.fine_tuning import find_backbone_folder
from mars_engine.reward_models.transformer.model import score_tokenized
from mars_engine.reward_models.transformer.probe_start import ProbeStart, start_of
from mars_engine.reward_models.transformer.trainer import PairTrainer, effective_batch, training_arguments
from mars_engine.reward_models.triage import assign_folds
from mars_engine.stats.metrics import pairwise_accuracy

DEMO = Path(__file__).parent.parent / "data"
PROGRESS = SilentProgress()
LORA_RATE = 2e-4
"""Ten times what whole transformers are trained at, as adapters are usually."""
LORA_PAIRS_AT_ONCE = 4
"""16 pairs of 256 tokens at once take 16 GiB of memory in the packaged language model, 4 take a quarter of that."""
RATES = (1e-5, 2e-5, 5e-5, 1e-4)
FOLDS = 3
MOST_TO_CHOOSE_BY = 400
"""Training pairs of a set by which the learning rate is chosen."""


@dataclass(frozen=True)
class PairSet:
    """Pairs to train on and pairs held out."""

    name: str
    train: Sequence[Pair]
    heldout: Sequence[Pair]


def load_set(name: str, folder: Path) -> PairSet:
    if name == "demo":
        return PairSet(name, load_pairs(DEMO / "demo-train.jsonl"), load_pairs(DEMO / "demo-test.jsonl"))
    train, heldout = (load_pairs(folder / f"{name}-{part}.jsonl.gz") for part in ("train", "test"))
    return PairSet(name, train, heldout)


@dataclass
class StopWatch:
    """Counts seconds, but not those of its pauses."""

    begun: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.begun

    def pause(self, measure: Callable[[], None]) -> None:
        before = time.perf_counter()
        measure()
        self.begun += time.perf_counter() - before


@dataclass(frozen=True)
class Point:
    """What a model is worth on pairs that it did not learn from, and how long it took to get there."""

    epoch: int
    seconds: float
    margins: FloatArray

    def told(self) -> str:
        log_loss = float(np.logaddexp(0.0, -self.margins).mean())
        return f"{self.epoch:>5} {self.seconds:8.1f} {pairwise_accuracy(self.margins):9.3f} {log_loss:9.4f}"


@dataclass
class EachEpoch(TrainerCallback):
    """Scores pairs after each epoch."""

    steps_per_epoch: int
    score: Callable[[int], None]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        del args, control, kwargs
        if state.global_step % self.steps_per_epoch == 0:
            self.score(state.global_step // self.steps_per_epoch)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        del args, control
        kwargs["train_dataloader"].sampler.epoch = state.global_step // self.steps_per_epoch


def fit_probe(pairs: Sequence[Pair], heldout: Sequence[Pair], cache: Path) -> tuple[ProbeStart, Point]:
    """Return the probe on these pairs, its features chosen by them, as a start, and what it is worth."""
    watch = StopWatch()
    encoder = CachedEncoder(SentenceEncoder(EncoderConfig(device="cpu")), cache)
    probe = ProbeTrainer(ProbeConfig(), encoder).train(TrainingSet.plain(pairs), progress=PROGRESS)
    seconds = watch.seconds
    return start_of(probe, EncoderConfig().max_tokens), Point(
        0, seconds, probe.score(heldout, progress=PROGRESS).margins
    )


def tune(
    backbone: Backbone, config: RewardModelConfig, pairs: Sequence[Pair], heldout: Sequence[Pair], watch: StopWatch
) -> list[Point]:
    """Train as `mars train` does; return what the model is worth after each epoch."""
    examples = make_examples(
        TrainingSet.plain(pairs),
        backbone.pairs.tokenize(pairs, progress=PROGRESS),
        validation_percent=0,
        seed=config.seed,
    )
    points: list[Point] = []

    def score(epoch: int) -> None:
        seconds = watch.seconds

        def measure() -> None:
            rows = backbone.pairs.tokenize(heldout, progress=PROGRESS)
            scored = score_tokenized(trained, rows, backbone.padding, batch_tokens=0, progress=PROGRESS)
            points.append(Point(epoch, seconds, scored.margins))

        watch.pause(measure)

    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        in_bf16 = trains_in_bf16(config.precision, find_device(config.device, section="reward_model"))
        if hasattr(backbone.model.config, "use_cache"):
            backbone.model.config.use_cache = False
        torch.manual_seed(config.seed)
        trained = add_lora(backbone, config) if config.lora else backbone.model
        trainer = PairTrainer(
            trained,
            config=config,
            args=training_arguments(config, Path(folder), bf16=in_bf16, use_cpu=True),
            collator=PairCollator(backbone.padding, with_sources=False),
            train=examples.train,
        )
        trainer.add_callback(EachEpoch(ceil(len(examples.train) / effective_batch(config)), score))
        trainer.train()
    return points


def compare(pair_set: PairSet, seeds: int, epochs: int) -> None:
    """Print the three ways; the probe is the same for each seed, and its seconds count for what starts from it."""
    folder = find_backbone_folder("packaged")
    config = RewardModelConfig(backbone="packaged", epochs=epochs, device="cpu", checkpoint_every=1_000_000)

    def tell(way: str, seed: int, points: Sequence[Point]) -> None:
        for point in points:
            print(f"{pair_set.name:12} {way:15} {seed:>4} {point.told()}", flush=True)

    with tempfile.TemporaryDirectory() as cache:
        start, frozen = fit_probe(pair_set.train, pair_set.heldout, Path(cache))
    tell("probe", 0, [frozen])
    for seed in range(seeds):
        watch = StopWatch()
        watch.begun -= frozen.seconds
        mine = config.model_copy(update={"head": "probe", "seed": seed})
        points = tune(load_probe_backbone(folder, start), mine, pair_set.train, pair_set.heldout, watch)
        tell("from the probe", seed, points)
    for seed in range(seeds):
        watch = StopWatch()
        theirs = config.model_copy(update={"seed": seed})
        points = tune(load_backbone(folder, theirs), theirs, pair_set.train, pair_set.heldout, watch)
        tell("default head", seed, points)


def compare_lora(pair_set: PairSet, seeds: int, epochs: int) -> None:
    """Print the packaged language model and encoder, each through LoRA, and the encoder trained from its probe."""

    def tell(way: str, seed: int, points: Sequence[Point]) -> None:
        for point in points:
            print(f"{pair_set.name:12} {way:24} {seed:>4} {point.told()}", flush=True)

    config = RewardModelConfig(epochs=epochs, device="cpu", checkpoint_every=1_000_000)
    with tempfile.TemporaryDirectory() as cache:
        start, frozen = fit_probe(pair_set.train, pair_set.heldout, Path(cache))
    tell("probe", 0, [frozen])
    for seed in range(seeds):
        watch = StopWatch()
        watch.begun -= frozen.seconds
        mine = config.model_copy(update={"backbone": "packaged", "head": "probe", "seed": seed})
        backbone = load_probe_backbone(find_backbone_folder("packaged"), start)
        tell("packaged, from the probe", seed, tune(backbone, mine, pair_set.train, pair_set.heldout, watch))
    for name in ("packaged", PACKAGED_LM):
        for seed in range(seeds):
            watch = StopWatch()
            mine = config.model_copy(
                update={
                    "backbone": name,
                    "lora": True,
                    "learning_rate": LORA_RATE,
                    "seed": seed,
                    "max_tokens": 256,
                    "batch_size": LORA_PAIRS_AT_ONCE,
                    "gradient_accumulation": config.batch_size // LORA_PAIRS_AT_ONCE,
                }
            )
            backbone = load_backbone(find_backbone_folder(name), mine)
            tell(f"{name}, LoRA", seed, tune(backbone, mine, pair_set.train, pair_set.heldout, watch))


def choose(pair_set: PairSet, rates: Sequence[float], decay: float, epochs: int, cache: Path) -> None:
    """Print the out-of-fold accuracy and log-loss of the head 'probe' by learning rate and epoch."""
    pairs = sorted(pair_set.train, key=lambda pair: pair.id)[:MOST_TO_CHOOSE_BY]
    folds = assign_folds([pair.prompt_id for pair in pairs], FOLDS, np.random.default_rng(0))
    margins: dict[tuple[float, int], list[FloatArray]] = {}
    for fold in range(FOLDS):
        train = [pair for pair, own in zip(pairs, folds, strict=True) if own != fold]
        held = [pair for pair, own in zip(pairs, folds, strict=True) if own == fold]
        start, frozen = fit_probe(train, held, cache)
        margins.setdefault((0.0, 0), []).append(frozen.margins)
        for rate in rates:
            config = RewardModelConfig(
                backbone="packaged",
                head="probe",
                learning_rate=rate,
                weight_decay=decay,
                epochs=epochs,
                device="cpu",
                checkpoint_every=1_000_000,
            )
            backbone = load_probe_backbone(find_backbone_folder("packaged"), start)
            for point in tune(backbone, config, train, held, StopWatch()):
                margins.setdefault((rate, point.epoch), []).append(point.margins)
    for (rate, epoch), parts in margins.items():
        print(f"{pair_set.name:12} rate {rate:7.0e} {Point(epoch, 0.0, np.concatenate(parts)).told()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of hh-harmless-train.jsonl.gz")
    parser.add_argument("--sets", default="demo,hh-harmless")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=RewardModelConfig().epochs)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="learning rates to choose from")
    parser.add_argument("--decay", type=float, default=RewardModelConfig().weight_decay)
    parser.add_argument("--lora", type=int, default=0, help="compare LoRA on so many training pairs")
    parser.add_argument("--heldout", type=int, default=0, help="measure on so many held-out pairs; 0: on all")
    parser.add_argument("--choose", action="store_true", help="compare learning rates on training pairs")
    asked = parser.parse_args()
    for name in asked.sets.split(","):
        pair_set = load_set(name, asked.folder)
        if asked.choose:
            with tempfile.TemporaryDirectory() as cache:
                rates = [float(rate) for rate in asked.rates.split(",")]
                choose(pair_set, rates, asked.decay, asked.epochs, Path(cache))
            continue
        if asked.heldout:
            pair_set = replace(pair_set, heldout=pair_set.heldout[: asked.heldout])
        if asked.lora:
            compare_lora(replace(pair_set, train=pair_set.train[: asked.lora]), asked.seeds, asked.epochs)
            continue
        compare(pair_set, asked.seeds, asked.epochs)


if __name__ == "__main__":
    main()
