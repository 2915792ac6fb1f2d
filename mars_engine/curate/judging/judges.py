"""Judges of labels: a model that compares two answers, asked in both orders, or a reward model, which scores each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mars_engine.augment.generators.protocols import Estimating
from mars_engine.augment.quality.gatekeeper import both_orders
from mars_engine.augment.quality.protocols import FluencyModel, Judge, Judgement, JudgeRequest
from mars_engine.core.chat_records import GenerationEstimate
from mars_engine.core.judge_records import Preference
from mars_engine.core.progress import Progress
from mars_engine.core.records import GeneratorCard, Pair, Prompt, Turn
from mars_engine.reward_models.protocols import RewardModel
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
        """Names the judge of labels and all that decides its opinions."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of a judge of labels before its opinions are believed, as sentences."""
        ...

    def judge(self, pairs: Sequence[Pair], *, again: bool = False) -> list[Said]:
        """Return what the judge says of each pair's label, in order; what fails is a value, never an exception.

        Args:
            pairs: as labelled.
            again: whether what could not be read is to be asked for anew.
        """
        ...

    def estimate(self, pairs: Sequence[Pair]) -> GenerationEstimate | None:
        """Return what asking for opinions on labels would cost, None where it is time alone; nothing is asked."""
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
class LikelihoodJudge:
    """Judges labels by asking a causal language model "A or B?": it prefers the answer of the likelier letter."""

    model: FluencyModel

    @property
    def card(self) -> GeneratorCard:
        settings = dict(self.model.card.settings) | {"question": QUESTION}
        return GeneratorCard("causal-judge", "1", settings, stand_in=False, note="a language model, asked for A or B")

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """Judge each label, in order, by the likelier of A and B; a request too long to be read whole is a failure."""
        questions = [_question(request) for request in requests]
        short = [place for place, question in enumerate(questions) if len(question[0].content) <= MOST_CHARACTERS]
        asked = [(questions[place], letter) for place in short for letter in LETTERS]
        likelihoods = self.model.measure(asked).reshape(-1, len(LETTERS)) if asked else np.zeros((0, len(LETTERS)))
        found = dict(zip(short, likelihoods.tolist(), strict=True))
        return [
            Judgement(request.key, None, TOO_LONG) if place not in found else _likelier(request.key, *found[place])
            for place, request in enumerate(requests)
        ]


LETTERS = ("A", "B")
QUESTION = "Which answer is better, more correct, more helpful and less harmful? Say only A or B."
MOST_CHARACTERS = 3_000
"""Of a question with both answers: about what is read without cutting off its beginning."""
TOO_LONG = f"the texts have more than {MOST_CHARACTERS:,} characters, and the model would read their end alone"


def _question(request: JudgeRequest) -> Prompt:
    conversation = "\n".join(f"{turn.role}: {turn.content}" for turn in request.prompt)
    text = f"{conversation}\n\nAnswer A: {request.first}\n\nAnswer B: {request.second}\n\n{QUESTION}"
    return (Turn("user", text),)


def _likelier(key: str, first: float, second: float) -> Judgement:
    if math.isnan(first) or math.isnan(second):
        return Judgement(key, None, "the language model says nothing of A and B")
    return Judgement(key, None if first == second else "first" if first > second else "second")


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
