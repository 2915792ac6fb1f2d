"""Asking an OpenAI-compatible server through the official client: many requests at a time, within limits."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
import openai
from anyio.from_thread import BlockingPortal, start_blocking_portal

from mars_engine.augment.generators.chat.backend import Order, Reply, record
from mars_engine.augment.generators.chat.breaker import Breaker, seconds_to_wait
from mars_engine.augment.generators.chat.completions import (
    MOST_BYTES,
    Completion,
    UnreadableBody,
    bytes_of,
    overlong,
    read_body,
)
from mars_engine.augment.generators.chat.dialect import Dialect
from mars_engine.augment.generators.chat.limits import (
    AnswerWriter,
    BudgetGuard,
    Keep,
    PrioritySemaphore,
    RateLimiter,
    cost_of,
)
from mars_engine.augment.generators.chat.troubles import (
    NO_ANSWER,
    OF_THE_REQUEST,
    Trouble,
    message_of,
    trouble_of,
    validate_access,
)
from mars_engine.core.chat_records import KeptAnswer, Spending
from mars_engine.core.clock import Clock
from mars_engine.core.config import ChatConfig
from mars_engine.core.errors import StoreError
from mars_engine.store.database import storable

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TOKENS_A_MESSAGE = 8
HIDDEN = "[key]"
SHORTEST_SECRET = 8
"""Characters of a key that is a secret: shorter ones are made up for servers that want any, and stand in any text."""
UNSENT: dict[str, Any] = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit}
"""Headers that the client would make of environment variables, for whatever server."""


@dataclass
class _Line:
    """The event loop, and all that belongs to it."""

    loop: asyncio.AbstractEventLoop
    client: "AsyncOpenAI"
    slots: PrioritySemaphore
    """For requests under way. A request waiting to retry releases its slot; in an outage those with a slot keep it."""
    not_kept: PrioritySemaphore
    """For requests that have begun and are not on the disk yet: under way, waiting to retry, or being written. Those
    that wait count too, since only this process knows of their attempts: that is all a kill can lose."""
    rate: RateLimiter
    breaker: Breaker
    budget: BudgetGuard
    writer: AnswerWriter
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    """Of all requests, those included that have not begun."""


@dataclass
class _Asking:
    """A request on its way, and what its attempts have come to."""

    order: Order
    ahead: bool
    left_out: set[str] = field(default_factory=set)
    """Arguments that the server does not take."""
    attempts: int = 0
    retries: int = 0
    billed: int = 0
    """Attempts that may be billed though no answer came."""
    spent: Spending = field(default_factory=Spending)
    trouble: Trouble | None = None
    """Of the last attempt that failed."""


@dataclass
class ChatServer:
    """A ChatBackend that asks a server.

    An event loop in a thread of its own sends the requests, so that they are under way while the caller works. Each
    answer is on the disk before it is handed on.

    Args:
        config: which server, how, and the limits.
        key: the server's API key; empty for none. It is sent to the server and goes nowhere else.
        keep: stores answers.
        spent: tells what was spent on all that is stored, by whichever process; called from another thread.
        rng: draws the jitter of the waits.
        clock: tells when an answer came.
    """

    config: ChatConfig
    key: str = field(repr=False)
    keep: Keep
    spent: Callable[[], Spending]
    rng: np.random.Generator
    clock: Clock
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)
    _portal: BlockingPortal | None = None
    _line: _Line | None = None
    _fatal: Exception | None = None
    _under_way: set[Future[Reply]] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        self._dialect = Dialect(self.config.structured)

    @property
    def place(self) -> str:
        """The server's address as it is shown and kept: without a path, user or query."""
        parts = urlsplit(self.config.base_url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    @property
    def outage(self) -> str:
        """Of what the server fails while nothing is sent but trials; empty otherwise. May be read from any thread."""
        return self._line.breaker.outage if self._line is not None else ""

    def start(self, orders: Sequence[Order], *, ahead: bool = False) -> list[Future[Reply]]:
        """Begin to answer requests, and return at once; those `ahead` come after all that are not."""
        line = self._opened()
        futures = [asyncio.run_coroutine_threadsafe(self._answer(line, order, ahead), line.loop) for order in orders]
        for future in futures:
            self._under_way.add(future)
            future.add_done_callback(self._under_way.discard)
        return futures

    def close(self) -> None:
        """End what is under way, and close the connections."""
        for future in list(self._under_way):
            future.cancel()
        if self._portal is not None and self._line is not None:
            self._portal.call(self._end, self._line)
            self._portal.call(self._portal.stop, True)
        self._portal = self._line = None
        self._stack.close()

    def _opened(self) -> _Line:
        if self._portal is None or self._line is None:
            self._portal = self._stack.enter_context(start_blocking_portal(name="chat requests"))
            self._line = self._portal.call(self._open_line)
        return self._line

    async def _open_line(self) -> _Line:
        config = self.config
        writer = AnswerWriter(self.keep, self.spent)
        budget = BudgetGuard(config, writer.spent_by_others)
        await budget.look()
        client = openai.AsyncOpenAI(
            base_url=config.base_url,
            api_key=self.key or "none",
            timeout=config.timeout_seconds,
            max_retries=0,  # retried here, where the breaker, the budget and the count of attempts are
            http_client=openai.DefaultAsyncHttpxClient(
                limits=httpx2.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency)
            ),
        )
        return _Line(
            asyncio.get_running_loop(),
            client,
            PrioritySemaphore(config.concurrency),
            PrioritySemaphore(2 * config.concurrency),
            RateLimiter(config.requests_per_minute),
            Breaker(config),
            budget,
            writer,
        )

    async def _end(self, line: _Line) -> None:
        await asyncio.gather(*line.tasks, return_exceptions=True)  # what they raise was told to those who wait for it
        await line.writer.finish()
        await line.client.close()

    # ------------------------------------------------------------------------------------------------- one request

    async def _answer(self, line: _Line, order: Order, ahead: bool) -> Reply:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (this runs in one)
        line.tasks.add(task)
        task.add_done_callback(line.tasks.discard)
        # While an answer is written the next request is under way; but where writing is slow, asking waits for it.
        async with line.not_kept.acquired(ahead=ahead):
            asking = _Asking(order, ahead)
            try:
                reply = await self._ask(line, asking)
            except BaseException:
                if asking.trouble is not None:  # its attempts count, though no more of them are made
                    with suppress(StoreError):  # the work ends already
                        await line.writer.keep(self._cut_short(asking, "the work was ended"), asking.spent)
                raise
            if reply.kept is not None:
                await line.writer.keep(reply.kept, asking.spent)
        return reply

    async def _ask(self, line: _Line, asking: _Asking) -> Reply:
        """Send a request until it is answered, refused, or its retries are used up; in its waits others are sent."""
        while True:
            slot = line.slots.acquired(ahead=asking.ahead, begun=asking.attempts > 0)
            async with slot, line.breaker.passed():
                if self._fatal is not None:
                    raise self._fatal
                reply = await self._try(line, asking)
            if isinstance(reply, Reply):
                return reply
            await self._wait(line, reply, asking.retries)

    async def _try(self, line: _Line, asking: _Asking) -> Reply | Trouble:
        """Send a request once, and again at once without what the server does not take.

        Returns what came of it, or the trouble after which it is to be sent again.
        """
        worst = self._worst(asking.order)
        while True:
            arguments = self._dialect.arguments(asking.order, asking.left_out)
            obstacle = line.breaker.reason or await line.budget.reserve(worst)
            if obstacle:
                return self._stopped(asking, obstacle)
            asking.attempts += 1
            real = Spending(requests=1)
            try:
                await line.rate.turn()
                began = asyncio.get_running_loop().time()
                completion = await self._send(line.client, arguments)
                real = self._spent_on(completion)
                self._dialect.learn(asking.left_out)
                line.breaker.answered()
                return Reply(self._kept(asking, completion, asyncio.get_running_loop().time() - began))
            except OF_THE_REQUEST as error:
                if culprit := self._dialect.culprit(arguments, message_of(error)):
                    asking.left_out.add(culprit)
                    continue
                trouble = self._trouble_of(error)
            except NO_ANSWER as error:
                self._validate_access(error, asking.order)
                trouble = self._trouble_of(error)
                asking.billed += trouble.may_be_billed
                real = worst if trouble.may_be_billed else real
            finally:
                asking.spent += real
                await line.budget.settle(worst, real)
            asking.trouble = trouble
            # In a cool-down it fell with those that opened the breaker: that is no retry.
            is_retry = not line.breaker.is_cooling_down
            for_good = not trouble.passes_soon or (is_retry and asking.retries == self.config.retries)
            line.breaker.failed(trouble, for_good=for_good)
            if for_good:
                return self._failed(asking, trouble)
            asking.retries += is_retry
            return trouble

    async def _send(self, client: "AsyncOpenAI", arguments: dict[str, Any]) -> Completion:
        """Send one request, and read its answer as far as an answer can go."""
        body = bytearray()
        said = bytes_of(message["content"] for message in arguments["messages"])
        # Where there is no key, none is sent, not even one from a variable that is meant for another server.
        headers = UNSENT if self.key else UNSENT | {"Authorization": openai.omit}
        async with asyncio.timeout(self.config.timeout_seconds):
            async with client.chat.completions.with_streaming_response.create(
                **arguments, extra_headers=headers
            ) as response:
                try:
                    async for piece in response.iter_bytes():
                        body += piece
                        if len(body) > MOST_BYTES:
                            return overlong(bytes(body), said)
                except httpx2.TimeoutException:
                    raise
                except (httpx2.HTTPError, httpx2.StreamError) as error:
                    raise UnreadableBody(f"it breaks off ({type(error).__name__})") from error
        return read_body(bytes(body), said)

    async def _wait(self, line: _Line, trouble: Trouble, retries: int) -> None:
        """Wait before a request is sent again: as long as the server says, else longer each time, with jitter."""
        jitter = float(self.rng.random())
        if trouble.wait_seconds:
            line.rate.hold(trouble.wait_seconds)
            await asyncio.sleep(trouble.wait_seconds * (1 + jitter / 10))
            return
        await asyncio.sleep(seconds_to_wait(self.config, retries) * (0.5 + jitter / 2))

    def _trouble_of(self, error: Exception) -> Trouble:
        return trouble_of(error, self._redact, timeout=self.config.timeout_seconds, now=self.clock())

    def _validate_access(self, error: Exception, order: Order) -> None:
        try:
            validate_access(
                error,
                self._redact,
                server=self.place,
                variable=self.config.api_key_variable,
                has_key=bool(self.key),
                model=order.request.model,
            )
        except Exception as fatal:
            self._fatal = fatal
            raise

    # --------------------------------------------------------------------------------------------- what is kept of it

    def _kept(self, asking: _Asking, completion: Completion, seconds: float) -> KeptAnswer:
        return record(
            asking.order,
            server=self.place,
            at=self.clock(),
            answer=storable(self._redact(completion.text)),
            finish_reason=completion.finish_reason,
            failure=completion.failure,
            seconds=seconds,
            attempts=asking.attempts,
            **self._costs(asking, completion.input_tokens, completion.output_tokens),
        )

    def _failed(self, asking: _Asking, trouble: Trouble) -> Reply:
        reason = trouble.reason + (f", in {asking.attempts} attempts" if asking.attempts > 1 else "")
        return Reply(self._without_answer(asking, reason, retryable=trouble.may_pass))

    def _stopped(self, asking: _Asking, obstacle: str) -> Reply:
        return Reply(self._cut_short(asking, obstacle)) if asking.attempts else Reply(None, obstacle)

    def _cut_short(self, asking: _Asking, obstacle: str) -> KeptAnswer:
        """What is kept of a request that was to be sent again and is not."""
        reason = f"{asking.trouble.reason}; then {obstacle}" if asking.trouble else obstacle
        return self._without_answer(asking, reason, retryable=True)

    def _without_answer(self, asking: _Asking, reason: str, *, retryable: bool) -> KeptAnswer:
        return record(
            asking.order,
            server=self.place,
            at=self.clock(),
            failure=storable(reason),
            retryable=retryable,
            attempts=asking.attempts,
            **self._costs(asking),
        )

    def _costs(self, asking: _Asking, input_tokens: int = 0, output_tokens: int = 0) -> dict[str, Any]:
        """Tokens and money of an asking: of its answer, and at worst of attempts that may be billed without one."""
        said, answered = self._worst_tokens(asking.order)
        tokens = (input_tokens + asking.billed * said, output_tokens + asking.billed * answered)
        return {"input_tokens": tokens[0], "output_tokens": tokens[1], "cost": cost_of(self.config, *tokens)}

    # -------------------------------------------------------------------------------------------------------- figures

    def _worst(self, order: Order) -> Spending:
        """What a request may cost at most."""
        said, answered = self._worst_tokens(order)
        return Spending(1, said + answered, cost_of(self.config, said, answered))

    def _worst_tokens(self, order: Order) -> tuple[int, int]:
        """Most tokens in and out: no tokenizer makes more tokens than there are bytes."""
        said = sum(len(turn.content.encode("utf-8", "replace")) + TOKENS_A_MESSAGE for turn in order.request.messages)
        return said, order.request.most_tokens

    def _spent_on(self, completion: Completion) -> Spending:
        tokens = (completion.input_tokens, completion.output_tokens)
        return Spending(1, sum(tokens), cost_of(self.config, *tokens))

    def _redact(self, text: str) -> str:
        return text.replace(self.key, HIDDEN) if len(self.key) >= SHORTEST_SECRET else text
