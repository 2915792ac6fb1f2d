"""Asking once: what was answered before is taken from the store, only the rest is sent."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from textwrap import shorten

from mars_engine.augment.generators.chat.backend import ChatBackend, Order, Reply
from mars_engine.augment.generators.chat.limits import cost_of
from mars_engine.core.chat_records import ChatRequest, GenerationEstimate
from mars_engine.core.config import ChatConfig
from mars_engine.core.errors import ConfigError
from mars_engine.core.progress import Progress
from mars_engine.store.chat import ChatStore

CHARACTERS_A_TOKEN = 4
"""About, in English, for an estimate."""
NEARLY_ALL = 0.9
"""Of an answer's limit of tokens: one that is guessed to be longer may well be cut off."""
SECONDS_BETWEEN_LOOKS = 1
"""At whether a server is waited for."""
LONGEST_SHOWN = 80
"""Characters of what a server fails of, in the name of a task."""


@dataclass
class Correspondence:
    """What all chat generators of a workspace ask through: one store, one backend, one set of limits.

    Args:
        store: has the answers.
        open_backend: makes what answers what is new, when there is something new.
        config: where the model runs, and the prices.
        progress: shows how far the answers have come.
    """

    store: ChatStore
    open_backend: Callable[[], ChatBackend]
    config: ChatConfig
    progress: Progress
    asked_for: set[str] = field(default_factory=set)
    """Ids of all requests that somebody asked through it, answered before or not."""
    _backend: ChatBackend | None = None
    _under_way: dict[str, Future[Reply]] = field(default_factory=dict)

    def prefetch(self, requests: Sequence[ChatRequest], *, soon: bool) -> None:
        """Send requests whose answers will be needed, if a server answers them while its caller does something else."""
        if self.config.backend == "server":
            self._send(requests, again=(), ahead=not soon)

    def answers(self, requests: Sequence[ChatRequest], *, again: Collection[str] = ()) -> dict[str, Reply]:
        """Return what came of each request, by id; requests of one id are sent once.

        Args:
            requests: what to ask.
            again: ids of requests that are sent anew though they were answered.

        Raises:
            GenerationError: nothing can be asked at all.
            StoreError: an answer cannot be kept.
        """
        replies = self._send(requests, again=again)
        return replies | self._wait_for(requests)

    def _wait_for(self, requests: Sequence[ChatRequest]) -> dict[str, Reply]:
        """Return what comes of those requests that are under way."""
        waiting = {request.id: self._under_way[request.id] for request in requests if request.id in self._under_way}
        if not waiting:
            return {}
        replies = {}
        try:
            with self.progress.task("chat model", len(waiting)) as task:
                for request_id, future in waiting.items():
                    self._show_outages(future)
                    replies[request_id] = future.result()
                    task.advance()
        except BaseException:
            for future in self._under_way.values():
                future.cancel()
            self._under_way.clear()
            raise
        for request_id in waiting:
            del self._under_way[request_id]
        return replies

    def _show_outages(self, future: Future[Reply]) -> None:
        """Return when a request is done; meanwhile show how long its server has been waited for, in seconds."""
        while not _is_done_soon(future):
            if outage := self._outage:
                name = f"waiting for the chat server in seconds ({shorten(outage, LONGEST_SHOWN)})"
                with self.progress.task(name, round(self.config.breaker_wait_seconds)) as task:
                    while self._outage and not _is_done_soon(future):
                        task.advance(SECONDS_BETWEEN_LOOKS)

    @property
    def _outage(self) -> str:
        return self._backend.outage if self._backend is not None else ""

    def settled(self, requests: Sequence[ChatRequest]) -> dict[str, Reply]:
        """Return what came of those requests that were answered before, by id; nothing is asked."""
        kept = self.store.newest({request.id: request for request in requests})
        return {request_id: Reply(answer) for request_id, answer in kept.items() if answer.is_settled}

    def estimate(
        self, requests: Sequence[ChatRequest], output_characters: Sequence[int], *, again: Collection[str] = ()
    ) -> GenerationEstimate:
        """Return what asking these requests would take; tokens are guessed from characters.

        Args:
            requests: what would be asked.
            output_characters: of each answer, about.
            again: ids of requests that would be sent anew though they were answered.
        """
        told = {each.id: (each, characters) for each, characters in zip(requests, output_characters, strict=True)}
        settled = self.store.settled(told) - set(again)
        new = [each for request_id, each in told.items() if request_id not in settled]
        tokens_in = sum(len(turn.content) for request, _ in new for turn in request.messages) // CHARACTERS_A_TOKEN
        tokens_out = sum(min(out // CHARACTERS_A_TOKEN, request.most_tokens) for request, out in new)
        cost = cost_of(self.config, tokens_in, tokens_out)
        too_long = sum(out // CHARACTERS_A_TOKEN >= NEARLY_ALL * request.most_tokens for request, out in new)
        return GenerationEstimate(len(told), len(settled), tokens_in, tokens_out, cost, too_long)

    def close(self) -> None:
        """End what is under way, and let go of connections and models."""
        self._under_way.clear()
        if self._backend is not None:
            self._backend.close()

    def _send(
        self, requests: Sequence[ChatRequest], *, again: Collection[str], ahead: bool = False
    ) -> dict[str, Reply]:
        """Send what is neither answered nor under way; return what is answered."""
        every = {request.id: request for request in requests}
        self.asked_for.update(every)
        wanted = {request_id: each for request_id, each in every.items() if request_id not in self._under_way}
        kept = self.store.newest(wanted)
        answered = {
            request_id: Reply(answer)
            for request_id, answer in kept.items()
            if answer.is_settled and request_id not in again
        }
        orders = []
        for request_id, request in wanted.items():
            if request_id in answered:
                continue
            before = kept.get(request_id)
            if before is not None and before.is_settled:
                orders.append(Order(request, before.asking + 1, None))
            else:
                orders.append(Order(request, before.asking if before else 0, before))
        for order, future in zip(orders, self._start(orders, ahead=ahead), strict=True):
            self._under_way[order.request.id] = future
        return answered

    def _start(self, orders: Sequence[Order], *, ahead: bool) -> list[Future[Reply]]:
        if not orders:
            return []
        if not all(order.request.model for order in orders):
            raise ConfigError(
                "a chat model is to write or judge, and none is named",
                expected="the name of a model in chat.model",
                remedy="set 'model' under [chat] in mars.toml",
            )
        if self._backend is None:
            self._backend = self.open_backend()
        return self._backend.start(orders, ahead=ahead)


def _is_done_soon(future: Future[Reply]) -> bool:
    """Wait a little for a request; return whether it is done."""
    return bool(wait([future], timeout=SECONDS_BETWEEN_LOOKS).done)
