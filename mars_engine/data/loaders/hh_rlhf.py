"""Dialogues written as one text with "Human:" and "Assistant:" turns, as Anthropic's HH-RLHF has them.

MARS writes prompts of several turns like that too, with a system turn before them where there is one.
"""

import re

from mars_engine.core.records import Prompt, Turn
from mars_engine.data.loaders.drafts import (
    NOT_A_DIALOGUE,
    Dropped,
    PairDraft,
    Row,
    are_texts,
    checked_text,
    draft_of_dialogues,
)

# The blank line before a speaker and the single space after the colon are separators; all else is text.
_SPEAKER = re.compile(r"(?:\A\n*|\n\n)(Human|Assistant): ?|\A\n*(System): ?")
_ROLES = {"Human": "user", "Assistant": "assistant", "System": "system"}
_BEGINNING = re.compile(r"\s*(Human|System):")
_OPEN_END = re.compile(r"\r?\n\r?\nAssistant:\s*\Z")


def fits(row: Row) -> bool:
    """One side that reads as a dialogue is enough: the other may be a damaged one."""
    sides = (row["chosen"], row["rejected"])
    return are_texts(*sides) and any(is_dialogue(side) for side in sides)


def is_dialogue(text: str) -> bool:
    return bool(_BEGINNING.match(text)) and "\n\nAssistant:" in text.replace("\r\n", "\n")


def is_open_dialogue(text: str) -> bool:
    """Whether a text is a prompt that ends where the assistant is to speak."""
    return bool(_BEGINNING.match(text) and _OPEN_END.search(text))


def parse(row: Row) -> list[PairDraft]:
    return [draft_of_dialogues(dialogue_turns(row["chosen"]), dialogue_turns(row["rejected"]), row)]


def dialogue_turns(dialogue: object) -> Prompt:
    """Return a dialogue's turns; CRLF before a speaker counts like LF. Raises Dropped where it is none."""
    text = checked_text(dialogue)
    before, *parts = _SPEAKER.split(text.replace("\r\n", "\n") if "\r\n" in text else text)
    if before or not parts:
        raise Dropped(NOT_A_DIALOGUE)
    speakers = [human or system for human, system in zip(parts[::3], parts[1::3], strict=True)]
    return tuple(Turn(_ROLES[speaker], content) for speaker, content in zip(speakers, parts[2::3], strict=True))


def open_turns(prompt: str) -> Prompt:
    """Return the turns of an HH-RLHF prompt that ends where the assistant is to speak."""
    return dialogue_turns(_OPEN_END.sub("", prompt))
