"""How quickly the sequence-to-sequence paraphraser writes, in batches by length and one passage after the other.

    python -m benchmarks.augment.seq2seq_speed [--pairs 8] [--rounds 3] [--data FILE]

A T5 of the small model's size (six layers, width 512) with random weights and a tokenizer trained on the data: what it
writes means nothing, and takes as long as if it did. Its texts are made to end after about as many tokens as a sentence
has. Every way is given the same answers of real pairs, writes the same texts, and takes its turn in every round.
Nothing else should be running.
"""

import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

import click
import sentencepiece
import torch
from transformers import AutoTokenizer, GenerationConfig, T5Config, T5ForConditionalGeneration

from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest
from mars_engine.augment.generators.seq2seq import Seq2SeqParaphraser
from mars_engine.core.config import Seq2SeqConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.data.loaders import open_source
from mars_engine.embeddings.pretrained import quiet_transformers

VOCABULARY = 8000
ENDS_AFTER = (16, 1.1)
"""From so many tokens on the end gets ever likelier: random weights would hardly ever come to it."""
ALONE = "one by one"
BUDGETS = (1024, 2048, 4096, 8192)
COUNT = 5


def save_model(folder: Path, texts: list[str]) -> None:
    """Write a T5 of the small model's size with random weights, and a tokenizer of these texts."""
    with (folder / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=file,
            vocab_size=VOCABULARY,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}')
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(vocab_size=len(tokenizer), d_model=512, d_ff=2048, num_layers=6, num_heads=8)
    config.decoder_start_token_id = 0
    model = T5ForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_model_config(config)
    model.generation_config.exponential_decay_length_penalty = ENDS_AFTER
    with quiet_transformers():
        model.save_pretrained(folder)


def write(folder: Path, requests: list[ParaphraseRequest], budget: int) -> tuple[float, list[Generation]]:
    """Return the seconds that the answers took, and the answers. With a budget of 1 each passage goes alone."""
    config = Seq2SeqConfig(model=str(folder), batch_tokens=budget, min_length_percent=0, precision="fp32", device="cpu")
    paraphraser = Seq2SeqParaphraser(config, progress=SilentProgress())
    started = time.perf_counter()
    answers = paraphraser.paraphrase(requests)
    return time.perf_counter() - started, answers


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):7.2f} ({min(values):.2f} to {max(values):.2f})"


@click.command(help=__doc__)
@click.option("--pairs", "count", type=click.IntRange(1), default=8, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=Path("../shared/data/hh-harmless-train.jsonl.gz"),
    show_default=True,
    help="File of preference pairs.",
)
def main(count: int, rounds: int, data: Path) -> None:
    pairs = [pair for row in islice(open_source(str(data)).rows(), 2000) for pair in row.pairs]
    requests = [
        ParaphraseRequest(f"{number}", text, COUNT, 0)
        for number, text in enumerate(side for pair in pairs[:count] for side in (pair.chosen, pair.rejected))
    ]
    ways = {ALONE: 1} | {f"batches of {budget:,} tokens": budget for budget in BUDGETS}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder, [text for pair in pairs for text in (pair.chosen, pair.rejected)])
        _, expected = write(folder, requests, BUDGETS[0])
        for _ in range(rounds):
            for way, budget in ways.items():
                taken, answers = write(folder, requests, budget)
                seconds[way].append(taken)
                if answers != expected:
                    raise RuntimeError(f"{way} wrote other texts")
    passages = sum(int((each.provenance or {})["passages"]) for each in expected)
    click.echo(
        f"{passages} passages of {len(requests)} answers, {COUNT} variants each; {rounds} interleaved rounds, "
        f"{torch.get_num_threads()} threads; all ways wrote the same texts"
    )
    for way, spent in seconds.items():
        ratios = [alone / each for alone, each in zip(seconds[ALONE], spent, strict=True)]
        rates = [passages / each for each in spent]
        click.echo(f"  {way:26} passages/s {_spread(rates)}   x {ALONE} {_spread(ratios)}")


if __name__ == "__main__":
    main()
