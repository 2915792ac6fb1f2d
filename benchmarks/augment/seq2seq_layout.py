"""How much of real answers a sequence-to-sequence model is given to rewrite, and how much of them is kept.

    python -m benchmarks.augment.seq2seq_layout [--pairs 1000] [FILE …]

No model is needed: a sentencepiece tokenizer trained on the answers stands for its limit and its letters. On the way it
is made sure that every layout joined is its text again and that every passage fits.
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import sentencepiece

from mars_engine.augment.generators.passages.layout import lay_out
from mars_engine.core.config import Seq2SeqConfig
from mars_engine.data.loaders import open_source

DEFAULTS = Seq2SeqConfig()
FILES = ("../shared/data/hh-harmless-train.jsonl.gz", "../shared/data/alpaca-pairs-train.jsonl.gz")
VOCABULARY = 8000


@dataclass(frozen=True)
class SpieceReader:
    """Reads as many tokens as the default settings allow, by a sentencepiece tokenizer."""

    spiece: Any

    def count_tokens(self, passage: str) -> int:
        return len(self.spiece.encode(f"{DEFAULTS.prefix}{passage}")) + 1

    def fits(self, passage: str) -> bool:
        return self.count_tokens(passage) <= DEFAULTS.max_tokens

    def knows(self, text: str) -> bool:
        return self.spiece.unk_id() not in self.spiece.encode(text)


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found over some texts."""

    texts: int
    without_passage: int
    mostly_kept: int
    """Texts of whose letters less than half are in passages."""
    share_in_passages: float
    """Of all letters."""
    passages: int
    cut_sentences: int
    longest_passage: int
    """In tokens."""
    kept: Counter[str]


def make_reader(texts: Sequence[str]) -> SpieceReader:
    """Return a reader whose tokenizer is trained on these texts."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=VOCABULARY,
        hard_vocab_limit=False,
        character_coverage=0.9999,
        minloglevel=2,
    )
    return SpieceReader(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()))


def read_answers(path: Path, pairs: int) -> list[str]:
    """Return both answers of the first pairs of a file."""
    rows = islice(open_source(str(path)).rows(), pairs)
    return [side for row in rows for pair in row.pairs for side in (pair.chosen, pair.rejected)]


def survey(texts: Sequence[str], reader: SpieceReader, *, list_items: bool) -> Survey:
    """Lay out all texts and sum up.

    Raises:
        ValueError: a layout is not its text.
    """
    layouts = [lay_out(text, reader, list_items=list_items) for text in texts]
    if any(layout.with_passages(layout.passages) != text for layout, text in zip(layouts, texts, strict=True)):
        raise ValueError("a layout is not its text")
    shares = [
        sum(map(len, layout.passages)) / max(1, len(text.strip())) for layout, text in zip(layouts, texts, strict=True)
    ]
    lengths = [len(text.strip()) for text in texts]
    return Survey(
        texts=len(texts),
        without_passage=sum(not layout.passages for layout in layouts),
        mostly_kept=sum(share < 0.5 for share in shares),
        share_in_passages=sum(share * length for share, length in zip(shares, lengths, strict=True)) / sum(lengths),
        passages=sum(len(layout.passages) for layout in layouts),
        cut_sentences=sum(layout.cut_sentences for layout in layouts),
        longest_passage=max((reader.count_tokens(each) for layout in layouts for each in layout.passages), default=0),
        kept=sum((layout.kept for layout in layouts), Counter()),
    )


@click.command(help=__doc__)
@click.option("--pairs", type=click.IntRange(1), default=1000, show_default=True)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(pairs: int, files: tuple[Path, ...]) -> None:
    for file in files or tuple(map(Path, FILES)):
        texts = read_answers(file, pairs)
        reader = make_reader(texts)
        for list_items in (False, True):
            found = survey(texts, reader, list_items=list_items)
            click.echo(
                f"{file.name}, {found.texts:,} answers, list_items = {str(list_items).lower()}: "
                f"{found.share_in_passages:.1%} of the letters in {found.passages:,} passages; "
                f"{found.mostly_kept:,} answers mostly kept, {found.without_passage:,} wholly; "
                f"{found.cut_sentences:,} sentences cut; longest passage {found.longest_passage} tokens"
            )
            click.echo(f"  kept: {', '.join(f'{count:,} {what}' for what, count in found.kept.most_common())}")


if __name__ == "__main__":
    main()
