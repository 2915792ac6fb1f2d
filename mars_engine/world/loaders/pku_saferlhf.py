"""PKU-SafeRLHF: two responses, with which is the better and which the safer."""

from collections.abc import Callable
from typing import Literal

from mars_engine.world.loaders.drafts import (
    NO_PREFERENCE,
    Draft,
    Dropped,
    Row,
    are_texts,
    draft_of,
    number_of,
    prompt_of,
)

Preference = Literal["better", "safer"]


def fits(row: Row) -> bool:
    return are_texts(row["response_0"], row["response_1"])


def parser(preference: Preference) -> Callable[[Row], list[Draft]]:
    """Return a parser that takes the better, or the safer, response as the chosen one."""

    def parse(row: Row) -> list[Draft]:
        preferred = number_of(row[f"{preference}_response_id"])
        if preferred not in {0, 1}:
            raise Dropped(NO_PREFERENCE)
        chosen, rejected = row["response_0"], row["response_1"]
        if preferred == 1:
            chosen, rejected = rejected, chosen
        return [draft_of(row, prompt_of(row["prompt"]), chosen, rejected)]

    return parse
