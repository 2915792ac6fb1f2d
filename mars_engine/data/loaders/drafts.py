"""From the values of a row to a pair: what counts as text, as a turn and as a usable pair, and why a row is dropped.

Reasons are constant strings, or name the roles that were found, so that an import can count them.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mars_engine.core.records import JsonValue, Pair, Prompt, Turn, same_text
from mars_engine.data.loaders.values import is_turn, text_in

Row = Mapping[str, Any]

NOT_TEXT = "not text"
NUL_CHARACTER = "not text: NUL character"
LONE_SURROGATE = "not text: lone surrogate"
PART_NOT_TEXT = "a part of a turn is not text (an image, sound or file)"
HAS_MEDIA = "has an image, a video or a sound"
TOOL_CALLS = "has tool calls"
TOOLS_OFFERED = "offers tools"
BROKEN_TURNS = "turns that are cut off or misspelled"
EMPTY_SIDE = "empty side"
EMPTY_PROMPT = "empty prompt"
IDENTICAL_SIDES = "identical sides"
PROMPTS_DIFFER = "prompts of the two sides differ"
OTHER_PROMPT = "the prompt is not that of the sides' dialogues"
SEVERAL_PROMPTS = "more than one column may be the prompt"
SEVERAL_SYSTEMS = "two different system turns"
NO_RESPONSE = "the response is not one assistant turn"
NOT_A_DIALOGUE = "not a dialogue"
EQUAL_SCORES = "all scores are equal"
NO_SCORES = "fewer than two scored completions"
NO_PREFERENCE = "no preferred response"
TIE = "a tie: neither response is preferred"

SCORES_REVERSED = "the scores say the reverse of the label"
OVERALL_DISAGREES = "the overall score and the mean of the ratings choose different answers"

ATTRIBUTE_COLUMNS = (
    "chosen_model",
    "rejected_model",
    "chosen_preference",
    "rejected_preference",
    "score_chosen",
    "score_rejected",
)
"""Columns kept as a pair's attributes. The list is closed: a column that marks planted label noise is never read."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LARGEST_INTEGER = 2**63 - 1
_LISTED_ROLES = 6


class Dropped(Exception):  # noqa: N818 - a verdict on a row, not an error of the program
    """Raised by a parser for a row, or one pair of a row, that cannot be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PairDraft:
    """A pair as its row states it; `checked_pair` decides whether it can be used. `notes` are odd and no hindrance."""

    prompt: Prompt
    chosen: Any
    rejected: Any
    subset: str = ""
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def checked_pair(draft: PairDraft) -> Pair:
    """Return the pair of a draft, its texts exactly as the row has them.

    Raises:
        Dropped: a side is not text, is blank, or says what the other says.
    """
    chosen, rejected = checked_text(draft.chosen), checked_text(draft.rejected)
    if not chosen.strip() or not rejected.strip():
        raise Dropped(EMPTY_SIDE)
    if same_text(chosen) == same_text(rejected):
        raise Dropped(IDENTICAL_SIDES)
    return Pair.of(draft.prompt, chosen, rejected, subset=draft.subset, attributes=draft.attributes)


def checked_text(value: Any) -> str:
    """Return `value` unchanged where it is text that every database and file can hold; else raise Dropped."""
    if not isinstance(value, str):
        raise Dropped(NOT_TEXT)
    if "\0" in value:
        raise Dropped(NUL_CHARACTER)
    if not value.isascii() and _SURROGATE.search(value):
        raise Dropped(LONE_SURROGATE)
    return value


def turns_of(value: Any) -> Prompt:
    """Return a turn or a list of turns, {role, content} each, as turns; else raise Dropped."""
    items = [value] if is_turn(value) else value
    if not isinstance(items, list) or not items:
        raise Dropped(NOT_TEXT)
    return tuple(_turn_of(item) for item in items)


def _turn_of(item: Any) -> Turn:
    if not isinstance(item, Mapping):
        raise Dropped(NOT_TEXT)
    if item.get("calls") or item.get("role") == "tool":
        raise Dropped(TOOL_CALLS)
    role, content = checked_text(item.get("role")), checked_text(_joined_parts(item.get("content")))
    if not role:
        raise Dropped(NOT_TEXT)
    return Turn(role, content)


def _joined_parts(content: Any) -> Any:
    """Return a turn's content, the texts of its parts joined where it is a list of parts."""
    if not isinstance(content, list) or not content:
        return content
    texts = []
    for part in content:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str) or (isinstance(part, Mapping) and part.get("type", "text") not in _TEXT_PARTS):
            raise Dropped(PART_NOT_TEXT if isinstance(part, Mapping) else NOT_TEXT)
        texts.append(text)
    return "".join(texts)


_TEXT_PARTS = frozenset({"text", "input_text", "output_text", None})


def prompt_of(value: Any) -> Prompt:
    """Return an explicit prompt: turns, or a text that becomes one user turn; else raise Dropped."""
    turns = (
        turns_of(value) if isinstance(value, list) or is_turn(value) else (Turn("user", checked_text(text_in(value))),)
    )
    if not any(turn.content.strip() for turn in turns):
        raise Dropped(EMPTY_PROMPT)
    return turns


def draft_of_dialogues(chosen: Prompt, rejected: Prompt, row: Row) -> PairDraft:
    """Return the draft of two dialogues that share all turns but the last, which is the assistant's."""
    if chosen[-1].role != "assistant" or rejected[-1].role != "assistant":
        ends = [dialogue for dialogue in (chosen, rejected) if dialogue[-1].role != "assistant"]
        raise Dropped(no_response(ends[0]))
    if not same_turns(chosen[:-1], rejected[:-1]):
        raise Dropped(PROMPTS_DIFFER)
    return draft_of(row, chosen[:-1], chosen[-1].content, rejected[-1].content)


def no_response(turns: Prompt) -> str:
    """Return why turns are no response, with the roles that were found."""
    roles = [turn.role[:20] for turn in turns[:_LISTED_ROLES]]
    more = ", …" if len(turns) > _LISTED_ROLES else ""
    return f"{NO_RESPONSE}: the roles are {', '.join(roles)}{more}"


def same_turns(one: Prompt, other: Prompt) -> bool:
    """Whether two prompts say the same, blank lines around their texts aside."""
    return len(one) == len(other) and all(
        mine.role == yours.role and same_text(mine.content) == same_text(yours.content)
        for mine, yours in zip(one, other, strict=True)
    )


def draft_of(row: Row, prompt: Prompt, chosen: Any, rejected: Any, *, keep: Sequence[str] = ()) -> PairDraft:
    """Return a draft with the row's subset and attributes; `keep` names further attribute columns."""
    attributes = attributes_of({name: row.get(name) for name in (*ATTRIBUTE_COLUMNS, *keep)})
    return PairDraft(prompt, chosen, rejected, subset_of(row, "subset", "domain"), attributes)


def subset_of(row: Row, *columns: str) -> str:
    """Return the first of the columns that holds text that can be stored, else an empty text."""
    values = (row.get(name) for name in columns)
    return next((value for value in values if isinstance(value, str) and value and _can_be_kept(value)), "")


def attributes_of(values: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return the values that plain JSON can hold; a missing or unusable attribute does not cost the pair."""
    return {name: value for name, value in values.items() if _can_be_kept(value)}


def _can_be_kept(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and (value.isascii() or not _SURROGATE.search(value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) <= _LARGEST_INTEGER


def number_of(value: Any) -> float | None:
    """Return a finite number, also one written as text; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def are_texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
