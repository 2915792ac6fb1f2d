"""RewardBench 1 (one chosen, one rejected text) and 2 (lists of correct and of incorrect answers)."""

from itertools import product
from typing import Any

from mars_engine.world.loaders.drafts import EMPTY_SIDE, NOT_TEXT, Draft, Dropped, Row, are_texts, draft_of, prompt_of


def fits_v1(row: Row) -> bool:
    return are_texts(row["prompt"], row["chosen"], row["rejected"])


def parse_v1(row: Row) -> list[Draft]:
    return [draft_of(row, prompt_of(row["prompt"]), row["chosen"], row["rejected"], keep=("id",))]


def fits_v2(row: Row) -> bool:
    return all(isinstance(side, list) and bool(side) and are_texts(*side) for side in (row["chosen"], row["rejected"]))


def parse_v2(row: Row) -> list[Draft]:
    """Every correct answer against every incorrect one."""
    prompt = prompt_of(row["prompt"])
    sides = product(_answers(row["chosen"]), _answers(row["rejected"]))
    return [draft_of(row, prompt, chosen, rejected, keep=("id",)) for chosen, rejected in sides]


def _answers(side: Any) -> list[Any]:
    if not isinstance(side, list):
        raise Dropped(NOT_TEXT)
    if not side:
        raise Dropped(EMPTY_SIDE)
    return side
