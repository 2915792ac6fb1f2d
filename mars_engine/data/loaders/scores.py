"""Scores of the two sides of a row: ties are dropped, and scores that say the reverse of the label are counted."""

from collections.abc import Sequence
from dataclasses import replace

from mars_engine.data.loaders.cells import Cells, value_at
from mars_engine.data.loaders.drafts import EQUAL_SCORES, SCORES_REVERSED, TIE, Dropped, PairDraft, number_of

_WORDS = (
    "score",
    "rating",
    "avg_rating",
    "average_rating",
    "mean_rating",
    "overall_rating",
    "overall_score",
    "reward",
    "grade",
)
SCORE_COLUMNS = tuple(
    columns
    for word in _WORDS
    for columns in ((f"{word}_chosen", f"{word}_rejected"), (f"chosen_{word}", f"rejected_{word}"))
)
"""Names of the two sides' scores, as they are written after `plain_name`."""


def side_scores(cells: Cells) -> tuple[float, float] | None:
    """Return the scores of the chosen and the rejected side, None where a row does not have both."""
    named = cells.options.scores
    if named:
        given = [number_of(value_at(cells.row, named.get(side, ""))) for side in ("chosen", "rejected")]
        for column in named.values():
            cells.names.setdefault(column, column)
            cells.use(column)
        return (given[0], given[1]) if given[0] is not None and given[1] is not None else None
    for chosen, rejected in SCORE_COLUMNS:
        if chosen in cells and rejected in cells:
            better, worse = number_of(cells[chosen]), number_of(cells[rejected])
            if better is not None and worse is not None:
                return better, worse
    return None


def with_scores(drafts: Sequence[PairDraft], cells: Cells) -> list[PairDraft]:
    """Return drafts with the sides' scores among their attributes, and a note where these say the reverse.

    Raises:
        Dropped: the scores are equal, so that the label says nothing.
    """
    scores = side_scores(cells)
    if scores is None:
        _refuse_stated_tie(cells)
        return list(drafts)
    better, worse = scores
    if better == worse:
        raise Dropped(EQUAL_SCORES)
    notes = (SCORES_REVERSED,) if better < worse else ()
    return [
        replace(
            draft,
            attributes={**draft.attributes, "score_chosen": better, "score_rejected": worse},
            notes=(*draft.notes, *notes),
        )
        for draft in drafts
    ]


def _refuse_stated_tie(cells: Cells) -> None:
    """Raise Dropped where two ratings in a list are equal, or the status of the row is a tie."""
    for name in ("rating", "ratings", "scores"):
        values = cells.peek(name)
        if isinstance(values, list) and len(values) == 2:
            numbers = [number_of(value) for value in values]
            cells.use(name)
            if numbers[0] is not None and numbers[0] == numbers[1]:
                raise Dropped(EQUAL_SCORES)
    status = cells.peek("status")
    if isinstance(status, str) and status.strip().lower() == "tie":
        cells.use("status")
        raise Dropped(TIE)
