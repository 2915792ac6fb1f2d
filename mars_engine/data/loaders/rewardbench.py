"""RewardBench 1 (one chosen, one rejected text) and 2 (lists of correct and of incorrect answers)."""

from itertools import product
from typing import Any

from mars_engine.data.loaders.cells import Cells
from mars_engine.data.loaders.drafts import EMPTY_SIDE, NOT_TEXT, Dropped, PairDraft, are_texts, draft_of
from mars_engine.data.loaders.prompts import prompt_in
from mars_engine.data.loaders.trl import has_sides, states_prompt


def has_v1(cells: Cells) -> bool:
    return (
        has_sides(cells) and states_prompt(cells) and "id" in cells and "subset" in cells and "num_correct" not in cells
    )


def fits_v1(cells: Cells) -> bool:
    return are_texts(cells.peek("prompt"), cells.peek("chosen"), cells.peek("rejected"))


def parse_v1(cells: Cells) -> list[PairDraft]:
    prompt = prompt_in(cells, sides_are_answers=True)
    return [draft_of(cells, prompt, cells["chosen"], cells["rejected"], keep=("id",))]


def has_v2(cells: Cells) -> bool:
    return has_sides(cells) and states_prompt(cells)


def fits_v2(cells: Cells) -> bool:
    sides = (cells.peek("chosen"), cells.peek("rejected"))
    return all(isinstance(side, list) and bool(side) and are_texts(*side) for side in sides)


def parse_v2(cells: Cells) -> list[PairDraft]:
    """Every correct answer against every incorrect one."""
    prompt = prompt_in(cells, sides_are_answers=True)
    sides = product(_answers(cells["chosen"]), _answers(cells["rejected"]))
    return [draft_of(cells, prompt, chosen, rejected, keep=("id",)) for chosen, rejected in sides]


def _answers(side: Any) -> list[Any]:
    if not isinstance(side, list):
        raise Dropped(NOT_TEXT)
    if not side:
        raise Dropped(EMPTY_SIDE)
    return side
