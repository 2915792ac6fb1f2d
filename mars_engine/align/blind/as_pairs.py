"""Votes of a blind comparison as preference pairs: the better answer is the chosen one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.align.blind.votes import preferences_by_prompt, standing_votes
from mars_engine.core.clock import Clock
from mars_engine.core.errors import NotReadyError
from mars_engine.core.import_records import ImportReport, ParsedRow
from mars_engine.core.progress import Progress
from mars_engine.core.records import Pair, Split, content_id
from mars_engine.core.review_records import ComparedAnswers, Comparison
from mars_engine.data.import_pairs import import_pairs
from mars_engine.store import Store

FORMAT = "blind comparison"
TIE = "a tie, or people disagree"
NOT_DECIDED = "nobody decided it"
EVEN = 0.5


@dataclass(frozen=True)
class VotedPairs:
    """The pairs of a comparison, as a source that is imported. Ties and prompts without a vote give none."""

    comparison: Comparison
    answers: Sequence[ComparedAnswers]
    preferences: dict[int, list[float]]
    format: str = FORMAT

    @property
    def name(self) -> str:
        return f"{self.comparison.second} against {self.comparison.first}, by people"

    @property
    def location(self) -> str:
        return f"blind comparison {self.comparison.id}"

    @property
    def content_hash(self) -> str:
        return content_id(self.comparison.id, sorted((number, said) for number, said in self.preferences.items()))

    def rows(self) -> Iterator[ParsedRow]:
        """Yield a row for each prompt of the comparison."""
        for answers in self.answers:
            said = self.preferences.get(answers.number)
            if not said:
                yield ParsedRow(answers.number + 1, dropped=(NOT_DECIDED,))
            elif np.mean(said) == EVEN:
                yield ParsedRow(answers.number + 1, dropped=(TIE,))
            else:
                yield ParsedRow(answers.number + 1, (self._pair(answers, said),))

    def _pair(self, answers: ComparedAnswers, said: Sequence[float]) -> Pair:
        second, share = self.comparison.second, float(np.mean(said))
        sides = [(answers.first, self.comparison.first), (answers.second, second)]
        (chosen, by), (rejected, other) = sides[::-1] if share > EVEN else sides
        return Pair.of(
            answers.prompt,
            chosen,
            rejected,
            attributes={
                "chosen_model": by,
                "rejected_model": other,
                "comparison": self.comparison.id,
                "people": len(said),
                "share_for_chosen": max(share, 1 - share),
            },
        )


def voted_pairs(store: Store, comparison: Comparison) -> VotedPairs:
    """Return what people's votes of a comparison give, as a source of pairs."""
    preferences = preferences_by_prompt(standing_votes(store.comparisons.votes(comparison.id)))
    by_number = {number: sorted(said) for number, said in preferences.items()}
    return VotedPairs(comparison, store.comparisons.answers(comparison.id), by_number)


def add_votes_as_pairs(
    store: Store, comparison: Comparison, *, clock: Clock, progress: Progress, split: Split = "train"
) -> ImportReport:
    """Import the votes of a comparison as pairs. Doing it again adds what was voted since.

    Raises:
        NotReadyError: no vote prefers one of the answers.
        LoadError: every pair is in the other split already.
    """
    source = voted_pairs(store, comparison)
    if not any(row.pairs for row in source.rows()):
        raise NotReadyError(
            "no vote of this comparison prefers one of two answers",
            expected="one or more that are no tie",
            remedy="vote first",
        )
    return import_pairs(source, store, split=split, clock=clock, progress=progress)
