"""What is asked of a chat model and what it answered: kept, so that nothing is asked twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mars_engine.core.records import JsonValue, Prompt, content_id


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request to a chat model. Two with the same id ask the same of the same model."""

    purpose: str
    """What it is for: "paraphrase", "refine rejected", "refine chosen" or "judge"."""
    source_id: str
    """The source pair that it was first asked for."""
    model: str
    messages: Prompt
    parameters: Mapping[str, JsonValue]
    """Temperature, top_p, max_tokens and seed."""
    template: str
    """The prompt's template: name, version and the beginning of its hash."""
    schema: Mapping[str, JsonValue]
    """JSON schema that the answer should follow, where the server can see to it; no part of the id.
    Empty where it is plain text."""

    @property
    def prompt_hash(self) -> str:
        return content_id([[turn.role, turn.content] for turn in self.messages])

    @property
    def id(self) -> str:
        return content_id("chat", self.model, self.prompt_hash, dict(self.parameters))

    @property
    def most_tokens(self) -> int:
        """Most tokens that the request allows the chat model's answer."""
        return int(str(self.parameters["max_tokens"]))


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A request that was sent, and what came of it; one row of the table of answers."""

    request_id: str
    asking: int
    """0, or how often the same request had been answered before and was asked anew all the same."""
    source_id: str
    purpose: str
    model: str
    server: str
    template: str
    prompt_hash: str
    messages: Prompt
    parameters: Mapping[str, JsonValue]
    answer: str | None
    """As the model gave it, good or bad; None where no answer came."""
    finish_reason: str
    """Why the model stopped: "stop", "length" (cut off) or another word of the server's; empty without an answer."""
    failure: str
    """Why there is no answer, or none that can be used."""
    retryable: bool
    """Whether asking once more may help: true of a failure that has to do with the moment, not with the request."""
    input_tokens: int
    output_tokens: int
    cost: float
    """By the prices that were set then."""
    seconds: float
    """From sending the request that was answered to its answer."""
    attempts: int
    """Requests sent in all, those that failed included."""
    asked_at: datetime

    @property
    def is_settled(self) -> bool:
        """Whether the request is not sent again by itself: it was answered, well or badly, or refused for good."""
        return self.answer is not None or not self.retryable


@dataclass(frozen=True, slots=True)
class Spending:
    """Requests, tokens (in and out) and money."""

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: "Spending") -> "Spending":
        return Spending(self.requests + other.requests, self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: "Spending") -> "Spending":
        return Spending(self.requests - other.requests, self.tokens - other.tokens, self.cost - other.cost)


@dataclass(frozen=True, slots=True)
class GenerationEstimate:
    """What answering some requests would take. Tokens and money are of those not answered yet, and approximate."""

    requests: int = 0
    answered: int = 0
    """How many of the requests are answered already, and cost nothing."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    too_long: int = 0
    """How many answers, of those to ask for, are about as long as the limit of an answer or longer."""

    def __add__(self, other: "GenerationEstimate") -> "GenerationEstimate":
        return GenerationEstimate(
            self.requests + other.requests,
            self.answered + other.answered,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
            self.too_long + other.too_long,
        )

    def __mul__(self, times: int) -> "GenerationEstimate":
        return GenerationEstimate(
            times * self.requests,
            times * self.answered,
            times * self.input_tokens,
            times * self.output_tokens,
            times * self.cost,
            times * self.too_long,
        )

    @property
    def to_ask(self) -> int:
        return self.requests - self.answered
