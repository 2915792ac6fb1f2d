"""The resident worker as the server sees it: a process of its own that has the encoder, so that the server never does.

It is started by the first request, at low priority and on one thread, and ends by itself when the server is gone, even
where the server was killed: its standard input ends then.
"""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from mars_engine.core.errors import MarsError, WorkerError
from mars_engine.core.records import Float32Array
from mars_engine.core.review_records import ItemKind
from mars_engine.curate.gain_order import GainOrder
from mars_engine.curate.live import LiveFigures

LOG_FILE = "artifacts/logs/worker.log"
EMBED_SECONDS = 90.0
"""The first request waits for torch and the encoder, which takes ten seconds on two busy cores."""
LIVE_SECONDS = 300.0
END_SECONDS = 3.0
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


# --------------------------------------------------------------------------------------------------------- messages


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked: `texts` for "embed", `kind` for the others. Its number comes back with the answer."""

    do: Literal["embed", "live", "order"]
    texts: tuple[str, ...] = ()
    kind: ItemKind = "proposal"
    number: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: a result, an error, or neither where a newer request overtook it."""

    number: int
    result: Any = None
    error: MarsError | None = None


def send(stream: IO[bytes], message: Request | Answer) -> None:
    """Write a message. The two processes are one program, so each may unpickle what the other sends."""
    pickle.dump(message, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Return the next message, None where the other side has ended, in the midst of a message or before."""
    try:
        return pickle.load(stream)  # noqa: S301 (from this program's own process, through a pipe that no other has)
    except (EOFError, pickle.UnpicklingError):
        return None


# ----------------------------------------------------------------------------------------------------------- client


class WorkerClient:
    """Asks the worker of a workspace. Threads may share it; a worker that has ended is started again."""

    def __init__(self, root: Path, *, command: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            root: the workspace.
            command: how the worker is started, where not as `worker_process` of this workspace.
        """
        self._command = command or (sys.executable, "-P", "-m", "mars_engine.service.worker_process", str(root))
        self._log = root / LOG_FILE
        self._lock = threading.Lock()
        self._link: _Link | None = None
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """The worker's process, None where none has been started or it has ended."""
        link = self._link
        return link.process.pid if link is not None and not link.ended else None

    def embed(self, texts: Sequence[str], *, timeout: float = EMBED_SECONDS) -> Float32Array:
        """Return the embedding of each text, unit length, shape (n, d).

        Raises:
            WorkerError: the worker does not answer.
            MarsError: the encoder cannot be used.
        """
        vectors: Float32Array = self._ask(Request("embed", texts=tuple(texts)), timeout)
        return vectors

    def live(self, kind: ItemKind, *, timeout: float = LIVE_SECONDS) -> LiveFigures | None:
        """Refit the probe on what is decided by now and return the figures; None where a newer request overtook it.

        Raises:
            WorkerError: the worker does not answer.
            NotReadyError: there is no trained model, or no pair.
        """
        figures: LiveFigures | None = self._ask(Request("live", kind=kind), timeout)
        return figures

    def gain_order(self, *, timeout: float = LIVE_SECONDS) -> GainOrder | None:
        """Return the order in which the waiting proposals add most; None where a newer request overtook it.

        Raises:
            WorkerError: the worker does not answer.
            NotReadyError: there is no trained model, or no pair.
        """
        order: GainOrder | None = self._ask(Request("order"), timeout)
        return order

    def close(self) -> None:
        """End the worker; requests that wait for it fail, and no other is started."""
        with self._lock:
            self._closed = True
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _ask(self, request: Request, timeout: float) -> Any:
        """Return the result; a worker that ends meanwhile is started again once."""
        deadline = time.monotonic() + timeout
        for _ in range(2):
            link = self._living_link()
            try:
                answer = link.ask(request).result(max(0.0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise WorkerError(
                    f"the worker has not answered within {timeout:.0f} s",
                    remedy=f"try again; {self._log} says what it does",
                ) from error
            except _EndedError:
                continue
            if answer.error is not None:
                raise answer.error
            return answer.result
        raise WorkerError("the worker ended before it answered, twice", remedy=f"{self._log} says why")

    def _living_link(self) -> "_Link":
        with self._lock:
            if self._closed:
                raise WorkerError("the workspace was closed", remedy="open the page again")
            if self._link is None or self._link.ended:
                self._link = _Link(self._command, self._log)
            return self._link


class _EndedError(Exception):
    """The worker's process ended."""


class _Link:
    """One worker process, and who waits for its answers."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._waiting: dict[int, Future[Answer]] = {}
        self._asked = 0
        self.ended = False
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as errors_to:
                self.process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors_to,
                    env=os.environ | ONE_THREAD,
                    start_new_session=True,  # Ctrl+C is for the server; the worker ends with it
                )
        except OSError as error:
            raise WorkerError(f"the worker cannot be started: {error}", remedy="check disk space and memory") from error
        threading.Thread(target=self._listen, name="worker-answers", daemon=True).start()

    def ask(self, request: Request) -> "Future[Answer]":
        """Send a request; the future has its answer, or _EndedError."""
        answer: Future[Answer] = Future()
        with self._lock:
            if self.ended:
                answer.set_exception(_EndedError())
                return answer
            self._asked += 1
            numbered = replace(request, number=self._asked)
            self._waiting[self._asked] = answer
        with self._sending, suppress(OSError, ValueError):  # where it has ended, the listener tells all who wait
            send(_pipe(self.process.stdin), numbered)
        return answer

    def close(self) -> None:
        """Let the worker end, and kill it where it does not."""
        self._hang_up()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _hang_up(self) -> None:
        with self._sending, suppress(OSError):  # it may have ended already, with something unsent
            _pipe(self.process.stdin).close()

    def _listen(self) -> None:
        answers = _pipe(self.process.stdout)
        while (answer := receive(answers)) is not None:
            with self._lock:
                waiting = self._waiting.pop(answer.number)
            waiting.set_result(answer)
        with self._lock:
            self.ended = True
            left = list(self._waiting.values())
            self._waiting.clear()
        answers.close()
        self._hang_up()
        self.process.wait()
        for waiting in left:
            waiting.set_exception(_EndedError())


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 (Popen was asked for pipes)
    return stream
