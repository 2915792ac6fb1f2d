"""What limits requests: how many run at once, the rate, the budget, and the writing. All belong to one event loop."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import anyio.to_thread

from mars_engine.core.chat_records import KeptAnswer, Spending
from mars_engine.core.config import ChatConfig

SECONDS_A_MINUTE = 60.0
Keep = Callable[[Sequence[KeptAnswer]], None]
"""Stores answers in one transaction; what it has returned from is on the disk."""
SECONDS_BETWEEN_LOOKS = 5.0
"""At what other processes have spent of a workspace's budget."""


class PrioritySemaphore:
    """A semaphore that lets requests in by priority: those that somebody waits for before prefetched ones.

    Within each kind, requests that have begun before go first; the rest keep the order in which they came.

    Args:
        most: how many hold it at a time.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: list[tuple[bool, bool, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def acquired(self, *, ahead: bool, begun: bool = False) -> AsyncIterator[None]:
        """Hold a slot; `ahead` for a prefetched request, `begun` for one that has held a slot before."""
        await self._enter(ahead, begun)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, ahead: bool, begun: bool) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ahead, not begun, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()  # its turn had come already
            raise

    def _leave(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class RateLimiter:
    """Spaces requests evenly, and holds all of them back while the server asks for it.

    Args:
        requests_per_minute: most requests a minute; 0 for no limit.
    """

    def __init__(self, requests_per_minute: int) -> None:
        self._gap = SECONDS_A_MINUTE / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0
        self._held_until = 0.0
        self._line = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until the next request may be sent: one after another, also when all were held back."""
        loop = asyncio.get_running_loop()
        async with self._line:
            while (wait := max(self._next, self._held_until) - loop.time()) > 0:
                await asyncio.sleep(wait)
            self._next = loop.time() + self._gap

    def hold(self, seconds: float) -> None:
        """Send nothing for so long: the server said so in one of its answers, and it means all of us."""
        self._held_until = max(self._held_until, asyncio.get_running_loop().time() + seconds)


class BudgetGuard:
    """Keeps a budget: a request is let through only if what it may cost at worst still fits.

    Where it does not fit beside the requests under way, it waits for their real cost. What other processes have spent
    of the budget is looked up every SECONDS_BETWEEN_LOOKS while requests come, so that the budget can be exceeded only
    by what the others have stored since the last look, and by what they have begun and not stored yet.

    Args:
        config: the budget and the prices.
        spent_by_others: what was spent of the budget, beside what was booked here.
    """

    def __init__(self, config: ChatConfig, spent_by_others: Callable[[], Awaitable[Spending]]) -> None:
        self._config = config
        self._spent_by_others = spent_by_others
        self._by_others = Spending()
        self._spent = Spending()
        """By what was booked here."""
        self._next_look = 0.0
        self._reserved = Spending()
        self._under_way = 0
        self._changed = asyncio.Condition()

    async def reserve(self, worst: Spending) -> str:
        """Reserve what a request may cost at worst; return why that is not possible, or nothing.

        Raises:
            StoreError: what others have spent cannot be looked up.
        """
        if asyncio.get_running_loop().time() >= self._next_look:
            await self.look()
        async with self._changed:
            while exceeded := self._exceeded(self._by_others + self._spent + self._reserved + worst):
                if not self._under_way:
                    return f"not asked: {exceeded} is used up"
                await self._changed.wait()
            self._reserved += worst
            self._under_way += 1
            return ""

    async def settle(self, worst: Spending, real: Spending) -> None:
        """Take back a reservation, and book what it really cost."""
        async with self._changed:
            self._reserved -= worst
            self._under_way -= 1
            self._spent += real
            self._changed.notify_all()

    async def look(self) -> None:
        """Look up what others have spent; who comes meanwhile goes by the last look."""
        self._next_look = asyncio.get_running_loop().time() + SECONDS_BETWEEN_LOOKS
        if self._config.has_budget:
            self._by_others = await self._spent_by_others()

    def _exceeded(self, total: Spending) -> str:
        config = self._config
        if config.max_requests and total.requests > config.max_requests:
            return f"the budget of {config.max_requests:,} requests (chat.max_requests)"
        if config.max_total_tokens and total.tokens > config.max_total_tokens:
            return f"the budget of {config.max_total_tokens:,} tokens (chat.max_total_tokens)"
        if config.max_cost and total.cost > config.max_cost:
            return f"the budget of {config.max_cost:g} in money (chat.max_cost)"
        return ""


class AnswerWriter:
    """Stores each answer as soon as it has come; those that come while it writes are written together next.

    Args:
        keep: stores answers.
        spent: what was spent on all that is stored.
    """

    def __init__(self, keep: Keep, spent: Callable[[], Spending]) -> None:
        self._keep = keep
        self._spent = spent
        self._written = Spending()
        """Spent on what was written here."""
        self._waiting: list[tuple[KeptAnswer, Spending]] = []
        self._turn = asyncio.Lock()
        self._broken: Exception | None = None
        self._writing: set[asyncio.Task[None]] = set()

    async def keep(self, answer: KeptAnswer, spent: Spending) -> None:
        """Return when an answer, with what was spent on it here, is on the disk.

        Cancelled, it is written all the same: it was paid for.

        Raises:
            StoreError: the database refuses.
        """
        self._waiting.append((answer, spent))
        writing = asyncio.get_running_loop().create_task(self._write())
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.shield(writing)

    async def finish(self) -> None:
        """Return when nothing is left to be written; what cannot be was told to those who gave it."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def spent_by_others(self) -> Spending:
        """Return what was spent on all that is stored and was not written here; nothing is written meanwhile.

        Raises:
            StoreError: the database refuses.
        """
        async with self._turn:
            return await anyio.to_thread.run_sync(self._spent) - self._written

    async def _write(self) -> None:
        async with self._turn:
            if self._broken is not None:
                raise self._broken
            batch, self._waiting = self._waiting, []
            if batch:
                try:
                    await anyio.to_thread.run_sync(partial(self._keep, [answer for answer, _ in batch]))
                except Exception as error:
                    self._broken = error
                    raise
                self._written = sum((spent for _, spent in batch), self._written)


def cost_of(config: ChatConfig, input_tokens: int, output_tokens: int) -> float:
    """Return what so many tokens cost by the configured prices."""
    return (input_tokens * config.input_price + output_tokens * config.output_price) / 1_000_000
