"""OpenAI's batch format: requests and answers as lines of files, for a service or a cluster of one's own."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mars_engine.augment.generators.chat.backend import Order, Reply, record
from mars_engine.augment.generators.chat.completions import (
    Completion,
    UnreadableBody,
    bytes_of,
    read_completion,
)
from mars_engine.augment.generators.chat.dialect import TOKENS, Dialect
from mars_engine.augment.generators.chat.limits import cost_of
from mars_engine.augment.generators.chat.reading import read_judgement, read_rewrites
from mars_engine.core.chat_records import KeptAnswer
from mars_engine.core.config import ChatConfig
from mars_engine.store.database import storable

SERVER = "batch"
"""What stands in the place of a server's address, of answers that came in a file."""
NO_ANSWER_YET = "its request was written out, and no answer has been taken in yet"
UNASKED = "not answered yet: 'mars propose --requests' writes the request out"
ADDRESS = "/v1/chat/completions"
LONGEST_REASON = 500
OK = 200
PASSING = frozenset({401, 402, 404, 408, 409, 429})
"""Of 4xx, those that have to do with the account or the moment, not with the request."""
SERVER_FAILED = 500
_CUSTOM_ID = re.compile(r"[0-9a-f]+-[0-9]{1,6}")


@dataclass
class Outbox:
    """A ChatBackend that asks nobody: it collects the requests, and says of each that it is not answered yet."""

    orders: dict[str, Order] = field(default_factory=dict)
    """Those that were to be sent, by their custom id, in the order in which they came."""
    outage: str = ""

    def start(self, orders: Sequence[Order], *, ahead: bool = False) -> list[Future[Reply]]:  # noqa: ARG002
        """Collect; each future is done at once."""
        futures: list[Future[Reply]] = []
        for order in orders:
            self.orders[custom_id(order.request.id, order.asking)] = order
            future: Future[Reply] = Future()
            future.set_result(Reply(None, UNASKED))
            futures.append(future)
        return futures

    def close(self) -> None:
        """Nothing is under way."""


def custom_id(request_id: str, asking: int) -> str:
    """Return what a line of a batch is matched by: a request, and how often it was answered before."""
    return f"{request_id}-{asking}"


def request_of(custom: str) -> tuple[str, int] | None:
    """Return the request's id and its asking, of a custom id; None where it is none of ours."""
    request_id, _, asking = custom.rpartition("-")
    return (request_id, int(asking)) if _CUSTOM_ID.fullmatch(custom) else None


def request_line(order: Order, dialect: Dialect) -> dict[str, Any]:
    """Return a request as a line of a batch. No service can be tried here, so the token limit has its newer name."""
    return {
        "custom_id": custom_id(order.request.id, order.asking),
        "method": "POST",
        "url": ADDRESS,
        "body": dialect.arguments(order, {TOKENS}),
    }


def written_out(order: Order, at: datetime) -> KeptAnswer:
    """Return what is kept of a request that was written out, so that its answer is known when it comes."""
    return record(order, server=SERVER, at=at, failure=NO_ANSWER_YET, retryable=True, attempts=0)


@dataclass(frozen=True, slots=True)
class Failed:
    """A line that says why a request has no answer."""

    reason: str
    may_pass: bool
    """Whether it has to do with the moment, or the account, and not with the request."""


def outcome_of(line: Mapping[str, Any], kept: KeptAnswer) -> Completion | Failed:
    """Return what a line of a batch says of the request that was kept.

    Raises:
        UnreadableBody: it is neither an answer nor an error.
    """
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, dict):
        if not error:
            raise UnreadableBody("it has neither 'response' nor 'error'")
        return Failed(f"the batch has no answer ({_said(error)})", may_pass=True)
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(status, int):
        raise UnreadableBody("its 'response' has no number as 'status_code'")
    if status != OK:
        may_pass = status in PASSING or status >= SERVER_FAILED
        said = _said(error or (body.get("error", body) if isinstance(body, dict) else body))
        return Failed(f"the batch has no answer ({status}: {said})", may_pass)
    if error:
        return Failed(f"the batch has no answer ({_said(error)})", may_pass=True)
    return read_completion(body, bytes_of(turn.content for turn in kept.messages))


def _said(error: Any) -> str:
    if isinstance(error, dict):
        error = ": ".join(str(error[name]) for name in ("code", "message") if error.get(name)) or error
    return storable(" ".join(str(error).split())[:LONGEST_REASON])


def with_outcome(kept: KeptAnswer, outcome: Completion | Failed, config: ChatConfig, at: datetime) -> KeptAnswer:
    """Return a kept request with what came of it; tokens, money and attempts of before are added."""
    if isinstance(outcome, Failed):
        return replace(
            kept,
            server=SERVER,
            failure=outcome.reason,
            retryable=outcome.may_pass,
            attempts=kept.attempts + 1,
            asked_at=at,
        )
    return replace(
        kept,
        server=SERVER,
        answer=storable(outcome.text),
        finish_reason=outcome.finish_reason,
        failure=outcome.failure,
        retryable=False,
        input_tokens=kept.input_tokens + outcome.input_tokens,
        output_tokens=kept.output_tokens + outcome.output_tokens,
        cost=kept.cost + cost_of(config, outcome.input_tokens, outcome.output_tokens),
        attempts=kept.attempts + 1,
        asked_at=at,
    )


def holds_nothing(answer: KeptAnswer, wanted: int) -> str:
    """Return why nothing can be read out of an answer; empty where something can."""
    if answer.failure:
        return answer.failure
    if answer.purpose == "judge":
        return "" if read_judgement(answer.answer or "") else "it does not say which answer is better"
    reading = read_rewrites(answer.answer or "", finish_reason=answer.finish_reason, wanted=wanted)
    return "" if reading.rewrites else "it holds no whole rewrite"
