"""Anthropic HH-RLHF: `chosen` and `rejected` as whole dialogues with "Human:" and "Assistant:" turns."""

import re

from mars_engine.words.records import Prompt, Turn
from mars_engine.world.loaders.drafts import (
    NOT_A_DIALOGUE,
    Draft,
    Dropped,
    Row,
    are_texts,
    checked_text,
    draft_of_dialogues,
)

# The blank line before a speaker and the single space after the colon are separators; all else is text.
_SPEAKER = re.compile(r"(?:\A\n*|\n\n)(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def fits(row: Row) -> bool:
    """One side that reads as a dialogue is enough: the other may be a damaged one."""
    sides = (row["chosen"], row["rejected"])
    return are_texts(*sides) and any(_is_dialogue(side) for side in sides)


def _is_dialogue(text: str) -> bool:
    return text.lstrip("\n").startswith("Human:") and "\n\nAssistant:" in text


def parse(row: Row) -> list[Draft]:
    return [draft_of_dialogues(_turns(checked_text(row["chosen"])), _turns(checked_text(row["rejected"])), row)]


def _turns(dialogue: str) -> Prompt:
    before, *parts = _SPEAKER.split(dialogue)
    if before or not parts:
        raise Dropped(NOT_A_DIALOGUE)
    speakers, contents = parts[::2], parts[1::2]
    return tuple(Turn(_ROLES[speaker], content) for speaker, content in zip(speakers, contents, strict=True))
