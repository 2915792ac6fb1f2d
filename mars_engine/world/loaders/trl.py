"""TRL preference data: standard (texts) and conversational (turns), with an explicit or an implicit prompt."""

from mars_engine.words.records import Turn
from mars_engine.world.loaders.drafts import (
    IDENTICAL_SIDES,
    Draft,
    Dropped,
    Row,
    are_dialogues,
    are_texts,
    checked_text,
    draft_of,
    draft_of_dialogues,
    prompt_of,
    response_of,
    turns_of,
)


def fits_implicit(row: Row) -> bool:
    sides = (row["chosen"], row["rejected"])
    return are_texts(*sides) or are_dialogues(*sides)


def fits_explicit(row: Row) -> bool:
    prompt = row["prompt"]
    return (are_texts(prompt) or are_dialogues(prompt)) and fits_implicit(row)


def parse_explicit(row: Row) -> list[Draft]:
    """A text prompt beside whole dialogues is implicit: TRL takes the prompt from the dialogues then, and so do we."""
    if isinstance(row["prompt"], str) and isinstance(row["chosen"], list):
        return [draft_of_dialogues(turns_of(row["chosen"]), turns_of(row["rejected"]), row)]
    return [draft_of(row, prompt_of(row["prompt"]), response_of(row["chosen"]), response_of(row["rejected"]))]


def parse_implicit(row: Row) -> list[Draft]:
    if isinstance(row["chosen"], list):
        return [draft_of_dialogues(turns_of(row["chosen"]), turns_of(row["rejected"]), row)]
    chosen, rejected = checked_text(row["chosen"]), checked_text(row["rejected"])
    if chosen == rejected:
        raise Dropped(IDENTICAL_SIDES)
    end = _end_of_shared_prompt(chosen, rejected)
    if not chosen[:end].strip():
        return [draft_of(row, (), chosen, rejected)]
    return [draft_of(row, (Turn("user", chosen[:end]),), chosen[end:], rejected[end:])]


def _end_of_shared_prompt(chosen: str, rejected: str) -> int:
    """Return where the shared prompt ends: like TRL's `extract_prompt`, but never inside a word.

    The space between prompt and response goes with the response, as in TRL, so that prompt + response is the text.
    """
    shortest = min(len(chosen), len(rejected))
    end = next((index for index in range(shortest) if chosen[index] != rejected[index]), shortest)
    while end and not (_breaks_before(chosen, end) and _breaks_before(rejected, end)):
        end -= 1
    return end - 1 if end and chosen[end - 1] == " " else end


def _breaks_before(text: str, end: int) -> bool:
    """Whether no word of `text` goes on from position `end` - 1 to `end`."""
    return end == len(text) or text[end].isspace() or text[end - 1].isspace()
