"""What the browser is given of a blind comparison: texts by side, and what its reader has voted, without any name."""

from collections.abc import Sequence
from typing import Any

from mars_engine.align.blind.comparing import first_is_left
from mars_engine.align.blind.votes import standing_votes
from mars_engine.core.review_records import ComparedAnswers, Comparison, ComparisonVote


def deal_comparison(
    comparison: Comparison, answers: Sequence[ComparedAnswers], votes: Sequence[ComparisonVote], *, annotator: str
) -> dict[str, Any]:
    """Return the cards of a comparison and the votes of one person that stand, oldest first, as plain JSON.

    Nothing in it tells whose answers they are.
    """
    return {
        "cards": [_card(comparison, each, annotator) for each in answers],
        "votes": [
            {"number": vote.number, "action": _side(comparison, vote.number, annotator, vote.vote)}
            for vote in standing_votes(votes).get(annotator, {}).values()
        ],
        "last_sequence": max((vote.sequence for vote in votes if vote.annotator == annotator), default=0),
    }


def _card(comparison: Comparison, answers: ComparedAnswers, annotator: str) -> dict[str, Any]:
    sides = (answers.first, answers.second)
    left, right = sides if first_is_left(comparison, answers.number, annotator) else sides[::-1]
    turns = [{"role": turn.role, "content": turn.content} for turn in answers.prompt]
    return {"number": answers.number, "prompt": turns, "left": left, "right": right}


def _side(comparison: Comparison, number: int, annotator: str, vote: str) -> str:
    """Return a vote as the person gave it: 'left', 'right', 'tie' or 'skip'."""
    if vote not in ("first", "second"):
        return vote
    return "left" if (vote == "first") == first_is_left(comparison, number, annotator) else "right"
