"""Reading a chat model's answer: rewrites out of JSON, fenced, cut off or damaged, or of a list; which can be used."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mars_engine.augment.quality.text_facts import normalized
from mars_engine.store.database import is_storable

CUT_OFF = "length"
"""The finish reason of an answer that reached its token limit."""
LONGEST_FACTOR, LONGEST_REST = 4, 2_000
"""A rewrite of more than so many times its source's characters, and so many more, is absurdly long."""
REWRITES = "rewrites"
SCHEMA_OF_REWRITES: dict[str, Any] = {
    "type": "object",
    "properties": {REWRITES: {"type": "array", "items": {"type": "string"}}},
    "required": [REWRITES],
    "additionalProperties": False,
}
SCHEMA_OF_JUDGEMENT: dict[str, Any] = {
    "type": "object",
    "properties": {"better": {"type": "string", "enum": ["first", "second", "tie"]}},
    "required": ["better"],
    "additionalProperties": False,
}

EXAMPLES = frozenset({"first rewrite", "second rewrite"})
"""What stands for the rewrites in the packaged prompts' example; weak models repeat it."""

_DECODER = json.JSONDecoder(strict=False)  # models write line breaks into strings as they are
_THOUGHTS = re.compile(r"\A\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_END_OF_THOUGHTS = re.compile(r"</think(?:ing)?>")
_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_ANY_LIST = re.compile(r"\{\s*\"[^\"\n]{0,100}\"\s*:\s*\[|\[")
_NAMED_LIST = re.compile(rf"\{{\s*\"{REWRITES}\"\s*:\s*\[")
_AFTER_AN_ITEM = re.compile(r"[ \t\r\n]*(?:,|\]|\Z)")
_BETWEEN_ITEMS = frozenset(" \t\r\n,")
_NAME_OF_A_REWRITE = re.compile(r"(?:rewrite|paraphrase|version|variant|option|text|answer)?[ _-]*\d*", re.IGNORECASE)
"""Under which a JSON object may have a rewrite each; what it says beside them has other names."""
_MOST_STARTS = 50
_NUMBERED = re.compile(r"^[ ]{0,3}(?:\*\*)?(\d{1,3})[.):](?:\*\*)?[ \t]+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """The whole rewrites that an answer holds, and how many more were begun and cut off, or are damaged."""

    rewrites: tuple[str, ...]
    lost: int = 0
    damaged: int = 0
    """Rewrites that nobody can tell the end of, as where quotation marks in them are not escaped."""


@dataclass(frozen=True, slots=True)
class Vetted:
    """The rewrites that can be used, and why others, or all, cannot."""

    usable: tuple[str, ...]
    reason: str
    """Empty where all that were wanted are there."""


# -------------------------------------------------------------------------------------------------------- rewrites


def read_rewrites(answer: str, *, finish_reason: str, wanted: int, source: str = "") -> Reading:
    """Return the rewrites in an answer; none that was cut off, and none of what a model thought before it answered.

    Understood are a JSON object with one list, a JSON list, both in a fence or after other words, and both cut off;
    a numbered list, unless the source has one itself; and, where one rewrite was wanted, a plain text. A list by the
    name that was agreed comes before any other.
    """
    text = _without_thoughts(answer)
    pieces = [text, *(match[2] for match in _FENCED.finditer(text))]
    # One plain text may hold code of its own: there, JSON counts only where it says that it is the answer.
    any_named = pieces if wanted > 1 else pieces[:1] if _opens_json(text) else []
    for piece, named_only in [*[(piece, True) for piece in pieces], *[(piece, False) for piece in any_named]]:
        found = _read_json(piece, named_only=named_only)
        if found is not None:
            return found
    was_cut = finish_reason == CUT_OFF
    if not _NUMBERED.search(source) and (listed := _read_numbered(text)):
        return Reading(tuple(listed[:-1]), 1) if was_cut else Reading(tuple(listed))
    if wanted == 1 and text.strip() and not _opens_json(text):
        return Reading((), 1) if was_cut else Reading((text.strip(),))
    return Reading((), int(was_cut and bool(text.strip())))


def _without_thoughts(answer: str) -> str:
    """Return an answer without what was thought before it; its opening tag may stand in the server's template."""
    text = _THOUGHTS.sub("", answer)
    ends = [] if _opens_json(text) else list(_END_OF_THOUGHTS.finditer(text))
    return text[ends[-1].end() :] if ends else text


def _opens_json(text: str) -> bool:
    return text.lstrip().lstrip("`").removeprefix("json").lstrip()[:1] in ("{", "[")


def _read_json(text: str, *, named_only: bool) -> Reading | None:
    """Return what the first JSON object or list with texts in it holds; None where there is none.

    With `named_only`, an object with the list's agreed name alone is one.
    """
    for start in _starts(text):
        try:
            value, _ = _DECODER.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError):
            cut = _read_cut_list(text, start, named_only=named_only)
            if cut is not None:
                return cut
            continue
        is_named = isinstance(value, dict) and REWRITES in value
        texts = _texts_in(value) if is_named or not named_only else None
        if texts is not None:
            return Reading(tuple(texts))
    return None


def _starts(text: str) -> Iterator[int]:
    """Yield where JSON may begin: at the first brace or bracket, and at those that open a line."""
    starts = [match.start(1) for match in re.finditer(r"^[ \t]*([{\[])", text, re.MULTILINE)]
    first = re.search(r"[{\[]", text)
    yield from [*dict.fromkeys([*([first.start()] if first else []), *starts])][:_MOST_STARTS]


def _texts_in(value: Any) -> list[str] | None:
    """Return the texts that a JSON value lists; None where it lists none."""
    if isinstance(value, dict):
        lists = [each for each in value.values() if isinstance(each, list)]
        named = value.get(REWRITES)
        if isinstance(named, list):
            return _texts_in(named)
        if isinstance(named, str):
            return [named]
        if len(lists) == 1:
            return _texts_in(lists[0])
        is_each_a_rewrite = all(
            isinstance(text, str) and _NAME_OF_A_REWRITE.fullmatch(name) for name, text in value.items()
        )
        return list(value.values()) if value and is_each_a_rewrite else None
    if isinstance(value, list):
        texts = [_text_of(item) for item in value]
        return [text for text in texts if text is not None] if any(text is not None for text in texts) else None
    return None


def _text_of(item: Any) -> str | None:
    if isinstance(item, dict):
        texts = [each for each in item.values() if isinstance(each, str)]
        return texts[0] if len(texts) == 1 else None
    return item if isinstance(item, str) else None


def _read_cut_list(text: str, start: int, *, named_only: bool) -> Reading | None:
    """Return the whole items of a list whose JSON ends too early or is damaged; None where no list begins."""
    opening = (_NAMED_LIST if named_only else _ANY_LIST).match(text, start)
    if opening is None:
        return None
    items: list[str] = []
    position = opening.end()
    while True:
        while text[position : position + 1] in _BETWEEN_ITEMS:
            position += 1
        if text[position : position + 1] in ("", "]"):
            return Reading(tuple(items)) if items else None
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError):
            is_text = text[position] in '"{'
            return Reading(tuple(items), int(is_text)) if items or is_text else None
        if (found := _text_of(value)) is None:
            continue
        if not _AFTER_AN_ITEM.match(text, position):
            return Reading(tuple(items), damaged=1)
        items.append(found)


def _read_numbered(text: str) -> list[str]:
    """Return the items of a list numbered 1, 2, …; what stands before it is left out."""
    marks: list[re.Match[str]] = []
    for mark in _NUMBERED.finditer(text):
        if int(mark[1]) == len(marks) + 1:
            marks.append(mark)
    ends = [mark.start() for mark in marks[1:]] + [len(text)] * bool(marks)
    return [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]


# --------------------------------------------------------------------------------------------------------- vetting


def vet_rewrites(reading: Reading, *, source: str, others: Sequence[str], wanted: int) -> Vetted:
    """Return the rewrites that can be used, `wanted` at most, each once.

    Args:
        reading: what the answer holds.
        source: the text that was to be rewritten.
        others: texts that a rewrite must not be either.
        wanted: how many were asked for.
    """
    longest = LONGEST_FACTOR * max(map(len, (source, *others))) + LONGEST_REST
    forbidden = {normalized(each): "the other answer itself" for each in others}
    forbidden[normalized(source)] = "the text itself, unchanged"
    usable: dict[str, str] = {}
    faults: Counter[str] = Counter()
    for rewrite in reading.rewrites:
        text, key = rewrite.strip(), normalized(rewrite)
        if not text:
            faults["empty"] += 1
        elif key in forbidden:
            faults[forbidden[key]] += 1
        elif key in EXAMPLES:
            faults["the example of the prompt"] += 1
        elif len(text) > longest:
            faults[f"longer than {longest:,} characters"] += 1
        elif not is_storable(text):
            faults["with characters that are no text"] += 1
        elif key in usable:
            faults["said twice"] += 1
        else:
            usable[key] = text
    faults["cut off"] += reading.lost
    faults["damaged (quotation marks that are not escaped?)"] += reading.damaged
    kept = tuple(usable.values())[:wanted]
    return Vetted(kept, "" if len(kept) >= wanted else _shortfall(len(kept), wanted, +faults))


def _shortfall(usable: int, wanted: int, faults: Counter[str]) -> str:
    details = ", ".join(f"{count} {fault}" for fault, count in faults.items())
    if not details:
        details = "no more were given" if usable else "the answer holds no rewrites"
    return f"only {usable} of {wanted} rewrites can be used: {details}"


# ------------------------------------------------------------------------------------------------------- judgements


def read_judgement(answer: str) -> Literal["first", "second", "tie"] | None:
    """Return which answer a judge prefers; None where it does not say so plainly."""
    text = _without_thoughts(answer)
    for piece in (text, *(match[2] for match in _FENCED.finditer(text))):
        for start in _starts(piece):
            try:
                value, _ = _DECODER.raw_decode(piece, start)
            except (json.JSONDecodeError, RecursionError):
                continue
            if isinstance(value, dict) and (said := _preference(value.get("better"))):
                return said
    return _preference(text)


def _preference(said: Any) -> Literal["first", "second", "tie"] | None:
    word = said.strip().strip("\"'.*").lower() if isinstance(said, str) else ""
    return word if word in ("first", "second", "tie") else None  # type: ignore[return-value]
