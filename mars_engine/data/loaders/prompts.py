"""The prompt of a row: in one column or several, as text or turns, with what comes before it and a system turn."""

from typing import Any

from mars_engine.core.records import Prompt, Turn, same_text
from mars_engine.data.loaders.cells import (
    BEFORE_PROMPTS,
    DIALOGUE_PROMPTS,
    METADATA,
    RIVAL_PROMPTS,
    SYSTEM_NAMES,
    TEXT_PROMPTS,
    TOOL_NAMES,
    WEAK_PROMPTS,
    Cells,
    is_blank,
    plain_name,
)
from mars_engine.data.loaders.drafts import (
    BROKEN_TURNS,
    EMPTY_PROMPT,
    NOT_TEXT,
    OTHER_PROMPT,
    SEVERAL_PROMPTS,
    SEVERAL_SYSTEMS,
    Dropped,
    PairDraft,
    checked_text,
    turns_of,
)
from mars_engine.data.loaders.hh_rlhf import is_open_dialogue, open_turns
from mars_engine.data.loaders.values import are_turns, decoded, is_broken_spelling, is_turn, text_in

JOINED = (("instruction", "input"), ("prompt", "input"), ("instruction", "query"), ("instruction", "question"))
"""Columns that make up one prompt together, in this order."""


def has_prompt(cells: Cells, *, sides_are_answers: bool) -> bool:
    """Whether a row has a column for the prompt, be it empty; the weak names count beside single answers alone."""
    if any(name in cells for name in TEXT_PROMPTS):
        return True
    if any(name in cells and isinstance(cells.peek(name), str | list | dict) for name in DIALOGUE_PROMPTS):
        return True
    if any(name in cells and _holds_turns(cells.peek(name)) for name in BEFORE_PROMPTS):
        return True
    return sides_are_answers and any(
        isinstance(cells.peek(name), str) and not is_blank(cells.peek(name))
        for name in (*BEFORE_PROMPTS, *WEAK_PROMPTS)
    )


def prompt_in(cells: Cells, *, sides_are_answers: bool) -> Prompt:
    """Return the prompt that a row's columns state, without its system column.

    Raises:
        Dropped: it is empty or no text, or several columns may be it.
    """
    found = _found(cells, (*TEXT_PROMPTS, *DIALOGUE_PROMPTS))
    before = _found(cells, BEFORE_PROMPTS) if found or sides_are_answers else {}
    is_weak = not found and not before and sides_are_answers
    if is_weak:
        found = _found(cells, WEAK_PROMPTS)
    if not found and not before and not sides_are_answers:
        return ()  # the dialogues have it
    if not found and not before:
        stated = [cells.peek(name) for name in TEXT_PROMPTS if name in cells]
        for name in TEXT_PROMPTS:
            cells.use(name)
        raise Dropped(EMPTY_PROMPT if any(isinstance(value, str) for value in stated) else NOT_TEXT)
    prompt = _with_before(_merged(found), before, after="instruction" in found and len(found) == 1)
    if is_weak:
        refuse_lost_prompt(cells)
    if sides_are_answers:
        _refuse_rivals(cells, prompt, stated=next(iter((*found, *before))))
    return prompt


def _refuse_rivals(cells: Cells, prompt: Prompt, *, stated: str) -> None:
    """Raise Dropped where a column that may be the prompt too says what neither the prompt nor a side says."""
    for name in filter(cells.__contains__, RIVAL_PROMPTS):
        value = cells.peek(name) if name not in cells.used_names else None
        rivals = turns_of(value) if _holds_turns(value) and not _exchanges(value) else ()
        texts = [value] if isinstance(value, str) and len(value.split()) > 1 else [turn.content for turn in rivals]
        if texts:
            said = [same_text(text) for text in (*(turn.content for turn in prompt), *texts_of_sides(cells))]
            if not all(any(same_text(text) in each for each in said) for text in texts):
                raise Dropped(f"{SEVERAL_PROMPTS}: {stated}, {name}")


def texts_of_sides(cells: Cells) -> list[str]:
    return [value for side in ("chosen", "rejected") if isinstance(value := cells.peek(side), str)]


def refuse_lost_history(cells: Cells, draft: PairDraft) -> None:
    """Raise Dropped where a column of what came before the prompt was not used, and says what the pair does not say."""
    for name in BEFORE_PROMPTS:
        value = cells.peek(name) if name not in cells.used_names else None
        if isinstance(value, str) and len(value.split()) > 1 and not cells.options.columns:
            sides = [text for text in (draft.chosen, draft.rejected) if isinstance(text, str)]
            said = [same_text(text) for text in (*(turn.content for turn in draft.prompt), *sides)]
            if not any(same_text(value) in text for text in said):
                raise Dropped(OTHER_PROMPT)


def refuse_lost_prompt(cells: Cells) -> None:
    """Raise Dropped where two answers without a prompt stand beside a column that is not known and may be it.

    Where a person has named the columns, there is no doubt.
    """
    if cells.options.columns:
        return
    for name, value in cells.unused().items():
        meant = decoded(value, cells.options.roles)
        if plain_name(name) in ("chosen", "rejected", *METADATA, *SYSTEM_NAMES, *TOOL_NAMES):
            continue
        if _holds_turns(meant) or (isinstance(meant, str) and len(meant.split()) > 1) or isinstance(meant, dict):
            raise Dropped(f"no prompt, though the column {name[:40]!r} may be it")


def with_system(prompt: Prompt, cells: Cells) -> Prompt:
    """Return the prompt, the system column's text as its first turn where there is one.

    Raises:
        Dropped: the prompt has another system turn already, or the text is none that can be held.
    """
    name = next((name for name in SYSTEM_NAMES if name in cells and not is_blank(cells.peek(name))), None)
    if name is None or isinstance(cells.peek(name), int | float):
        return prompt
    value = cells[name]
    turns = turns_of(value) if _holds_turns(value) and not _exchanges(value) else ()
    text = "\n\n".join(turn.content for turn in turns) if turns else checked_text(text_in(value))
    if prompt and prompt[0].role == "system":
        if same_text(prompt[0].content) == same_text(text):
            return prompt
        raise Dropped(SEVERAL_SYSTEMS)
    return (Turn("system", text), *prompt)


def turns_in_text(text: str) -> Prompt:
    """Return the turns of a prompt that is one text: a dialogue that ends with "Assistant:", or one user turn."""
    checked = checked_text(text)
    return open_turns(checked) if is_open_dialogue(checked) else (Turn("user", checked),)


def _holds_turns(value: Any) -> bool:
    return is_turn(value) or are_turns(value) or bool(_exchanges(value))


def _found(cells: Cells, names: tuple[str, ...]) -> dict[str, Prompt]:
    """Return the prompts that columns of these names hold; they count as used."""
    found: dict[str, Prompt] = {}
    for name in filter(cells.__contains__, names):
        value = cells.peek(name)
        if is_blank(value):
            continue
        if is_broken_spelling(value):
            raise Dropped(BROKEN_TURNS)
        if _holds_turns(value):
            cells.use(name)
            found[name] = _exchanges(value) or turns_of(value)
        elif isinstance(text_in(value), str):
            cells.use(name)
            found[name] = turns_in_text(text_in(value))
    return {name: turns for name, turns in found.items() if any(turn.content.strip() for turn in turns)}


def _exchanges(value: Any) -> Prompt:
    """Return the turns of a list of [question, answer], as LLaMA-Factory writes a history; none of anything else."""
    if not isinstance(value, list) or not value:
        return ()
    if not all(isinstance(each, list) and len(each) == 2 and all(isinstance(t, str) for t in each) for each in value):
        return ()
    return tuple(
        Turn(role, checked_text(text)) for each in value for role, text in zip(("user", "assistant"), each, strict=True)
    )


def _merged(found: dict[str, Prompt]) -> Prompt:
    """Return the one prompt of what was found: columns that repeat another's text add nothing."""
    names = [name for name in found if not any(_repeats(found, name, other) for other in found if other != name)]
    if len(names) < 2:
        return found[names[0]] if names else ()
    joined = next((pair for pair in JOINED if set(pair) == set(names)), None)
    if joined is None or any(len(found[name]) != 1 for name in names):
        raise Dropped(f"{SEVERAL_PROMPTS}: {', '.join(names)}")
    return (Turn("user", "\n\n".join(found[name][0].content for name in joined)),)


def _repeats(found: dict[str, Prompt], name: str, other: str) -> bool:
    """Whether all that a column says stands in another, which comes first where both say the same."""
    theirs = [same_text(turn.content) for turn in found[other]]
    inside = all(any(same_text(turn.content) in text for text in theirs) for turn in found[name])
    mine = [same_text(turn.content) for turn in found[name]]
    mutual = all(any(text in my for my in mine) for text in theirs)
    return inside and (not mutual or list(found).index(other) < list(found).index(name))


def _with_before(prompt: Prompt, before: dict[str, Prompt], *, after: bool) -> Prompt:
    for name, turns in before.items():
        if not prompt:
            prompt = turns
        elif _repeats({"before": turns, "prompt": prompt}, "before", "prompt"):
            continue
        elif len(turns) == 1 and turns[0].role == "user" and len(prompt) == 1:
            parts = [turns[0].content, prompt[0].content]
            if after and name == "context":  # an instruction comes before the text that it is about
                parts.reverse()
            prompt = (Turn("user", "\n\n".join(parts)),)
        else:
            prompt = (*turns, *prompt)
    return prompt
