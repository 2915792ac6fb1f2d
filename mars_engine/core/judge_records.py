"""What a judge says of a source pair's label, asked in both orders."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

JUDGE_PREFIX = "judge:"
"""Before a judge's name where it stands among annotators; no annotator's name begins so."""

Preference = Literal["chosen", "rejected", "tie", "unread"]
"""Which answer a judge prefers in one order: the chosen one, the rejected one, neither, or what cannot be read."""
LabelVerdict = Literal["chosen", "rejected", "tie", "inconsistent", "unread"]
"""Of both orders together. "inconsistent": the answer shown first, or the one shown second, is preferred in both."""

VERDICT_WORDS: Mapping[LabelVerdict, str] = {
    "chosen": "the chosen answer is better",
    "rejected": "the rejected answer is better",
    "tie": "neither answer is better",
    "inconsistent": "the order in which the answers were shown decided",
    "unread": "its answer could not be read, or none came",
}


@dataclass(frozen=True, slots=True)
class LabelOpinion:
    """A judge's opinion on a pair, by its label as it was imported, whoever flipped it since."""

    judge: str
    """Names the judge and all that decides what it says, so that another model or prompt is another judge."""
    pair_id: str
    verdict: LabelVerdict
    chosen_first: Preference
    """What it prefers where the chosen answer is shown first."""
    rejected_first: Preference
    note: str
    """Why the verdict is none, or what was said beside it; may be empty."""
    retryable: bool
    """Whether asking again may read what was unread: a server was away."""
    at: datetime
