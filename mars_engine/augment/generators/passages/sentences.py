"""Passages of a text: the spans that must survive byte for byte, and the sentences it is made of.

Both know Markdown as chat answers use it. They err on the safe side: a span protected too much costs variety, one
protected too little costs a quotation or a name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Span = tuple[int, int]

_UNITS = (
    r"%|°\s?[CFK]?|(?:per\s?cent|percent|percentage\spoints?|degrees?|seconds?|minutes?|hours?|days?|weeks?|months?|years?"
    r"|millimetres?|centimetres?|metres?|kilometres?|meters?|kilometers?|miles?|feet|foot|inch(?:es)?|yards?|acres?"
    r"|grams?|kilograms?|kilos?|tonnes?|tons?|pounds?|ounces?|litres?|liters?|millilitres?|gallons?|pints?|cups?"
    r"|tablespoons?|teaspoons?|dollars?|euros?|cents?|pence|points?|calories|watts?|volts?|bytes?"
    r"|thousand|million|billion|dozen|a\.?m\.?|p\.?m\.?|[kcmdµμn]?[gmlsWVJ]|[kKMGT]i?[Bb]|h|Hz|[kMG]Hz|kWh|km/h|mph|kcal|cal|ft|in|lb|oz|px)"
    r"(?:\s(?:per|an?)\s(?:second|minute|hour|day|week|month|year|litre|liter|gallon|person|cent))?\b"
)

_LITERAL = r"""
        (?P<tick>`+)(?!`)(?:(?!\n[ \t\r]*\n).)+?(?<!`)(?P=tick)(?!`)                     # inline code
      | \$\$.{1,2000}?\$\$ | \\\(.{1,2000}?\\\) | \\\[.{1,2000}?\\\]  # LaTeX
      | (?<![\\$])\$(?=[^\s$])[^$\n]*?(?<![\s\\])\$(?![\d$])
      | (?:https?|ftp|file|mailto):[^\s<>]+ | www\.[^\s<>]+
      | \]\([^)\n]{0,2000}\)                                          # the target of a link
      | <[A-Za-z/!][^>\n]{0,500}>                                    # a tag
"""
_PROTECTED = re.compile(
    r"""
    ^(?:
        [ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*(?P=fence)[`~]*[ \t\r]*$|\Z)  # fenced code, to the end if open
      | [ \t]*>[^\n]*                                          # a quoted line
      | (?:[ ]{4,}|[ ]{0,3}\t)[^\n]*                            # an indented line, perhaps code
    )
    | (?=[`$\\hfmw<\]"“«„'‘0-9€£¥])(?:                          # what can begin none of these is passed over at once
        LITERAL
      | (?<!\w)"[^"\n]*(?:\n(?![ \t\r]*\n)[^"\n]*)*(?:"|\Z|(?=\n)) # quotations, to the end of the paragraph if open
      | “[^”\n]*(?:\n(?![ \t\r]*\n)[^”\n]*)*(?:”|\Z|(?=\n))
      | «[^»\n]*» | „[^“”\n]*[“”]
      | (?<![\w'])'(?=\S)(?:[^'\n]|(?<=\w)'(?=\w)|(?<=s)'(?=(?:[^'\n]|(?<=\w)'(?=\w))*[^\s'(]'(?!\w)))+'(?!\w)
      | ‘(?:[^’\n]|(?<=\w)’(?=\w)|(?<=s)’(?=(?:[^’\n‘]|(?<=\w)’(?=\w))*[^\s’(]’(?!\w)))+’(?!\w)
      | [$€£¥]?\d[\d.,:/]*(?:[ \u00a0-]?(?:UNITS))?             # a number with its unit
    )
    """.replace("UNITS", _UNITS).replace("LITERAL", _LITERAL),
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_HOLDS_LITERAL = re.compile(
    rf"{_LITERAL} | ^(?:[ ]{{4,}}|[ ]{{0,3}}\t) | [\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.VERBOSE | re.MULTILINE | re.DOTALL
)


def protected_spans(text: str) -> list[Span]:
    """Return the spans that paraphrasing a passage leaves alone, in order and without overlap.

    They are fenced, indented and inline code, LaTeX, web addresses, link targets, tags, quotations, quoted lines, and
    numbers with their units. Where a phrase is matched, names are told by their capitals, and e-mail addresses, paths
    and identifiers by the marks that join their parts.
    """
    return [match.span() for match in _PROTECTED.finditer(text)]


def holds_literal(text: str) -> bool:
    """Tell whether a text holds what means something only letter by letter.

    That is inline or indented code, LaTeX, a web or e-mail address, the target of a link, or a tag.
    """
    return _HOLDS_LITERAL.search(text) is not None


def gaps(spans: list[Span], length: int) -> Iterator[Span]:
    """Yield the stretches of a text of `length` characters that lie between `spans`."""
    position = 0
    for start, end in spans:
        if position < start:
            yield position, start
        position = end
    if position < length:
        yield position, length


# ------------------------------------------------------------------------------------------------------ sentences


UnitKind = Literal["sentence", "item", "heading", "fenced", "lines"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A unit of a text: a sentence, a list item, a heading, a fenced block, or a run of quoted or table lines.

    `body` begins with the unit's indentation; `gap` is the whitespace between it and the next unit.
    """

    body: str
    gap: str
    kind: UnitKind = "sentence"


@dataclass(frozen=True, slots=True)
class SplitText:
    """A text in sentences. `lead + join(all sentences)` is the text again."""

    lead: str
    sentences: tuple[Sentence, ...]

    def keeping(self, kept: set[int]) -> str:
        """Return the text of the sentences numbered in `kept`, in their order.

        Where some between two kept ones are left out, the widest of the gaps there stays, so that paragraphs stay
        apart and no blank line is doubled. What stood before the first sentence and after the last stays.
        """
        last = len(self.sentences) - 1
        pieces = [self.lead]
        gap = ""
        for number, sentence in enumerate(self.sentences):
            if number in kept:
                pieces += [gap if len(pieces) > 1 else "", sentence.body]
                gap = sentence.gap
            elif number < last:
                gap = max(gap, sentence.gap, key=lambda space: space.count("\n"))
        return "".join(pieces) + (self.sentences[last].gap if self.sentences else "")


ABBREVIATION_END = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|No|Nos|Fig|cf|approx|e\.g|i\.e|[A-Z]))\.\s+$")
_BLOCK = re.compile(
    r"""
      (?P<fenced>^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*(?P=fence)[`~]*[ \t\r]*$|\Z))
    | (?P<lines>(?:^[ \t]*[>|][^\n]*(?:\n|\Z))+)
    | (?P<heading>^\#{1,6}[ ][^\n]*)
    | (?P<item>^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+[^\n]*     # with its indented lines, up to the next item or fence
        (?:\n[ \t]+(?!(?:[-*+•]|\d{1,3}[.)])[ \t])(?!`{3}|~{3})\S[^\n]*)*)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_SENTENCE_END = re.compile(
    r"""
      [.!?…]["”’')\]*_]*(?=[ \t]+["“‘'(\[*_]*[A-Z0-9À-ÖØ-ÞА-ЯΑ-Ω])   # a mark, then a capital or a number
    | [。！？][”’」』）]*(?=\S)
    | (?<=[.!?:…"”)])(?=[ \t\r]*\n)                             # a line that ends with a mark
    | (?<=\S)(?=[ \t\r]*\n[ \t\r]*(?:\n|[^a-z\s]))   # a blank line, or a new line that opens with a capital
    """,
    re.VERBOSE,
)


def split_sentences(text: str) -> SplitText:
    """Split a text into sentences without losing a character.

    A fenced block, a list item with its continuation lines, a heading, and a run of quoted or table lines are one unit
    each. A sentence never ends inside a quotation, code or a formula.
    """
    units = [(span, kind) for span, kind in _units(text) if text[span[0] : span[1]].strip()]
    trimmed = [_without_outer_space(text, span) for span, _ in units]
    if not trimmed:
        return SplitText(text, ())
    ends = [start for start, _ in trimmed[1:]] + [len(text)]
    sentences = tuple(
        Sentence(text[start:end], text[end:next_start], kind)
        for (start, end), next_start, (_, kind) in zip(trimmed, ends, units, strict=True)
    )
    return SplitText(text[: trimmed[0][0]], sentences)


def _units(text: str) -> Iterator[tuple[Span, UnitKind]]:
    blocks = {match.span(): _kind_of(match) for match in _BLOCK.finditer(text)}
    protected = protected_spans(text)
    prose = list(gaps(list(blocks), len(text)))
    for span in sorted([*blocks, *prose]):
        if span in blocks:
            yield span, blocks[span]
        else:
            for sentence in _prose_spans(text, span, protected):
                yield sentence, "sentence"


def _kind_of(block: re.Match[str]) -> UnitKind:
    kinds: tuple[UnitKind, ...] = ("item", "heading", "fenced", "lines")
    return next(kind for kind in kinds if block[kind] is not None)


def _prose_spans(text: str, span: Span, protected: list[Span]) -> Iterator[Span]:
    start, stop = span
    for match in _SENTENCE_END.finditer(text, start, stop):
        end = match.end()
        inside = any(first < end < last for first, last in protected)
        if inside or end <= start or ABBREVIATION_END.search(text[max(start, end - 12) : end] + " "):
            continue
        yield start, end
        start = end
    yield start, stop


def _without_outer_space(text: str, span: Span) -> Span:
    """Trim a span, but leave the indentation of a unit that opens a line."""
    start, end = span
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    line = text.rfind("\n", 0, start) + 1
    if not text[line:start].strip():
        start = max(line, span[0])
    return start, span[0] + len(piece.rstrip())
