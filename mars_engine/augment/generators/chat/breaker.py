"""The circuit breaker: what ends or suspends the asking of a server that only fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from mars_engine.core.config import ChatConfig

if TYPE_CHECKING:
    from mars_engine.augment.generators.chat.troubles import Trouble

LONGEST_WAIT = 60.0
"""Seconds between two attempts at most, unless the server wants more."""


def seconds_to_wait(config: ChatConfig, failures: int) -> float:
    """Return for how many seconds to leave a server alone after so many failures: longer each time, up to a limit."""
    return min(LONGEST_WAIT, config.first_wait_seconds * 2.0 ** (failures - 1))


class Breaker:
    """Opens when so many requests in a row have failed in spite of all retries; while it is open nothing is sent.

    Where the server had answered before and its trouble may pass, one attempt is let through as a trial after each of
    some cool-downs, which go on growing from where the waits between retries ended. An answer closes it. When trials
    have failed for `breaker_wait_seconds`, and otherwise at once, it stays open for good.

    Belongs to one event loop; `outage` may be read from anywhere.

    Args:
        config: after how many failures it opens, and for how long it is tried whether the server is back.
    """

    def __init__(self, config: ChatConfig) -> None:
        self._most = config.breaker
        self._longest_outage = config.breaker_wait_seconds
        self._first_cool_down = seconds_to_wait(config, config.retries + 1)
        self._in_a_row = 0
        self._has_answered = False
        self._opened_at = self._trial_at = self._cool_down = 0.0
        self._on_trial = asyncio.Lock()
        self._closed = asyncio.Event()
        self.outage = ""
        """Of what the server fails while it is waited for; empty while it is not."""
        self.reason = ""
        """Why nothing is asked any more; empty as long as something is."""

    @property
    def is_cooling_down(self) -> bool:
        return bool(self.outage) and asyncio.get_running_loop().time() < self._trial_at

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Be let through: at once, or in an outage as its next trial, or when it is over or `reason` says how it ended.

        One trial ends before the next begins, however it ends.
        """
        if self.outage:
            async with self._on_trial:
                while self.is_cooling_down:
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(self._trial_at):
                            await self._closed.wait()
                if self.outage:
                    yield
                    return
        yield

    def answered(self) -> None:
        self._in_a_row = 0
        self._has_answered = True
        self.outage = ""
        self._closed.set()

    def failed(self, trouble: "Trouble", *, for_good: bool) -> None:
        """Count a failed attempt, `for_good` where its request is not sent again.

        Where the server is well and refused a request for what is in it, that counts only as long as nothing at all was
        answered: then it may be every request that is refused. What fails in a cool-down was sent before it.
        """
        if self.reason or self.is_cooling_down:
            return
        if trouble.of_request and self._has_answered:
            if self.outage:
                self.answered()
        elif self.outage:
            self._cool(trouble, 2 * self._cool_down)
        elif for_good:
            self._in_a_row += 1
            if self._in_a_row >= self._most:
                self._opened_at = asyncio.get_running_loop().time()
                self._cool(trouble, self._first_cool_down)

    def _cool(self, trouble: "Trouble", seconds: float) -> None:
        """Begin a cool-down, or open for good where none may help."""
        now = asyncio.get_running_loop().time()
        left = self._opened_at + self._longest_outage - now
        if left > 0 and self._has_answered and trouble.passes_soon:
            self._cool_down = min(LONGEST_WAIT, seconds)
            self._trial_at = now + min(left, self._cool_down)
            self._closed.clear()
            self.outage = trouble.reason
            return
        failed = f"{self._in_a_row} requests in a row" + (
            f" and trials for {now - self._opened_at:,.0f} s" if self.outage else ""
        )
        self.reason = f"not asked: {failed} had failed, the last because {trouble.reason}"
        self.outage = ""
        self._closed.set()
