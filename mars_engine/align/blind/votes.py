"""Votes in a blind comparison: taking them from the browser, which of them stand, and what they come to."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from mars_engine.align.alpaca.win_rate import WinRate, count_wins
from mars_engine.align.blind.comparing import first_is_left
from mars_engine.core.clock import Clock
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import MarsError
from mars_engine.core.records import FloatArray
from mars_engine.core.review_records import WHOLE_COMPARISON, Comparison, ComparisonVote, Vote
from mars_engine.store import Store

LONGEST_NAME = 100
GREATEST_SEQUENCE = 2**52
"""Microseconds from 1970 to the year 2112; JavaScript counts exactly beyond it."""
PREFERENCES: Mapping[Vote, float] = {"first": 0.0, "tie": 0.5, "second": 1.0}
ACTIONS = frozenset({"left", "right", "tie", "skip", "undo", "reveal"})


@dataclass(frozen=True, slots=True)
class TakenVotes:
    """What became of a browser's log: numbers of votes that the database has, and of those it will never have, why."""

    acknowledged: tuple[int, ...]
    refused: tuple[tuple[int, str], ...]


class _RefusedError(Exception):
    """Why a vote can never be stored."""


def take_votes(store: Store, comparison: Comparison, *, annotator: str, log: object, clock: Clock) -> TakenVotes:
    """Store a person's votes as the browser sends them: all that are not acknowledged yet, again and again.

    A vote that is stored already is acknowledged and not stored twice. A vote says 'left' or 'right'; who was there is
    known here alone. After 'reveal', by which a person asks to see the result, votes of theirs are refused.

    Args:
        store: the workspace's memory.
        comparison: what is voted on.
        annotator: who votes.
        log: what the browser sent, plain JSON; what is no vote in it is refused.
        clock: tells when.

    Raises:
        MarsError: the person has no name, or the database refuses; then nothing is stored.
    """
    if not annotator.strip() or len(annotator) > LONGEST_NAME:
        raise MarsError("votes are stored under a name", expected=f"1 to {LONGEST_NAME} characters")
    stored = {vote.sequence: vote for vote in store.comparisons.votes(comparison.id) if vote.annotator == annotator}
    numbers = {each.number for each in store.comparisons.answers(comparison.id)}
    has_seen = any(vote.vote == "reveal" for vote in stored.values())
    now = clock()
    new: list[ComparisonVote] = []
    refused: list[tuple[int, str]] = []
    known: list[int] = []
    for sequence, entry in _in_order(log):
        try:
            vote = _read(entry, sequence, comparison, annotator, numbers, now)
            _require_new_or_same(vote, stored.get(sequence), has_seen=has_seen)
        except _RefusedError as error:
            refused.append((sequence, str(error)))
            continue
        known.append(sequence)
        has_seen = has_seen or vote.vote == "reveal"
        if sequence not in stored:
            new.append(vote)
    if new:
        store.comparisons.append_votes(new)
    return TakenVotes(tuple(known), tuple(refused))


def _in_order(log: object) -> list[tuple[int, Mapping[str, Any]]]:
    """Return a log's votes by their sequences. One without cannot even be refused: nothing says which it is."""
    entries = [(entry, _sequence(entry)) for entry in (log if isinstance(log, list) else [])]
    return sorted(((number, entry) for entry, number in entries if number is not None), key=lambda each: each[0])


def _sequence(entry: object) -> int | None:
    sequence = entry.get("sequence") if isinstance(entry, dict) else None
    if isinstance(sequence, int) and not isinstance(sequence, bool) and 0 < sequence < GREATEST_SEQUENCE:
        return sequence
    return None


def _read(
    entry: Mapping[str, Any], sequence: int, comparison: Comparison, annotator: str, numbers: set[int], at: datetime
) -> ComparisonVote:
    if entry.get("annotator") != annotator:
        raise _RefusedError("it was made under another name")
    if entry.get("comparison") != comparison.id:
        raise _RefusedError("it is about another comparison")
    number, action, seconds = entry.get("number"), entry.get("action"), entry.get("seconds", 0.0)
    if not isinstance(action, str) or action not in ACTIONS:
        raise _RefusedError("there is no such vote")
    if action == "reveal":
        return ComparisonVote(comparison.id, annotator, sequence, WHOLE_COMPARISON, "reveal", 0.0, at)
    if isinstance(number, bool) or not isinstance(number, int) or number not in numbers:
        raise _RefusedError("its prompt is gone")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise _RefusedError("its seconds are no time")
    left: tuple[Vote, Vote] = (
        ("first", "second") if first_is_left(comparison, number, annotator) else ("second", "first")
    )
    votes: dict[str, Vote] = {"left": left[0], "right": left[1], "tie": "tie", "skip": "skip", "undo": "undo"}
    return ComparisonVote(comparison.id, annotator, sequence, number, votes[action], float(seconds), at)


def _require_new_or_same(vote: ComparisonVote, stored: ComparisonVote | None, *, has_seen: bool) -> None:
    if stored is None:
        if has_seen:
            raise _RefusedError("you have seen whose answers they are, so it would not be blind")
    elif (stored.number, stored.vote) != (vote.number, vote.vote):
        raise _RefusedError("another vote of yours has its number, made in another window; vote again")


# ------------------------------------------------------------------------------------------------- what stands


@dataclass(frozen=True, slots=True)
class StandingVote:
    """A person's vote on a prompt that was not taken back."""

    number: int
    vote: Vote
    sequence: int


def standing_votes(votes: Iterable[ComparisonVote]) -> dict[str, dict[int, StandingVote]]:
    """Return the votes that stand, by person and prompt, each person's in the order in which they were cast.

    An undo takes back the person's newest vote on the prompt; a newer vote takes the place of an earlier one.
    """
    cast: dict[str, dict[int, list[StandingVote]]] = defaultdict(lambda: defaultdict(list))
    for event in sorted(votes, key=lambda event: event.sequence):
        if event.vote == "reveal":
            continue
        of_prompt = cast[event.annotator][event.number]
        if event.vote != "undo":
            of_prompt.append(StandingVote(event.number, event.vote, event.sequence))
        elif of_prompt:
            of_prompt.pop()
    return {
        person: {
            each.number: each
            for each in sorted((stack[-1] for stack in prompts.values() if stack), key=lambda each: each.sequence)
        }
        for person, prompts in cast.items()
    }


def has_seen_result(votes: Iterable[ComparisonVote], annotator: str) -> bool:
    return any(vote.vote == "reveal" and vote.annotator == annotator for vote in votes)


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """How often people prefer the second policy to the first."""

    wins: WinRate
    """Of the second policy, over prompts. Where several people voted on a prompt, their mean counts."""
    prompts: int
    people: tuple[str, ...]
    votes: int
    skipped: int
    """Prompts that were only put off."""
    decided_by_several: int
    agreed: int
    """Of those, on how many all said the same."""
    left_side: WinRate
    """How often the answer on the left was preferred: 50% where the side decides nothing."""


def comparison_result(
    comparison: Comparison, votes: Sequence[ComparisonVote], prompts: int, *, config: EvaluateConfig
) -> ComparisonResult:
    """Count the votes of a comparison over `prompts` prompts."""
    standing = standing_votes(votes)
    by_prompt = preferences_by_prompt(standing)
    several = [said for said in by_prompt.values() if len(said) > 1]
    put_off = {number for of_one in standing.values() for number in of_one} - by_prompt.keys()
    return ComparisonResult(
        wins=_count([float(np.mean(by_prompt[number])) for number in sorted(by_prompt)], config),
        prompts=prompts,
        people=tuple(sorted(person for person, of_one in standing.items() if any(map(_decides, of_one.values())))),
        votes=sum(len(said) for said in by_prompt.values()),
        skipped=len(put_off),
        decided_by_several=len(several),
        agreed=sum(len(set(said)) == 1 for said in several),
        left_side=_count(_left_preferences(comparison, standing), config),
    )


def preferences_by_prompt(standing: Mapping[str, Mapping[int, StandingVote]]) -> dict[int, list[float]]:
    """Return what each person who decided prefers, by prompt: 0 the first, 1 the second, 0.5 neither."""
    found: dict[int, list[float]] = defaultdict(list)
    for of_one in standing.values():
        for each in of_one.values():
            if _decides(each):
                found[each.number].append(PREFERENCES[each.vote])
    return dict(found)


def _decides(vote: StandingVote) -> bool:
    return vote.vote in PREFERENCES


def _left_preferences(comparison: Comparison, standing: Mapping[str, Mapping[int, StandingVote]]) -> list[float]:
    found = []
    for person, of_one in standing.items():
        for each in filter(_decides, of_one.values()):
            prefers_second = PREFERENCES[each.vote]
            is_left = first_is_left(comparison, each.number, person)
            found.append(1.0 - prefers_second if is_left else prefers_second)
    return found


def _count(preferences: Sequence[float], config: EvaluateConfig) -> WinRate:
    values: FloatArray = np.array(preferences, dtype=np.float64)
    rng = np.random.default_rng(config.seed)
    return count_wins(values, rng=rng, resamples=config.resamples, level=config.confidence)
