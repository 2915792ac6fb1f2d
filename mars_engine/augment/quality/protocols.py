"""What the quality gates ask: a judge of two answers, a model of fluency."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mars_engine.core.records import FloatArray, GeneratorCard, Prompt


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """Ask a judge which of two answers is the better one. The order in which they are shown is part of the question."""

    key: str
    prompt: Prompt
    first: str
    second: str
    source_id: str = ""
    """The source pair of what is judged."""
    ask_again: bool = False
    """Whether a judgement that could not be read is to be asked for anew."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's answer to a request; `prefers` is None for a tie or where the judge could not tell, with the reason."""

    key: str
    prefers: Literal["first", "second"] | None
    failure: str = ""
    retryable: bool = False


class Judge(Protocol):
    """A model that compares answers: for the judge gate, for labels, and for win rates."""

    @property
    def card(self) -> GeneratorCard: ...

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """Judge the answers of each request, in order; a request that fails is a value, never an exception."""
        ...


class FluencyModel(Protocol):
    """A language model that tells the fluency gate how likely texts are."""

    @property
    def card(self) -> GeneratorCard: ...

    def measure(self, texts: Sequence[tuple[Prompt, str]]) -> FloatArray:
        """Return how fluent each text is as an answer: the mean log-likelihood of its tokens, in nats, shape (n,).

        A text without a prompt stands alone. NaN where nothing can be said.
        """
        ...
