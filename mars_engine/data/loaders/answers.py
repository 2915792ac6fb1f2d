"""Rows of several answers to one prompt with scores or ranks: UltraFeedback, Nectar and their like.

The best answer is chosen. It is set against the worst, or against each that is worse, as the options say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mars_engine.core.records import Prompt
from mars_engine.data.loaders.cells import Cells
from mars_engine.data.loaders.drafts import (
    EQUAL_SCORES,
    NO_SCORES,
    NOT_TEXT,
    OVERALL_DISAGREES,
    Dropped,
    PairDraft,
    attributes_of,
    number_of,
    subset_of,
)
from mars_engine.data.loaders.prompts import prompt_in
from mars_engine.data.loaders.trl import states_prompt_before_answers
from mars_engine.data.loaders.values import text_in

Completion = Mapping[str, Any]

LISTS = ("completions", "answers", "responses", "candidates", "generations", "outputs", "all_responses", "all_answers",
         "comments", "replies")  # fmt: skip
ITEM_SCORES = ("score", "rating", "overall_score", "pm_score", "preference", "reward", "annotation_score", "upvotes")
LIST_SCORES = ("scores", "ratings", "rewards", "rating", "score", "preferences", "overall_scores", "all_scores")
RANKS = ("rank", "ranking", "ranks", "rankings")
"""Of ranks the lowest is the best."""


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer with its score, the higher the better. `shown` is the score, or the rank, as the row states it."""

    score: float
    text: Any
    model: Any
    shown: float


def has_completions(cells: Cells) -> bool:
    return "instruction" in cells and "completions" in cells


def fits_completions(cells: Cells) -> bool:
    completions = cells.peek("completions")
    return isinstance(completions, list) and any(
        isinstance(completion, Mapping) and "response" in completion for completion in completions
    )


def parse_completions(cells: Cells) -> list[PairDraft]:
    """UltraFeedback. The mean of the ratings decides unless the options say otherwise; a disagreement is noted."""
    completions = cells["completions"]
    if not isinstance(completions, list) or not all(isinstance(completion, Mapping) for completion in completions):
        raise Dropped(NOT_TEXT)
    by_ratings, by_overall = (_scored_by(completions, (score_of,)) for score_of in (_mean_rating, _overall_score))
    order = (_mean_rating, _fine_grained_score, _overall_score)
    if cells.options.deciding == "overall":
        order = (_overall_score, _fine_grained_score, _mean_rating)
    scored = _scored_by(completions, order)
    if not scored:
        raise Dropped(NO_SCORES)
    disagree = bool(by_ratings and by_overall) and _texts(_ends(by_ratings)) != _texts(_ends(by_overall))
    return _drafts(cells, scored, subset_of(cells, "subset", "source"), (OVERALL_DISAGREES,) if disagree else ())


def has_answers(cells: Cells) -> bool:
    return _list_column(cells) is not None


def fits_answers(cells: Cells) -> bool:
    column = _list_column(cells)
    return column is not None and states_prompt_before_answers(cells)


def parse_answers(cells: Cells) -> list[PairDraft]:
    column = _list_column(cells)
    answers = cells[column] if column is not None else None
    if not isinstance(answers, list):
        raise Dropped(NOT_TEXT)
    scored = _scored_items(answers) or _scored_beside(cells, answers)
    if len(scored) < 2:
        raise Dropped(NO_SCORES)
    return _drafts(cells, scored, subset_of(cells, "subset", "domain"), ())


def _list_column(cells: Cells) -> str | None:
    """Return the column that holds a list of answers which have scores or ranks; None where there is none."""
    for name in LISTS:
        value = cells.peek(name) if name in cells else None
        if not isinstance(value, list) or len(value) < 2:
            continue
        of_items = all(isinstance(item, Mapping) and text_in(item) is not None for item in value)
        if of_items and any(key in item for item in value for key in (*RANKS, *ITEM_SCORES)):
            return name
        if (of_items or all(isinstance(item, str) for item in value)) and _column_beside(cells, len(value)):
            return name
    return None


def _column_beside(cells: Cells, count: int) -> str | None:
    for name in (*RANKS, *LIST_SCORES):
        values = cells.peek(name) if name in cells else None
        if isinstance(values, list) and len(values) == count and any(number_of(value) is not None for value in values):
            return name
    return None


def _scored_items(answers: Sequence[Any]) -> list[Scored]:
    if not all(isinstance(answer, Mapping) for answer in answers):
        raise_if_mixed(answers)
        return []
    for key in (*RANKS, *ITEM_SCORES):
        numbers = [number_of(answer.get(key)) for answer in answers]
        if sum(number is not None for number in numbers) > 1:
            sign = -1.0 if key in RANKS else 1.0
            return [
                Scored(sign * number, text_in(answer), answer.get("model"), number)
                for number, answer in zip(numbers, answers, strict=True)
                if number is not None
            ]
    return []


def raise_if_mixed(answers: Sequence[Any]) -> None:
    """Raise Dropped where a list has mappings and texts, of which neither reading is right."""
    if any(isinstance(answer, Mapping) for answer in answers):
        raise Dropped(NOT_TEXT)


def _scored_beside(cells: Cells, answers: Sequence[Any]) -> list[Scored]:
    column = _column_beside(cells, len(answers))
    if column is None:
        return []
    sign = -1.0 if column in RANKS else 1.0
    models = cells.peek("models")
    if isinstance(models, list) and len(models) == len(answers):
        cells.use("models")
    else:
        models = [None] * len(answers)
    numbers = [number_of(value) for value in cells[column]]
    return [
        Scored(sign * number, text_in(answer), model, number)
        for number, answer, model in zip(numbers, answers, models, strict=True)
        if number is not None
    ]


def _drafts(cells: Cells, scored: Sequence[Scored], subset: str, notes: tuple[str, ...]) -> list[PairDraft]:
    """The highest score is chosen; the first of equals counts."""
    best, worst = _ends(scored)
    if best.score == worst.score:
        raise Dropped(EQUAL_SCORES)
    prompt = prompt_in(cells, sides_are_answers=True)
    against = [worst]
    if cells.options.against == "others":
        against = [each for each in scored if each.score < best.score]
    return [_draft(prompt, best, each, subset, notes) for each in against]


def _draft(prompt: Prompt, best: Scored, worse: Scored, subset: str, notes: tuple[str, ...]) -> PairDraft:
    by_rank = best.shown < worse.shown
    scores = {} if by_rank else {"score_chosen": best.shown, "score_rejected": worse.shown}
    attributes = attributes_of({"chosen_model": best.model, "rejected_model": worse.model, **scores})
    return PairDraft(prompt, best.text, worse.text, subset, attributes, notes)


def _ends(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
    return max(scored, key=lambda each: each.score), min(scored, key=lambda each: each.score)


def _texts(ends: tuple[Scored, Scored]) -> list[Any]:
    return [each.text for each in ends]


def _scored_by(
    completions: Sequence[Completion], kinds: Sequence[Callable[[Completion], float | None]]
) -> list[Scored]:
    """Return completions with their scores, all of the first kind that two of them have; none where none has."""
    for score_of in kinds:
        scores = [(score_of(completion), completion) for completion in completions]
        scored = [
            Scored(score, completion.get("response"), completion.get("model"), score)
            for score, completion in scores
            if score is not None
        ]
        if len(scored) > 1:
            return scored
    return []


def _overall_score(completion: Completion) -> float | None:
    return number_of(completion.get("overall_score"))


def _fine_grained_score(completion: Completion) -> float | None:
    return number_of(completion.get("fine-grained_score"))


def _mean_rating(completion: Completion) -> float | None:
    """Return the mean of the annotations' ratings; some are "N/A"."""
    annotations = completion.get("annotations")
    if not isinstance(annotations, Mapping):
        return None
    aspects = [aspect for aspect in annotations.values() if isinstance(aspect, Mapping)]
    ratings = [rating for aspect in aspects if (rating := number_of(aspect.get("Rating"))) is not None]
    return sum(ratings) / len(ratings) if ratings else None
