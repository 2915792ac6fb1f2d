"""Judges of labels: a model that compares two answers, asked in both orders, or a reward model, which scores each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mars_engine.augment.quality.gatekeeper import both_orders
from mars_engine.core.chat_records import GenerationEstimate
from mars_engine.core.judge_records import Preference
from mars_engine.core.protocols import Estimating, Judge, Judgement, Progress, RewardModel
from mars_engine.core.records import Pair
from mars_engine.stats.metrics import is_tie


@dataclass(frozen=True, slots=True)
class Said:
    """What a judge says of a pair in each order."""

    chosen_first: Preference
    rejected_first: Preference
    note: str = ""
    retryable: bool = False
    """Whether what is unread may be read when it is asked again."""


class LabelJudge(Protocol):
    """Gives opinions on the labels of pairs."""

    @property
    def name(self) -> str:
        """Names the judge and all that decides what it says."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of it before it is believed, as sentences."""
        ...

    def judge(self, pairs: Sequence[Pair], *, again: bool = False) -> list[Said]:
        """Return what it says of each pair, in order; what fails is a value, never an exception.

        Args:
            pairs: as labelled.
            again: whether what could not be read is to be asked for anew.
        """
        ...

    def estimate(self, pairs: Sequence[Pair]) -> GenerationEstimate | None:
        """Return what asking would cost; None where it costs nothing but time. Nothing is asked."""
        ...


@dataclass(frozen=True, slots=True)
class AskedJudge:
    """A model that compares two answers, such as a chat model."""

    name: str
    model: Judge
    remarks: tuple[str, ...] = ()

    def judge(self, pairs: Sequence[Pair], *, again: bool = False) -> list[Said]:
        asked = [both_orders(pair, source_id=pair.id, ask_again=again) for pair in pairs]
        answers = iter(self.model.judge([request for both in asked for request in both]))
        return [_said(one, other) for one, other in zip(answers, answers, strict=True)]

    def estimate(self, pairs: Sequence[Pair]) -> GenerationEstimate | None:
        if not isinstance(self.model, Estimating):
            return None
        return self.model.estimate([request for pair in pairs for request in both_orders(pair, source_id=pair.id)])


def _said(forward: Judgement, backward: Judgement) -> Said:
    """Return what two judgements say: the chosen answer was shown first in one, second in the other."""
    failed = [each for each in (forward, backward) if each.failure]
    return Said(
        _preference(forward, first="chosen", second="rejected"),
        _preference(backward, first="rejected", second="chosen"),
        note=failed[0].failure if failed else "",
        retryable=any(each.retryable for each in failed),
    )


def _preference(judgement: Judgement, *, first: Preference, second: Preference) -> Preference:
    if judgement.failure:
        return "unread"
    if judgement.prefers is None:
        return "tie"
    return first if judgement.prefers == "first" else second


@dataclass(frozen=True, slots=True)
class ScoringJudge:
    """A reward model: it prefers the answer with the higher reward, in whichever order they are shown."""

    name: str
    model: RewardModel
    progress: Progress
    remarks: tuple[str, ...] = ()

    def judge(self, pairs: Sequence[Pair], *, again: bool = False) -> list[Said]:  # noqa: ARG002 - nothing fails
        margins = self.model.score(pairs, progress=self.progress).margins
        said: list[Said] = []
        for margin, tied in zip(margins.tolist(), is_tie(margins).tolist(), strict=True):
            preference: Preference = "tie" if tied else "chosen" if margin > 0 else "rejected"
            said.append(Said(preference, preference, note=f"margin {margin:+.3f}"))
        return said

    def estimate(self, pairs: Sequence[Pair]) -> GenerationEstimate | None:  # noqa: ARG002
        return None
