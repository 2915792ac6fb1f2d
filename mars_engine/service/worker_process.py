"""The resident worker itself: `python -m mars_engine.service.worker_process WORKSPACE`.

It reads requests from its standard input and writes answers to its standard output. Requests for embeddings come
first; of the requests for live figures or an order about one kind of item only the newest counts. It ends when its
standard input does.
"""

import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from mars_engine.core.config import MarsConfig
from mars_engine.core.errors import MarsError, WorkerError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Float32Array, Passage
from mars_engine.core.review_records import ItemKind
from mars_engine.curate.gain_order import GainOrder
from mars_engine.curate.live import LiveFigures, LiveProbe
from mars_engine.service.worker import Answer, Request, receive, send
from mars_engine.store import Store, open_store
from mars_engine.workspace.workspace import CONFIG_FILE, find_workspace, make_encoder, make_probe_trainer

NICENESS = 10


class WorkerService(Protocol):
    """What a worker can be asked."""

    def embed(self, texts: Sequence[str]) -> Float32Array: ...

    def live(self, kind: ItemKind) -> LiveFigures: ...

    def gain_order(self) -> GainOrder: ...


class WorkspaceService:
    """Answers for a workspace, under its settings as they are when asked."""

    def __init__(self, root: Path, store: Store) -> None:
        self._root = root
        self._store = store
        self._settings_read = 0.0
        self._use(find_workspace(root).config)

    def embed(self, texts: Sequence[str]) -> Float32Array:
        self._read_settings_again()
        return self._encoder.encode([Passage(text) for text in texts], progress=SilentProgress()).vectors

    def live(self, kind: ItemKind) -> LiveFigures:
        self._read_settings_again()
        return self._probe.figures(kind)

    def gain_order(self) -> GainOrder:
        self._read_settings_again()
        return self._probe.gain_order()

    def _read_settings_again(self) -> None:
        """Start anew where mars.toml has changed: another encoder has other features."""
        changed = (self._root / CONFIG_FILE).stat().st_mtime
        if changed != self._settings_read:
            config = find_workspace(self._root).config
            if config != self._config:
                self._use(config)
            self._settings_read = changed

    def _use(self, config: MarsConfig) -> None:
        self._config = config
        workspace = find_workspace(self._root)
        self._encoder = make_encoder(workspace)
        trainer = make_probe_trainer(workspace, self._encoder)
        self._probe = LiveProbe(self._store, trainer, config=config, progress=SilentProgress())


class RequestQueue:
    """Waiting requests. The reading thread puts them in, the working thread takes them out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._embed: deque[Request] = deque()
        self._live: dict[tuple[str, str], Request] = {}

    def put(self, request: Request) -> Request | None:
        """Add a request; return the one that it has overtaken, if any."""
        with self._changed:
            self._changed.notify()
            if request.do == "embed":
                self._embed.append(request)
                return None
            wanted = (request.do, request.kind)
            overtaken = self._live.pop(wanted, None)
            self._live[wanted] = request
            return overtaken

    def take(self) -> Request:
        """Wait for a request and return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._embed or self._live)
            return self._embed.popleft() if self._embed else self._live.pop(next(iter(self._live)))


class Answers:
    """Where answers go; both threads write there."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, answer: Answer) -> None:
        with self._lock:
            send(self._stream, answer)


def serve(
    open_service: Callable[[], WorkerService],
    requests: IO[bytes],
    replies: IO[bytes],
    *,
    end: Callable[[int], NoReturn],
) -> NoReturn:
    """Answer requests until they end.

    Args:
        open_service: opens what can be asked; its error is the answer to every request.
        requests: has the requests.
        replies: gets an answer to each, by its number.
        end: ends the process at once, from whichever thread.
    """
    waiting, out = RequestQueue(), Answers(replies)

    def read_requests() -> None:
        while (request := receive(requests)) is not None:
            overtaken = waiting.put(request)
            if overtaken is not None:
                out.send(Answer(overtaken.number))
        end(0)  # whoever asks is gone, so that nobody waits for what is being worked on

    threading.Thread(target=read_requests, name="requests", daemon=True).start()
    service: WorkerService | None = None
    while True:
        request = waiting.take()
        try:
            service = service or open_service()
            answer = Answer(request.number, _work(service, request))
        except Exception as error:  # noqa: BLE001 (whatever it is, the server is told, and the worker goes on)
            traceback.print_exc(file=sys.stderr)
            answer = Answer(request.number, error=_of_mars(error))
        try:
            out.send(answer)
        except OSError:  # nobody reads any more
            end(0)


def _work(service: WorkerService, request: Request) -> Any:
    if request.do == "embed":
        return service.embed(request.texts)
    if request.do == "order":
        return service.gain_order()
    return service.live(request.kind)


def _of_mars(error: Exception) -> MarsError:
    return error if isinstance(error, MarsError) else WorkerError(f"the worker failed: {type(error).__name__}: {error}")


def take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return the standard input and output for messages alone; what libraries print goes to the error output."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def main() -> NoReturn:
    """Serve the workspace that the first argument names."""
    requests, replies = take_pipes()
    os.nice(NICENESS)
    root = Path(sys.argv[1])

    def open_service() -> WorkerService:
        return WorkspaceService(root, open_store(find_workspace(root).database_url))

    serve(open_service, requests, replies, end=os._exit)


if __name__ == "__main__":
    main()
