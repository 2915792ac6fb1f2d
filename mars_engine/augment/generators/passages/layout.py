"""The layout of a text: what is kept letter by letter, and the passages between that a model rewrites.

A model that rewrites sentences sees neither line breaks nor code, and reads only so much at once. So a text is cut into
pieces that joined are the text again: code, list items, tables, quotations, headings and all space between paragraphs
are kept; runs of sentences on one line become passages that fit the model.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from mars_engine.augment.generators.passages.sentences import Sentence, holds_literal, split_sentences

_KEPT_KINDS = {"fenced": "code", "item": "list items", "lines": "tables and quotations", "heading": "headings"}
_LITERAL = "code, formulas and addresses"
_TABLE = "tables and quotations"
_NO_WORDS = "marks without words"
_UNKNOWN = "letters that the model does not know"
_UNBROKEN = "words longer than the model reads"
_ITEM_MARK = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?")
_WORD_ENDS = re.compile(r"(?<=\S)(?=\s)")
_CLAUSE_END = re.compile(r"[,;:–—][\"”’')\]]*\Z")
_SENTENCE_MARK = re.compile(r"[.!?…。！？][\"”’')\]*_]*\Z")
_OTHER_MARK = re.compile(r"[:,;]\Z")
_LINE_BREAK = re.compile(r"[ \t\r]*\n[ \t\r]*")


class Reader(Protocol):
    """What a layout must know of the model that reads its passages."""

    def fits(self, passage: str) -> bool:
        """Whether the model reads a passage whole. If so, it reads any beginning of it whole."""
        ...

    def knows(self, text: str) -> bool:
        """Whether the model that rewrites the passages can tell and write every letter of a text."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a text: a passage to rewrite, or space (`kept` is empty for both), or what is kept, and as what."""

    text: str
    is_passage: bool = False
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """A text in pieces. Joined, they are the text again, to the letter."""

    pieces: tuple[Piece, ...]
    cut_sentences: int
    """Sentences that no model call could hold whole, and that were cut between words."""

    @property
    def passages(self) -> tuple[str, ...]:
        """The passages to rewrite, in their order."""
        return tuple(piece.text for piece in self.pieces if piece.is_passage)

    @property
    def kept(self) -> Counter[str]:
        """How many pieces are kept, by what they are."""
        return Counter(piece.kept for piece in self.pieces if piece.kept)

    def with_passages(self, passages: Sequence[str]) -> str:
        """Return the text with others in the place of its passages, as many as there are."""
        if len(passages) != len(self.passages):
            raise ValueError(f"{len(passages)} passages in the place of {len(self.passages)}")
        others = iter(passages)
        return "".join(next(others) if piece.is_passage else piece.text for piece in self.pieces)


def lay_out(text: str, reader: Reader, *, list_items: bool) -> Layout:
    """Cut a text into pieces; every passage fits the reader.

    A sentence that does not fit alone is cut between words, after a clause where one ends in the second half of what
    fits. Sentences stand in one passage only where no line break parts them.

    Args:
        text: any text.
        reader: tells what fits.
        list_items: make passages of the text of list items too; their marks are kept.
    """
    split = split_sentences(text)
    pieces = [Piece(split.lead)]
    cut_sentences = 0
    for run in _runs(split.sentences, reader, list_items=list_items):
        if run.kept:
            pieces += [Piece(run.mark), Piece(run.body, kept=run.kept), Piece(run.gap)]
            continue
        indentation = run.body[: len(run.body) - len(run.body.lstrip())]
        body = run.body[len(indentation) :]
        pieces.append(Piece(run.mark + indentation))
        if reader.fits(body):
            pieces.append(Piece(body, is_passage=True))
        else:
            pieces += _cut(body, reader)
            cut_sentences += 1
        pieces.append(Piece(run.gap))
    return Layout(tuple(piece for piece in pieces if piece.text), cut_sentences)


@dataclass(frozen=True, slots=True)
class _Run:
    """Sentences that stand together, with the mark before them and the space after."""

    mark: str
    body: str
    gap: str
    kept: str


def _runs(sentences: Sequence[Sentence], reader: Reader, *, list_items: bool) -> Iterator[_Run]:
    """Yield the sentences, those on one line together as long as they fit the reader together."""
    waiting: _Run | None = None
    for one in chain.from_iterable(_as_runs(each, reader, list_items=list_items) for each in sentences):
        if waiting is not None:
            joined = _joined(waiting, one)
            if joined is not None and reader.fits(joined.body.lstrip()):
                waiting = joined
                continue
            yield waiting
        waiting = one
    if waiting is not None:
        yield waiting


def _as_runs(unit: Sentence, reader: Reader, *, list_items: bool) -> Iterator[_Run]:
    """Yield a unit as one run; a list item whose text is rewritten as its sentences, the first with the item's mark."""
    match = _ITEM_MARK.match(unit.body) if unit.kind == "item" and list_items else None
    if match is None:
        kept = _KEPT_KINDS.get(unit.kind) or _why_kept(unit.body, reader)
        yield _Run("", unit.body, unit.gap, kept)
        return
    inner = split_sentences(unit.body[match.end() :])
    mark = match.group() + inner.lead
    for sentence in inner.sentences:
        gap = sentence.gap if sentence is not inner.sentences[-1] else sentence.gap + unit.gap
        kept = _KEPT_KINDS.get(sentence.kind) or _why_kept(sentence.body, reader)
        yield _Run(mark, sentence.body, gap, kept)
        mark = ""


def _why_kept(body: str, reader: Reader) -> str:
    if holds_literal(body):
        return _LITERAL
    if "|" in body:
        return _TABLE
    if not any(each.isalpha() for each in body):
        return _NO_WORDS
    if not reader.knows(body):
        return _UNKNOWN
    return ""


def _joined(first: _Run, second: _Run) -> _Run | None:
    """Return two runs as one; None where one is kept, or a line break or a list mark stands between."""
    if first.kept or second.kept or second.mark or not first.gap or "\n" in first.gap:
        return None
    return _Run(first.mark, f"{first.body}{first.gap}{second.body}", second.gap, "")


def _cut(body: str, reader: Reader) -> Iterator[Piece]:
    """Yield a sentence in passages that fit, the space between them, and what fits nowhere and has no space in it."""
    while not reader.fits(body):
        ends = [match.start() for match in _WORD_ENDS.finditer(body)]
        fitting = _last_fitting(body, ends, reader)
        if fitting is None:  # the first word alone is too long
            end = ends[0] if ends else len(body)
            yield Piece(body[:end], kept=_UNBROKEN)
        else:
            end = _after_clause(body, ends, fitting, reader)
            yield Piece(body[:end], is_passage=True)
        rest = body[end:].lstrip()
        yield Piece(body[end : len(body) - len(rest)])
        body = rest
        if not body:
            return
    yield Piece(body, is_passage=True)


def _last_fitting(body: str, ends: Sequence[int], reader: Reader) -> int | None:
    """Return the index of the last word end up to which the body fits, found by halving; None where none fits."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if reader.fits(body[: ends[middle]]):
            low = middle + 1
        else:
            high = middle
    return low - 1 if low else None


def _after_clause(body: str, ends: Sequence[int], fitting: int, reader: Reader) -> int:
    """Return the last word end in the second half of what fits that ends a clause, else the last that fits."""
    for end in reversed(ends[fitting // 2 : fitting + 1]):
        if _CLAUSE_END.search(body[:end]) and reader.fits(body[:end]):
            return end
    return ends[fitting]


def with_ending(text: str, passage: str) -> str:
    """Return a rewriting that does not end as a sentence where its passage does not.

    Models end with a full stop what was the beginning of a list, half of a sentence that was cut, or a greeting. A
    passage that ends as a sentence leaves its rewriting the mark that it has.
    """
    if _SENTENCE_MARK.search(passage):
        return text
    ending = _OTHER_MARK.search(passage)
    mark = ending.group() if ending else ""
    return f"{text.rstrip('.:,; ')}{mark}" if text.endswith((".", ":", ",", ";")) else f"{text}{mark}"


def with_line_breaks(text: str, passage: str) -> str | None:
    """Return a rewriting with as many line breaks as its passage has, each at the space nearest to the same place.

    A model sees a line break as a space. Where the rewriting has fewer spaces than that, there is none.
    """
    breaks = list(_LINE_BREAK.finditer(passage))
    spaces = [place for place, letter in enumerate(text) if letter == " "]
    if len(spaces) < len(breaks):
        return None
    letters = list(text)
    for number, line_break in enumerate(breaks):
        wanted = line_break.start() / len(passage) * len(text)
        in_reach = spaces[: len(spaces) - (len(breaks) - number - 1)]  # one is left for each break to come
        nearest = min(in_reach, key=lambda place: abs(place - wanted))
        letters[nearest] = line_break.group()
        spaces = [place for place in spaces if place > nearest]
    return "".join(letters)
