"""What people decide: review events, what became of them, leases of what is being read, and blind comparisons."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mars_engine.core.records import Prompt

ItemKind = Literal["proposal", "pair"]
ReviewAction = Literal[
    "accept",
    "accept_chosen",
    "accept_rejected",
    "edit",
    "reject",
    "flag",
    "skip",
    "label_right",
    "flip",
    "drop",
    "ambiguous",
    "undo",
]
PROPOSAL_ACTIONS = frozenset({"accept", "accept_chosen", "accept_rejected", "edit", "reject", "flag", "skip", "undo"})
PAIR_ACTIONS = frozenset({"label_right", "flip", "drop", "ambiguous", "skip", "undo"})


Presentation = Literal["open", "blind", "blind_swapped"]
"""How an item was shown: with its labels, without them, or without them and with its two sides exchanged."""


@dataclass(frozen=True, slots=True)
class ReviewEvent:
    """One thing a person (or a policy) did to an item; never changed afterwards.

    `sequence` grows with each act of an annotator. The events of one act on many items share it, and are undone
    together; an event sent twice is stored once.
    """

    item_kind: ItemKind
    item_id: str
    action: ReviewAction
    annotator: str
    sequence: int
    at: datetime
    edited_prompt: Prompt | None = None
    edited_chosen: str | None = None
    edited_rejected: str | None = None
    note: str = ""
    seconds: float = 0.0
    presented: Presentation = "open"


@dataclass(frozen=True, slots=True)
class ReviewMark:
    """What of a review event tells how its item stands. `row` counts all events in the order they were stored."""

    row: int
    item_id: str
    action: ReviewAction
    annotator: str
    sequence: int
    presented: Presentation = "open"


@dataclass(frozen=True, slots=True)
class StandingAct:
    """An act of an annotator that was not taken back: its events of one sequence, on those items where it stands."""

    sequence: int
    items: tuple[str, ...]


ActOutcome = Literal["stored", "present", "nothing_to_undo", "number_taken"]


@dataclass(frozen=True, slots=True)
class RecordedAct:
    """What became of an act that was to be stored.

    "present" was stored before; "nothing_to_undo" and "number_taken" (its sequence is that of a stored act on other
    items or with another action) are not stored.
    """

    sequence: int
    outcome: ActOutcome
    items: tuple[str, ...] = ()
    """The items that it is about; of an undo, those of the act that it takes back."""


@dataclass(frozen=True, slots=True)
class Lease:
    """An annotator reads an item until then; others are not given it, unless overlap asks for it."""

    item_kind: ItemKind
    item_id: str
    annotator: str
    expires_at: datetime


Vote = Literal["first", "second", "tie", "skip", "undo", "reveal"]
"""About compared answers: which is better, neither, later, and 'undo' of the newest vote on them. After 'reveal' a
person knows whose answers they are, and votes no more."""

WHOLE_COMPARISON = -1
"""The number under which a vote is about a comparison as a whole."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two policies, whose answers to the same prompts people compare without knowing whose they are."""

    id: str
    first: str
    """Name of the baseline."""
    second: str
    source: str
    """Where the answers come from, in words."""
    seed: int
    """Decides on which side each answer is shown to whom."""
    left_out: Mapping[str, int]
    """Prompts that are not compared, by reason."""
    made_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ComparedAnswers:
    """Both policies' answers to a prompt; `number` counts from 0 within the comparison."""

    number: int
    prompt: Prompt
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class ComparisonVote:
    """One thing a person did in a comparison; never changed afterwards. One that is sent twice is stored once."""

    comparison_id: str
    annotator: str
    sequence: int
    number: int
    vote: Vote
    seconds: float
    at: datetime
