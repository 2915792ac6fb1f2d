"""UltraFeedback, as openbmb published it (scored completions) and as HuggingFaceH4 binarized it."""

from collections.abc import Callable, Mapping
from typing import Any

from mars_engine.world.loaders.drafts import (
    EQUAL_SCORES,
    NO_SCORES,
    NOT_TEXT,
    Draft,
    Dropped,
    Row,
    are_dialogues,
    attributes_of,
    draft_of_dialogues,
    number_of,
    prompt_of,
    subset_of,
    turns_of,
)

Completion = Mapping[str, Any]


def fits_completions(row: Row) -> bool:
    completions = row["completions"]
    return isinstance(completions, list) and any(
        isinstance(completion, Mapping) and "response" in completion for completion in completions
    )


def parse_completions(row: Row) -> list[Draft]:
    """The completion with the highest score is chosen, the one with the lowest rejected; the first of equals counts."""
    scored = _scored_completions(row["completions"])
    best, chosen = max(scored, key=lambda item: item[0])
    worst, rejected = min(scored, key=lambda item: item[0])
    if best == worst:
        raise Dropped(EQUAL_SCORES)
    attributes = attributes_of(
        {
            "chosen_model": chosen.get("model"),
            "rejected_model": rejected.get("model"),
            "score_chosen": best,
            "score_rejected": worst,
        }
    )
    subset = subset_of(row, "subset", "source")
    return [Draft(prompt_of(row["instruction"]), chosen.get("response"), rejected.get("response"), subset, attributes)]


def _scored_completions(completions: Any) -> list[tuple[float, Completion]]:
    """Return completions with their scores, all of one kind: overall, else fine-grained, else the mean annotation."""
    if not isinstance(completions, list) or not all(isinstance(completion, Mapping) for completion in completions):
        raise Dropped(NOT_TEXT)
    kinds: tuple[Callable[[Completion], float | None], ...] = (_overall_score, _fine_grained_score, _mean_rating)
    for score_of in kinds:
        scores = [(score_of(completion), completion) for completion in completions]
        scored = [(score, completion) for score, completion in scores if score is not None]
        if len(scored) > 1:
            return scored
    raise Dropped(NO_SCORES)


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


def fits_binarized(row: Row) -> bool:
    return are_dialogues(row["chosen"], row["rejected"])


def parse_binarized(row: Row) -> list[Draft]:
    """Pairs with equal scores are dropped: which of the two was put first says nothing."""
    score_chosen, score_rejected = number_of(row["score_chosen"]), number_of(row["score_rejected"])
    if score_chosen is not None and score_chosen == score_rejected:
        raise Dropped(EQUAL_SCORES)
    return [draft_of_dialogues(turns_of(row["chosen"]), turns_of(row["rejected"]), row)]
