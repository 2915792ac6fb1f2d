"""Judges of a policy's answer beside the baseline's: a chat model that sees both in either order, or a reward model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mars_engine.augment.quality.protocols import Judge, Judgement, JudgeRequest
from mars_engine.core.progress import Progress
from mars_engine.core.records import Pair, Prompt, content_id
from mars_engine.reward_models.protocols import RewardModel
from mars_engine.stats.metrics import is_tie, sigmoid

POLICY_WINS, TIE, BASELINE_WINS = 1.0, 0.5, 0.0
SAME_ANSWER = "both answers are the same"
NO_NUMBER = "the reward model gave a reward that is no finite number"


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """A policy's answer to a prompt beside the baseline's."""

    prompt: Prompt
    baseline: str
    policy: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Probabilities that the policy's answer is better, by which answer was shown first; None where a judge failed."""

    baseline_first: float | None
    policy_first: float | None
    failure: str = ""
    """Why a probability is missing."""
    retryable: bool = False
    """Whether the failure may pass by itself."""

    @property
    def probability(self) -> float | None:
        """Probability that the policy's answer beats the baseline's; None unless both orders were judged.

        It is the mean over both, so that a place wins nothing.
        """
        if self.baseline_first is None or self.policy_first is None:
            return None
        return (self.baseline_first + self.policy_first) / 2


class PairwiseJudge(Protocol):
    """Judges a policy's answers beside the baseline's."""

    @property
    def name(self) -> str: ...

    @property
    def id(self) -> str:
        """Differs where the judge of a policy against its baseline, its prompt or a setting that matters differs."""
        ...

    @property
    def sees_order(self) -> bool:
        """Whether the judge reads the policy's and the baseline's answer at once, so that their order may sway it."""
        ...

    @property
    def note(self) -> str:
        """How it judges, as a clause."""
        ...

    def judge(self, pairs: Sequence[AnswerPair]) -> list[Verdict]:
        """Judge each policy's answer beside the baseline's, in order; one that fails is a value, never an exception."""
        ...


@dataclass(frozen=True, slots=True)
class BothOrders:
    """A judge model that is asked about each pair twice: with the baseline's answer first, and with the policy's.

    Args:
        model: the judge; it keeps what it was asked.
        name: what it is called.
        ask_again: whether an answer of it that could not be read is asked for anew.
    """

    model: Judge
    name: str
    ask_again: bool = False

    @property
    def id(self) -> str:
        return self.model.card.fingerprint

    @property
    def sees_order(self) -> bool:
        return True

    @property
    def note(self) -> str:
        return f"{self.model.card.note}; a verdict is the mean of the two"

    def judge(self, pairs: Sequence[AnswerPair]) -> list[Verdict]:
        asked = [pair for pair in pairs if pair.baseline != pair.policy]
        # A key each; the same question about two policies has one request's id, and is sent once.
        requests = [self._request(pair, first) for pair in asked for first in ("baseline", "policy")]
        found = iter(self.model.judge(requests))
        return [
            Verdict(TIE, TIE) if pair.baseline == pair.policy else _verdict(next(found), next(found)) for pair in pairs
        ]

    def _request(self, pair: AnswerPair, first: str) -> JudgeRequest:
        answers = (pair.baseline, pair.policy) if first == "baseline" else (pair.policy, pair.baseline)
        return JudgeRequest(first, pair.prompt, *answers, ask_again=self.ask_again)


def _verdict(baseline_first: Judgement, policy_first: Judgement) -> Verdict:
    failed = [each for each in (baseline_first, policy_first) if each.failure]
    return Verdict(
        baseline_first=_probability(baseline_first, policy_at="second"),
        policy_first=_probability(policy_first, policy_at="first"),
        failure=failed[0].failure if failed else "",
        retryable=any(each.retryable for each in failed),
    )


def _probability(judgement: Judgement, *, policy_at: str) -> float | None:
    if judgement.failure:
        return None
    if judgement.prefers is None:
        return TIE
    return POLICY_WINS if judgement.prefers == policy_at else BASELINE_WINS


@dataclass(frozen=True, slots=True)
class RewardJudge:
    """A reward model as a judge: σ of the policy's reward minus the baseline's, as Bradley and Terry have it.

    It reads each answer by itself, so that no order sways it.

    Args:
        model: the reward model.
        name: what it is called.
        progress: shows how far it has come.
    """

    model: RewardModel
    name: str
    progress: Progress

    @property
    def id(self) -> str:
        return content_id("reward model as judge", self.model.id)

    @property
    def sees_order(self) -> bool:
        return False

    @property
    def note(self) -> str:
        return (
            f"the reward model {self.name}: σ of the difference of two rewards, each answer read by itself; "
            "its own taste is what is measured, not people's"
        )

    def judge(self, pairs: Sequence[AnswerPair]) -> list[Verdict]:
        read = [Pair.of(pair.prompt, pair.policy, pair.baseline) for pair in pairs]
        rewards = self.model.score(read, progress=self.progress)
        is_known = np.isfinite(rewards.chosen) & np.isfinite(rewards.rejected)
        margins = np.where(is_known, rewards.chosen, 0.0) - np.where(is_known, rewards.rejected, 0.0)
        probabilities = np.where(is_tie(margins), TIE, sigmoid(margins)).tolist()
        return [
            Verdict(probability, probability) if known else Verdict(None, None, NO_NUMBER)
            for probability, known in zip(probabilities, is_known, strict=True)
        ]
