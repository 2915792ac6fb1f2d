"""Rows with a chosen and a rejected side: TRL's preference data and all that is laid out like it.

A side is a text, a turn, or a dialogue; the prompt stands in columns of its own, or at the beginning of both sides.
"""

import json

from mars_engine.core.records import Prompt, Turn, same_text
from mars_engine.data.exporter import opening
from mars_engine.data.loaders.cells import Cells, is_blank
from mars_engine.data.loaders.drafts import (
    BROKEN_TURNS,
    IDENTICAL_SIDES,
    NOT_TEXT,
    OTHER_PROMPT,
    Dropped,
    PairDraft,
    Row,
    are_texts,
    checked_text,
    draft_of,
    draft_of_dialogues,
    no_response,
    turns_of,
)
from mars_engine.data.loaders.hh_rlhf import dialogue_turns, is_dialogue
from mars_engine.data.loaders.prompts import has_prompt, prompt_in, refuse_lost_prompt
from mars_engine.data.loaders.values import are_turns, is_broken_spelling, is_turn

Side = str | Prompt

_SHARE_OF_TURNS = 0.7
"""Least share of a prompt's characters that the user's turns must be where it lists several of them."""


def is_side(value: object) -> bool:
    """Whether a value looks like a side: text, a turn, or turns."""
    return is_turn(value) or are_turns(value) or isinstance(value, str)


def has_sides(cells: Cells) -> bool:
    return "chosen" in cells and "rejected" in cells


def are_answers(cells: Cells) -> bool:
    """Whether both sides are single answers, so that the prompt must stand elsewhere."""
    return not any(_is_whole_dialogue(cells.peek(side)) for side in ("chosen", "rejected"))


def _is_whole_dialogue(value: object) -> bool:
    return (are_turns(value) and isinstance(value, list) and len(value) > 1) or (
        isinstance(value, str) and is_dialogue(value)
    )


def states_prompt(cells: Cells) -> bool:
    return has_prompt(cells, sides_are_answers=are_answers(cells))


def states_prompt_before_answers(cells: Cells) -> bool:
    return has_prompt(cells, sides_are_answers=True)


def fits(cells: Cells) -> bool:
    return is_side(cells.peek("chosen")) and is_side(cells.peek("rejected"))


def parse_explicit(cells: Cells) -> list[PairDraft]:
    """The prompt of the columns, before single answers or as the beginning of whole dialogues."""
    chosen, rejected = turns_or_text(cells["chosen"]), turns_or_text(cells["rejected"])
    prompt = prompt_in(cells, sides_are_answers=are_answers(cells))
    return [draft_of_sides(cells, prompt, chosen, rejected)]


def parse_implicit(row: Row) -> list[PairDraft]:
    """The prompt is what both sides begin with."""
    chosen, rejected = (_without_wrapping(turns_or_text(row[side])) for side in ("chosen", "rejected"))
    if isinstance(chosen, str) and isinstance(rejected, str) and (is_dialogue(chosen) or is_dialogue(rejected)):
        chosen, rejected = dialogue_turns(chosen), dialogue_turns(rejected)
    if isinstance(chosen, tuple) and isinstance(rejected, tuple):
        if isinstance(row, Cells) and len(chosen) == len(rejected) == 1:
            refuse_lost_prompt(row)
        return [draft_of_dialogues(chosen, rejected, row)]
    if isinstance(chosen, tuple) or isinstance(rejected, tuple):
        raise Dropped(NOT_TEXT)
    if chosen == rejected:
        raise Dropped(IDENTICAL_SIDES)
    if isinstance(row, Cells):
        refuse_lost_prompt(row)
    end = _end_of_shared_prompt(chosen, rejected)
    if not chosen[:end].strip():
        return [draft_of(row, (), chosen, rejected)]
    return [draft_of(row, (Turn("user", chosen[:end]),), chosen[end:], rejected[end:])]


def draft_of_sides(cells: Row, prompt: Prompt, chosen: Side, rejected: Side) -> PairDraft:
    """Return the draft of a stated prompt and two sides, which may repeat the prompt as their beginning."""
    if isinstance(chosen, str) and isinstance(rejected, str):
        if (is_dialogue(chosen) or is_dialogue(rejected)) and (
            not prompt or is_dialogue(chosen) == is_dialogue(rejected)
        ):
            chosen, rejected = dialogue_turns(chosen), dialogue_turns(rejected)
        else:
            return draft_of(cells, _without_answer(prompt, chosen, rejected), chosen, rejected)
    dialogues = [(Turn("assistant", side),) if isinstance(side, str) else side for side in (chosen, rejected)]
    if all(len(each) == 1 for each in dialogues):
        for each in dialogues:
            if each[0].role != "assistant":
                raise Dropped(no_response(each))
        answers = [each[0].content for each in dialogues]
        return draft_of(cells, _without_answer(prompt, *answers), *answers)
    whole = [_whole(prompt, each, dialogues) for each in dialogues]
    return draft_of_dialogues(whole[0], whole[1], cells)


def _without_wrapping(side: Side) -> Side:
    """Return a dialogue that stands in a single answer as text; only where there is no prompt elsewhere."""
    if isinstance(side, tuple) and [turn.role for turn in side] == ["assistant"] and is_dialogue(side[0].content):
        return side[0].content
    return side


def turns_or_text(value: object) -> Side:
    """Return a side as it is meant: its turns, or its text; raises Dropped."""
    if is_turn(value) or isinstance(value, list):
        return turns_of(value)
    if is_broken_spelling(value):
        raise Dropped(BROKEN_TURNS)
    return checked_text(value)


def _without_answer(prompt: Prompt, *answers: str) -> Prompt:
    """Return a prompt without its last turn where that is one of the answers, as in a list of all messages."""
    last = prompt[-1] if len(prompt) > 1 else None
    if last is not None and last.role == "assistant" and same_text(last.content) in map(same_text, answers):
        return prompt[:-1]
    return prompt


def _whole(prompt: Prompt, side: Prompt, sides: list[Prompt]) -> Prompt:
    """Return a side with all turns that led to it. Raises Dropped where they are not the prompt's."""
    if len(side) == 1:
        return (*prompt, *side)
    if side[0].role == "assistant":
        raise Dropped(no_response(side))
    said = [same_text(turn.content) for turn in side]
    if all(any(same_text(turn.content) in text for text in said) for turn in prompt):
        return side
    in_both = [same_text(turn.content) for each in sides for turn in each]
    if len(prompt) > 1 and all(same_text(turn.content) in in_both for turn in prompt):
        return side  # all messages, the chosen answer with them
    if len(prompt) == 1 and _lists_turns(prompt[0].content, side):
        return side
    raise Dropped(OTHER_PROMPT)


def _lists_turns(text: str, side: Prompt) -> bool:
    """Whether a text is put together from what the user says in a dialogue."""
    turns = [turn.content.strip() for turn in side[:-1]]
    asked = [turn.content.strip() for turn in side[:-1] if turn.role == "user"]
    inside = sum(len(turn) for turn in turns if turn in text)
    return len(asked) > 1 and all(turn in text for turn in asked) and inside >= _SHARE_OF_TURNS * len(text)


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


# ------------------------------------------------------------------------------------------------- further layouts


def has_own(cells: Cells) -> bool:
    return has_sides(cells) and "mars_prompt" in cells


def parse_own(cells: Cells) -> list[PairDraft]:
    """What MARS wrote in a standard shape: `mars_prompt` has the turns that the text of the prompt was made from."""
    try:
        value = cells.raw("mars_prompt")
        stated = json.loads(value) if isinstance(value, str) else value
        prompt = tuple(Turn(checked_text(turn["role"]), checked_text(turn["content"])) for turn in stated)
    except (ValueError, TypeError, KeyError) as error:
        raise Dropped(NOT_TEXT) from error
    cells.use("mars_prompt")
    chosen, rejected = checked_text(cells.raw("chosen")), checked_text(cells.raw("rejected"))
    for name in ("chosen", "rejected", "prompt"):
        cells.use(name)
    if is_blank(cells.raw("prompt")):
        before = opening(prompt)
        if not (chosen.startswith(before) and rejected.startswith(before)):
            return [draft_of_dialogues(dialogue_turns(chosen), dialogue_turns(rejected), cells)]
        chosen, rejected = chosen[len(before) :], rejected[len(before) :]
    return [draft_of(cells, prompt, chosen, rejected)]


def parse_messages(cells: Cells) -> list[PairDraft]:
    """ms-swift: `messages` ends with the chosen answer, and the rejected one stands in a column of its own."""
    messages = turns_of(cells["messages"])
    rejected = turns_or_text(cells["rejected_response" if "rejected_response" in cells else "rejected_messages"])
    if isinstance(rejected, str):
        rejected = (*messages[:-1], Turn("assistant", rejected))
    elif len(rejected) == 1:
        rejected = (*messages[:-1], *rejected)
    return [draft_of_dialogues(messages, rejected, cells)]


def has_messages(cells: Cells) -> bool:
    return "messages" in cells and any(name in cells for name in ("rejected_response", "rejected_messages"))


def fits_messages(cells: Cells) -> bool:
    return are_turns(cells.peek("messages"))


def parse_output_list(cells: Cells) -> list[PairDraft]:
    """LLaMA-Factory: `output` is a list of the chosen and the rejected answer."""
    output = cells["output"]
    if not isinstance(output, list) or len(output) != 2:
        raise Dropped(NOT_TEXT)
    chosen, rejected = (turns_or_text(answer) for answer in output)
    return [draft_of_sides(cells, prompt_in(cells, sides_are_answers=True), chosen, rejected)]


def has_output_list(cells: Cells) -> bool:
    return "instruction" in cells and "output" in cells


def fits_output_list(cells: Cells) -> bool:
    output = cells.peek("output")
    return isinstance(output, list) and len(output) == 2 and are_texts(*output)
