"""Rows of two responses and a verdict: PKU-SafeRLHF, HelpSteer 2 and 3, SHP, WebGPT, arena battles and their like."""

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from mars_engine.core.errors import LoadError
from mars_engine.core.records import Prompt, Turn
from mars_engine.data.loaders.cells import Cells, is_blank, plain_name
from mars_engine.data.loaders.drafts import (
    EQUAL_SCORES,
    NO_PREFERENCE,
    NOT_TEXT,
    TIE,
    Dropped,
    PairDraft,
    draft_of_dialogues,
    number_of,
    prompt_of,
)
from mars_engine.data.loaders.prompts import has_prompt, prompt_in
from mars_engine.data.loaders.trl import draft_of_sides, is_side, turns_or_text
from mars_engine.data.loaders.values import are_turns, text_in

Verdict = Literal["first", "second"]

LABEL_UNKNOWN = "which response the label means is not known"

STEMS = ("response", "answer", "output", "completion", "conversation", "reply", "candidate", "generation", "summary",
         "human_ref", "model_response", "model_output", "text", "option")  # fmt: skip
ENDS = (("0", "1"), ("1", "2"), ("a", "b"))
STRENGTHS = ("preference_strength", "overall_preference", "signed_strength")
"""Signed: below 0 the first response is the better one, above 0 the second, and 0 is a tie."""
LABELS = ("winner", "preference", "preferred", "label", "labels", "choice", "better", "better_response", "chosen",
          "human_preference", "preferred_response", "verdict")  # fmt: skip
_FIRST = {"first", "left", "model_1", "model_a"}
_SECOND = {"second", "right", "model_2", "model_b"}
_TIES = ("tie", "both", "equal", "same", "draw", "neither", "none")
_ORDER = re.compile(r"(?P<better>\w+)>+\w+")
_PKU = ("better_response_id", "safer_response_id")


def two_responses(cells: Cells) -> tuple[str, str, str] | None:
    """Return the names of two response columns and their stem; None where a row has no such two."""
    for stem in STEMS:
        for first, second in ENDS:
            for between in ("_", ""):
                names = f"{stem}{between}{first}", f"{stem}{between}{second}"
                if names[0] in cells and names[1] in cells:
                    return *names, stem
    return None


def has_pku(cells: Cells) -> bool:
    return all(name in cells for name in ("prompt", "response_0", "response_1", *_PKU))


def fits_pku(cells: Cells) -> bool:
    return is_side(cells.peek("response_0")) and is_side(cells.peek("response_1"))


def parse_pku(cells: Cells) -> list[PairDraft]:
    preferred = number_of(cells[f"{cells.options.preference}_response_id"])
    if preferred not in {0, 1}:
        raise Dropped(NO_PREFERENCE)
    return _drafts(cells, ("response_0", "response_1"), "second" if preferred == 1 else "first")


def has_two(cells: Cells) -> bool:
    names = two_responses(cells)
    return names is not None and _verdict_columns(cells, names) != ()


def fits_two(cells: Cells) -> bool:
    names = two_responses(cells)
    if names is None or not all(is_side(cells.peek(name)) or _texts(cells.peek(name)) for name in names[:2]):
        return False
    dialogues = all(are_turns(cells.peek(name)) for name in names[:2])
    return dialogues or has_prompt(cells, sides_are_answers=True)


def parse_two(cells: Cells) -> list[PairDraft]:
    names = two_responses(cells)
    if names is None:
        raise Dropped(NO_PREFERENCE)
    return _drafts(cells, names[:2], _verdict(cells, names))


def _drafts(cells: Cells, names: tuple[str, str], verdict: Verdict) -> list[PairDraft]:
    values = [cells[name] for name in names]
    prompts = cells.peek("prompt")
    if all(_texts(value) for value in values) and _texts(prompts):  # the arenas' turns, questions beside answers
        dialogues = [_interleaved(_texts(cells["prompt"]), _texts(value)) for value in values]
        better, worse = dialogues if verdict == "first" else dialogues[::-1]
        return [draft_of_dialogues(better, worse, cells)]
    sides = [turns_or_text(value) for value in values]
    chosen, rejected = sides if verdict == "first" else sides[::-1]
    whole = all(isinstance(side, tuple) and len(side) > 1 for side in sides)
    stated = has_prompt(cells, sides_are_answers=not whole)
    prompt = prompt_in(cells, sides_are_answers=not whole) if stated or not whole else ()
    return [draft_of_sides(cells, prompt, chosen, rejected)]


def _texts(value: Any) -> list[str]:
    """Return the texts that a JSON list of them spells, or a list has; none of anything else."""
    if isinstance(value, str) and value.startswith("[") and value.rstrip().endswith("]"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) and value and all(isinstance(text, str) for text in value) else []


def _interleaved(asked: list[str], answered: list[str]) -> Prompt:
    if len(asked) != len(answered):
        raise Dropped(NOT_TEXT)
    turns = []
    for question, answer in zip(asked, answered, strict=True):
        turns += [*prompt_of(question), Turn("assistant", answer)]
    return tuple(turns)


def _verdict_columns(cells: Cells, names: tuple[str, str, str]) -> tuple[str, ...]:
    """Return the columns that say which response is the better one, the surest first."""
    found = [name for name in STRENGTHS if name in cells]
    winners = ("winner_model_a", "winner_model_b")
    found += [winners[0]] if all(name in cells for name in winners) else []
    found += [name for name in LABELS if name in cells and name not in names]
    if not found and _score_columns(cells, names):
        found = ["scores"]
    return tuple(found)


def _score_columns(cells: Cells, names: tuple[str, str, str]) -> tuple[str, str] | None:
    ends = [name.removeprefix(names[2]).lstrip("_") for name in names[:2]]
    for word in ("score", "rating", "reward"):
        for first, second in (
            (f"{word}_{ends[0]}", f"{word}_{ends[1]}"),
            (f"{names[0]}_{word}", f"{names[1]}_{word}"),
            (f"{word}{ends[0]}", f"{word}{ends[1]}"),
        ):
            if first in cells and second in cells:
                return first, second
    return None


def _verdict(cells: Cells, names: tuple[str, str, str]) -> Verdict:
    for column in _verdict_columns(cells, names):
        if column == "scores":
            return _of_scores(cells, names)
        if column in STRENGTHS:
            strength = number_of(cells[column])
            if strength is None:
                raise Dropped(NO_PREFERENCE)
            if strength == 0:
                raise Dropped(TIE)
            return "first" if strength < 0 else "second"
        if column == "winner_model_a":
            return _of_winners(cells)
        if not is_blank(cells.peek(column)):
            return _of_label(cells[column], names)
    raise Dropped(NO_PREFERENCE)


def _of_scores(cells: Cells, names: tuple[str, str, str]) -> Verdict:
    columns = _score_columns(cells, names)
    scores = [number_of(cells[name]) for name in columns or ()]
    if len(scores) != 2 or scores[0] is None or scores[1] is None:
        raise Dropped(NO_PREFERENCE)
    if scores[0] == scores[1]:
        raise Dropped(EQUAL_SCORES)
    return "first" if scores[0] > scores[1] else "second"


def _of_winners(cells: Cells) -> Verdict:
    cells.use("winner_tie")
    first, second = number_of(cells["winner_model_a"]), number_of(cells["winner_model_b"])
    if first == second:
        raise Dropped(TIE)
    return "first" if (first or 0) > (second or 0) else "second"


def _of_label(label: Any, names: tuple[str, str, str]) -> Verdict:
    """Return whom a label means: it is the end of a column's name, the whole of it, or says first or second.

    Raises:
        Dropped: it says that neither is the better, or a number beside responses that are called a and b.
    """
    said = _said(label)
    ends = [name.removeprefix(names[2]).lstrip("_") for name in names[:2]]
    if names[2] == "human_ref" and said in {"0", "1"}:  # Stanford's SHP: 1 means the first
        return "first" if said == "1" else "second"
    if order := _ORDER.fullmatch(said):  # A>B, B>>A
        said = order["better"]
    for place, (end, words) in enumerate(zip(ends, (_FIRST, _SECOND), strict=True)):
        of_letters = {f"model_{end}", f"response_{end}", f"answer_{end}", f"option_{end}", f"assistant_{end}"}
        if said in {end, names[place], *of_letters} or (said in words and said.rpartition("_")[2] in {end, said}):
            return "first" if place == 0 else "second"
    if any(word in said for word in _TIES) or "=" in said or (said == "c" and ends == ["a", "b"]):
        raise Dropped(TIE)
    raise Dropped(LABEL_UNKNOWN if number_of(label) is not None or isinstance(label, bool) else NO_PREFERENCE)


def _said(label: Any) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else plain_name(str(label))


def validate_labels(rows: Sequence[Cells], location: str) -> None:
    """Raise LoadError where labels of 0 and 1 stand beside responses 1 and 2: which one a 1 means is not known."""
    for cells in rows:
        names = two_responses(cells)
        if names is None or (names[0][-1], names[1][-1]) != ("1", "2"):
            continue
        columns = _verdict_columns(cells, names)
        if columns and columns[0] in LABELS and _said(cells.peek(columns[0])) in ("0", "false", "true"):
            raise LoadError(
                f"{location} has {columns[0]!r} = {cells.peek(columns[0])!r} beside {names[0]!r} and {names[1]!r}",
                expected="1 or 2, or the name of the better response",
                remedy=f"write 1 or 2 into {columns[0]!r}, or name the better one: whether 1 means the first or the "
                "second response cannot be told",
            )


def texts_of_summaries(cells: Cells) -> list[Any]:
    """Return the texts of OpenAI's summaries, which a number chooses from."""
    summaries = cells.peek("summaries")
    return [text_in(summary) for summary in summaries] if isinstance(summaries, list) else []


def has_summaries(cells: Cells) -> bool:
    return all(name in cells for name in ("info", "summaries", "choice"))


def fits_summaries(cells: Cells) -> bool:
    return len(texts_of_summaries(cells)) == 2 and isinstance(cells.peek("info"), dict)


def parse_summaries(cells: Cells) -> list[PairDraft]:
    """OpenAI's comparisons of summaries: the post with its title is the prompt."""
    info, texts, choice = cells["info"], texts_of_summaries(cells), number_of(cells["choice"])
    cells.use("summaries")
    if len(texts) != 2 or not isinstance(info, dict):
        raise Dropped(NOT_TEXT)
    if choice not in {0, 1}:
        raise Dropped(NO_PREFERENCE)
    parts = [info.get(name) for name in ("title", "post", "article")]
    prompt = prompt_of("\n\n".join(part for part in parts if isinstance(part, str) and part.strip()))
    sides = [turns_or_text(text) for text in texts]
    chosen, rejected = sides if choice == 0 else sides[::-1]
    return [draft_of_sides(cells, prompt, chosen, rejected)]
