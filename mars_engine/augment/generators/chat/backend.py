"""What answers the requests of the chat generators: a server, or a model that is loaded here."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from mars_engine.core.chat_records import ChatRequest, KeptAnswer

SEEDS_APART = 10_007
"""Between the seeds of a request and of the same asked anew."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request that is to be sent."""

    request: ChatRequest
    asking: int
    """How often it was answered before."""
    earlier: KeptAnswer | None
    """What came of this very asking before: a failure, whose place the answer takes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request: what was kept of it, or why it was not sent at all."""

    kept: KeptAnswer | None
    unasked: str = ""

    @property
    def failure(self) -> str:
        """Why the chat model gave no answer that could be read; empty where it gave one."""
        return self.unasked if self.kept is None else self.kept.failure

    @property
    def retryable(self) -> bool:
        return self.kept is None or not self.kept.is_settled


def seed_of(order: Order) -> int:
    """Return the seed of a request: another one each time that it is asked anew."""
    return int(str(order.request.parameters["seed"])) + SEEDS_APART * order.asking


class ChatBackend(Protocol):
    """Answers requests, and keeps each answer before it is handed on."""

    @property
    def outage(self) -> str:
        """Why nothing is answered for the moment though the requests wait; empty otherwise."""
        ...

    def start(self, orders: Sequence[Order], *, ahead: bool = False) -> list[Future[Reply]]:
        """Begin to answer; a server's client returns at once, a model that runs here when all is answered.

        Nobody waits yet for what is asked `ahead`: it stands back behind the rest.

        A future raises GenerationError where nothing can be asked at all.
        """
        ...

    def close(self) -> None:
        """End what is under way, and let go of connections and models."""
        ...


def record(
    order: Order,
    *,
    server: str,
    at: datetime,
    answer: str | None = None,
    finish_reason: str = "",
    failure: str = "",
    retryable: bool = False,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cost: float = 0.0,
    seconds: float = 0.0,
    attempts: int = 1,
) -> KeptAnswer:
    """Return what is to be kept of a request; attempts, tokens and money of the same asking before are added."""
    request = order.request
    fresh = KeptAnswer(
        request_id=request.id,
        asking=order.asking,
        source_id=request.source_id,
        purpose=request.purpose,
        model=request.model,
        server=server,
        template=request.template,
        prompt_hash=request.prompt_hash,
        messages=request.messages,
        parameters=dict(request.parameters),
        answer=answer,
        finish_reason=finish_reason,
        failure=failure,
        retryable=retryable,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=cost,
        seconds=seconds,
        attempts=attempts,
        asked_at=at,
    )
    before = order.earlier
    if before is None:
        return fresh
    return replace(
        fresh,
        attempts=attempts + before.attempts,
        input_tokens=input_tokens + before.input_tokens,
        output_tokens=output_tokens + before.output_tokens,
        cost=cost + before.cost,
    )
