"""How quickly the transformer reward model scores and trains, beside what people use otherwise; all in one run.

    python -m benchmarks.transformer_speed [--pairs 256] [--steps 12] [--rounds 3] [--data ../shared/data]

The packaged backbone with a fresh head, on real pairs, on the processor alone. Every way of doing a thing is given the
same pairs, and takes its turn in every round, so that a machine's moods fall on all alike.

Scoring: "notebook", as the authors of the method do it: file order, eight texts at a time, chosen and rejected answers
in two passes; sentence-transformers' CrossEncoder.predict; ours; and ours with several texts packed into one row. Their
rewards are compared before any is timed.
Training: TRL's RewardTrainer and ours, on the same token ids, batch and learning rate, without dropout.
Refitting the probe, which happens after every decision of a person. And the machine's own rate of fp32 matrix products,
of which scoring's share is told. Nothing else should be running.
"""

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from mars_engine.core.config import EncoderConfig, ProbeConfig, RewardModelConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import FloatArray, Pair, TrainingSet
from mars_engine.data.loaders import open_source
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.context import render_context
from mars_engine.embeddings.pretrained import quiet_transformers
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.transformer.backbone import Backbone, load_backbone, load_trained, record_settings
from mars_engine.reward_models.transformer.collator import Example, PairCollator
from mars_engine.reward_models.transformer.fine_tuning import find_backbone_folder
from mars_engine.reward_models.transformer.model import TransformerRewardModel
from mars_engine.reward_models.transformer.trainer import PairTrainer, training_arguments

PROGRESS = SilentProgress()
MAX_TOKENS = 256
BATCH_OF_NOTEBOOK = 8
BATCH_TO_TRAIN = 16
PACK_TOKENS, ROWS_OF_PACKS = 512, 4
MATRIX_SIZE = 1024
MATRIX_PRODUCTS = 20
CLOSE = 1e-4
"""Most by which two ways may differ in a reward."""


@dataclass(frozen=True)
class Workload:
    """The pairs, and the folder of the model, which every way of scoring loads for itself."""

    pairs: Sequence[Pair]
    folder: Path
    config: RewardModelConfig
    backbone: Backbone


def prepare(data: Path, folder: Path, count: int) -> Workload:
    """Save the packaged backbone with a fresh head, and take pairs that no way of scoring has to cut."""
    config = RewardModelConfig(backbone="packaged", max_tokens=MAX_TOKENS, batch_size=BATCH_TO_TRAIN, device="cpu")
    backbone = load_backbone(find_backbone_folder("packaged"), config)
    record_settings(backbone)
    backbone.model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    source = open_source(str(data))
    pairs = [pair for row in islice(source.rows(), 20 * count) for pair in row.pairs]
    rows = backbone.pairs.tokenize(pairs, progress=PROGRESS)
    whole = [pair for pair, row in zip(pairs, rows, strict=True) if _is_whole(row)]
    if len(whole) < count:
        raise click.UsageError(f"{data} has {len(whole):,} pairs of at most {MAX_TOKENS} tokens, fewer than {count:,}")
    return Workload(whole[:count], folder, config, load_trained(folder))


def _is_whole(row: Any) -> bool:
    return not any(side.context_tokens_cut or side.response_tokens_cut for side in (row.chosen, row.rejected))


# ------------------------------------------------------------------------------------------------------------- scoring


def score_as_notebook(work: Workload) -> FloatArray:
    """Return rewards, shape (n, 2), in file order, a few at a time, one side after the other."""
    model, tokenizer = work.backbone.model, work.backbone.tokenizer
    sides = []
    with torch.inference_mode():
        for texts in ([pair.chosen for pair in work.pairs], [pair.rejected for pair in work.pairs]):
            rewards = []
            for start in range(0, len(texts), BATCH_OF_NOTEBOOK):
                part = slice(start, start + BATCH_OF_NOTEBOOK)
                contexts = [render_context(pair.prompt) for pair in work.pairs[part]]
                inputs = tokenizer(
                    contexts, texts[part], truncation=True, padding=True, max_length=MAX_TOKENS, return_tensors="pt"
                )
                rewards.append(model(**inputs).logits[:, 0].numpy())
            sides.append(np.concatenate(rewards))
    return np.stack(sides, axis=1).astype(np.float64)


def make_cross_encoder(work: Workload) -> Callable[[], FloatArray]:
    """Return what scores by sentence-transformers' CrossEncoder, which is loaded here."""
    from sentence_transformers import CrossEncoder

    encoder = CrossEncoder(
        str(work.folder), device="cpu", max_length=MAX_TOKENS, activation_fn=torch.nn.Identity(), num_labels=1
    )
    texts = [
        (render_context(pair.prompt), response) for pair in work.pairs for response in (pair.chosen, pair.rejected)
    ]

    def score() -> FloatArray:
        return np.asarray(encoder.predict(texts, show_progress_bar=False), dtype=np.float64).reshape(-1, 2)

    return score


def score_as_ours(work: Workload) -> FloatArray:
    model = TransformerRewardModel("speed", work.backbone, work.config.batch_tokens)
    rewards = model.score(work.pairs, progress=PROGRESS)
    return np.stack([rewards.chosen, rewards.rejected], axis=1)


def score_packed(work: Workload) -> FloatArray:
    """Return rewards from rows in which several texts stand one behind the other, each attending to itself alone.

    It needs no padding, and pays for it by attention over whole rows. Works for BERT, as the packaged backbone is one.
    """
    model: Any = work.backbone.model
    rows = work.backbone.pairs.tokenize(work.pairs, progress=PROGRESS)
    sides = [side for row in rows for side in (row.chosen, row.rejected)]
    rewards = np.empty(len(sides), dtype=np.float64)
    packed = _packs([len(side.token_ids) for side in sides])
    with torch.inference_mode():
        for start in range(0, len(packed), ROWS_OF_PACKS):
            some = packed[start : start + ROWS_OF_PACKS]
            shape = (len(some), max(sum(len(sides[i].token_ids) for i in pack) for pack in some))
            ids, types, positions = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
            owners = torch.full(shape, -1)
            firsts: list[tuple[int, int, int]] = []
            for number, pack in enumerate(some):
                begin = 0
                for index in pack:
                    here = slice(begin, begin + len(sides[index].token_ids))
                    ids[number, here] = torch.tensor(sides[index].token_ids)
                    types[number, here] = torch.tensor(sides[index].type_ids)
                    positions[number, here] = torch.arange(here.stop - begin)
                    owners[number, here] = index
                    firsts.append((number, begin, index))
                    begin = here.stop
            apart = owners[:, None, :, None] != owners[:, None, None, :]
            mask = torch.zeros(apart.shape).masked_fill(apart, torch.finfo(torch.float32).min)
            hidden = model.bert.embeddings(input_ids=ids, token_type_ids=types, position_ids=positions)
            hidden = model.bert.encoder(hidden, attention_mask=mask).last_hidden_state
            row_of, place_of, index_of = (list(each) for each in zip(*firsts, strict=True))
            pooled = torch.tanh(model.bert.pooler.dense(hidden[row_of, place_of]))
            rewards[index_of] = model.classifier(pooled)[:, 0].numpy()
    return rewards.reshape(-1, 2)


def _packs(lengths: Sequence[int]) -> list[list[int]]:
    """Return indices in packs of at most PACK_TOKENS: the longest first, each into the first pack with room for it."""
    packs: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        fitting = next((number for number, left in enumerate(room) if left >= lengths[index]), None)
        if fitting is None:
            fitting = len(packs)
            packs.append([])
            room.append(PACK_TOKENS)
        packs[fitting].append(index)
        room[fitting] -= lengths[index]
    return packs


def products_of_scoring(work: Workload) -> float:
    """Return the floating-point operations of scoring's matrix products, without padding: 2 a weight and token, and
    those of attention, 4 a layer, width and pair of tokens. The last layer's feed-forward part is left out, as ours
    needs it for one token of a text."""
    config = work.backbone.model.config
    last = f".layer.{config.num_hidden_layers - 1}."
    layers = [
        weight.numel()
        for name, weight in work.backbone.model.named_parameters()
        if ".layer." in name and (last not in name or ".attention." in name)
    ]
    lengths = [
        len(side.token_ids)
        for row in work.backbone.pairs.tokenize(work.pairs, progress=PROGRESS)
        for side in (row.chosen, row.rejected)
    ]
    attention = 4 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    return float(2 * sum(layers) * sum(lengths) + attention)


def matrix_rate() -> float:
    """Return the floating-point operations a second of fp32 matrix products."""
    one = torch.rand(MATRIX_SIZE, MATRIX_SIZE)
    one @ one
    started = time.perf_counter()
    for _ in range(MATRIX_PRODUCTS):
        one @ one
    return MATRIX_PRODUCTS * 2 * MATRIX_SIZE**3 / (time.perf_counter() - started)


# ------------------------------------------------------------------------------------------------------------ training


def train_as_ours(work: Workload, steps: int, folder: Path) -> tuple[float, float]:
    """Return the seconds of some optimizer steps, and the mean loss of the second half of them."""
    config = work.config.model_copy(update={"input_format": "concat", "learning_rate": 5e-5})
    backbone = load_backbone(find_backbone_folder("packaged"), config)
    _without_dropout(backbone.model)
    rows = backbone.pairs.tokenize(work.pairs, progress=PROGRESS)
    args = training_arguments(config, folder, bf16=False, use_cpu=True)
    args.max_steps, args.save_strategy = steps, "no"
    trainer = PairTrainer(
        backbone.model,
        config=config,
        args=args,
        collator=PairCollator(backbone.padding, with_sources=False),
        train=[Example(row, 1.0, 1.0) for row in rows],
    )
    losses = _note_losses(trainer)
    with quiet_transformers():
        return _seconds(trainer.train), float(np.mean(losses[steps // 2 :]))


def train_as_trl(work: Workload, steps: int, folder: Path) -> tuple[float, float]:
    """The same by TRL's RewardTrainer, on the same token ids."""
    from datasets import Dataset
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    config = work.config.model_copy(update={"input_format": "concat"})
    backbone = load_backbone(find_backbone_folder("packaged"), config)
    backbone.tokenizer.eos_token = backbone.tokenizer.sep_token
    rows = backbone.pairs.tokenize(work.pairs, progress=PROGRESS)
    ids = [{"chosen_ids": row.chosen.token_ids, "rejected_ids": row.rejected.token_ids} for row in rows]
    trainer = RewardTrainer(
        model=backbone.model,
        args=RewardConfig(
            output_dir=str(folder),
            per_device_train_batch_size=BATCH_TO_TRAIN,
            max_steps=steps,
            learning_rate=5e-5,
            lr_scheduler_type="linear",
            warmup_steps=work.config.warmup,
            weight_decay=work.config.weight_decay,
            max_length=MAX_TOKENS,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=Dataset.from_list(ids),
        processing_class=backbone.tokenizer,
    )
    losses = _note_losses(trainer)
    with quiet_transformers():
        return _seconds(trainer.train), float(np.mean(losses[steps // 2 :]))


def _without_dropout(model: torch.nn.Module) -> None:
    """As RewardTrainer does by default."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def _note_losses(trainer: Any) -> list[float]:
    losses: list[float] = []
    compute = trainer.compute_loss

    def compute_and_note(*args: Any, **kwargs: Any) -> Any:
        loss = compute(*args, **kwargs)
        losses.append(float((loss[0] if isinstance(loss, tuple) else loss).detach()))
        return loss

    trainer.compute_loss = compute_and_note
    return losses


# --------------------------------------------------------------------------------------------------------------- probe


def make_probe_refit(work: Workload, cache: Path) -> Callable[[], object]:
    """Return what refits the probe on all pairs, whose features are made here."""
    trainer = ProbeTrainer(ProbeConfig(), CachedEncoder(SentenceEncoder(EncoderConfig(device="cpu")), cache))
    examples = TrainingSet.plain(work.pairs)
    trainer.prepare(examples, progress=PROGRESS)
    differences = trainer.feature_differences(work.pairs, progress=PROGRESS)
    return lambda: trainer.fit(differences, examples.weights, examples.label_confidence)


# ------------------------------------------------------------------------------------------------------------- the run


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):8.2f}  ({min(values):.2f} to {max(values):.2f})"


@click.command(help=__doc__)
@click.option("--pairs", "count", type=click.IntRange(32), default=256, show_default=True)
@click.option("--steps", type=click.IntRange(2), default=12, show_default=True, help="Optimizer steps of training.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=Path("../shared/data/hh-harmless-train.jsonl.gz"),
    show_default=True,
    help="File of preference pairs.",
)
def main(count: int, steps: int, rounds: int, data: Path) -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        work = prepare(data, Path(folder) / "model", count)
        compare_scoring(work, rounds)
        compare_training(work, steps, rounds, Path(folder))
        refit = make_probe_refit(work, Path(folder) / "embeddings")
        click.echo(f"refit of the probe on {count:,} pairs, ms  {_spread([1000 * _seconds(refit) for _ in range(20)])}")


def compare_scoring(work: Workload, rounds: int) -> None:
    """Print seconds of each way of scoring and its ratio to ours in the same round."""
    ways: dict[str, Callable[[], FloatArray]] = {
        "notebook": lambda: score_as_notebook(work),
        "CrossEncoder.predict": make_cross_encoder(work),
        "ours": lambda: score_as_ours(work),
        "ours, packed": lambda: score_packed(work),
    }
    rewards = {name: score() for name, score in ways.items()}
    apart = max(float(np.abs(each - rewards["ours"]).max()) for each in rewards.values())
    if apart > CLOSE:
        raise RuntimeError(f"the ways of scoring differ by {apart}")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    rates = []
    for _ in range(rounds):
        rates.append(matrix_rate())
        for name, score in ways.items():
            seconds[name].append(_seconds(score))
    click.echo(f"scoring {len(work.pairs):,} pairs, {rounds} interleaved rounds; rewards differ by at most {apart:.1e}")
    for name, taken in seconds.items():
        ratios = [each / ours for each, ours in zip(taken, seconds["ours"], strict=True)]
        click.echo(f"  {name:22} s {_spread(taken)}   x ours {_spread(ratios)}")
    shares = [products_of_scoring(work) / taken / rate for taken, rate in zip(seconds["ours"], rates, strict=True)]
    click.echo(
        f"  fp32 matrix products, GFLOP/s {_spread([rate / 1e9 for rate in rates])}, threads {torch.get_num_threads()}"
    )
    click.echo(f"  share of them that scoring reaches, padding not counted {_spread(shares)}")


def compare_training(work: Workload, steps: int, rounds: int, folder: Path) -> None:
    """Print pairs a second of TRL's trainer and ours, and the losses they come to."""
    ways = {"TRL RewardTrainer": train_as_trl, "ours": train_as_ours}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, train in ways.items():
            taken, loss = train(work, steps, folder / f"{name}-{number}")
            seconds[name].append(taken)
            losses[name].append(loss)
    click.echo(f"training, {steps} steps of {BATCH_TO_TRAIN} pairs, {rounds} interleaved rounds")
    for name, spent in seconds.items():
        rate = [steps * BATCH_TO_TRAIN / each for each in spent]
        ratios = [each / ours for each, ours in zip(spent, seconds["ours"], strict=True)]
        click.echo(
            f"  {name:22} pairs/s {_spread(rate)}   seconds x ours {_spread(ratios)}   "
            f"loss of the second half {_spread(losses[name])}"
        )


if __name__ == "__main__":
    main()
