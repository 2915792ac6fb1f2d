"""The resident worker as the server sees it: a process of its own that has the encoder, so that the server never does.

It is started by the first request, at low priority and on one thread, and ends by itself when the server is gone, even
where the server was killed: its standard input ends then.
"""

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import TypeAdapter

from mars_engine.core import errors
from mars_engine.core.errors import MarsError, WorkerError
from mars_engine.core.records import Float32Array
from mars_engine.core.review_records import ItemKind
from mars_engine.curate.gain_order import Chance, GainOrder
from mars_engine.curate.live import LiveFigures

LOG_FILE = "artifacts/logs/worker.log"
EMBED_SECONDS = 90.0
"""The first request waits for torch and the encoder, which takes ten seconds on two busy cores."""
LIVE_SECONDS = 300.0
END_SECONDS = 3.0
ID_TYPE = np.dtype("S24")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

_LENGTHS = struct.Struct(">II")
_FIGURES = TypeAdapter(LiveFigures)
_CHANCES = TypeAdapter(tuple[Chance, ...])


# --------------------------------------------------------------------------------------------------------- messages


@dataclass(frozen=True, slots=True)
class Message:
    """What goes through the pipes: a header as JSON, and bytes that need no encoding."""

    header: Mapping[str, Any]
    body: bytes = b""


def write_message(stream: IO[bytes], message: Message) -> None:
    """Write a message with the lengths of its two parts before it."""
    header = json.dumps(message.header).encode()
    stream.write(_LENGTHS.pack(len(header), len(message.body)) + header + message.body)
    stream.flush()


def pack_gain_order(order: GainOrder) -> tuple[dict[str, Any], bytes]:
    """Return a gain order as a header and bytes: ids and gains of thousands of proposals are no JSON."""
    told = {name: getattr(order, name) for name in ("stamp", "one_by_one", "waiting", "seconds")}
    header = told | {"count": len(order.ids), "chances": _CHANCES.dump_python(order.chances, mode="json")}
    return header, order.ids.astype(ID_TYPE).tobytes() + order.gains.astype(np.float32).tobytes()


def unpack_gain_order(message: Message) -> GainOrder:
    """Return the gain order that a message has."""
    header = message.header
    length = header["count"] * ID_TYPE.itemsize
    return GainOrder(
        stamp=header["stamp"],
        ids=np.frombuffer(message.body[:length], dtype=ID_TYPE),
        gains=np.frombuffer(message.body[length:], dtype=np.float32),
        one_by_one=header["one_by_one"],
        waiting=header["waiting"],
        chances=_CHANCES.validate_python(header["chances"]),
        seconds=header["seconds"],
    )


def read_message(stream: IO[bytes]) -> Message | None:
    """Return the next message, None where the other side has ended, in the midst of a message or before."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    header_length, body_length = _LENGTHS.unpack(lengths)
    content = stream.read(header_length + body_length)
    if len(content) < header_length + body_length:
        return None
    return Message(json.loads(content[:header_length]), content[header_length:])


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
        reply = self._ask({"do": "embed", "texts": list(texts)}, timeout)
        vectors = np.frombuffer(reply.body, dtype=np.float32)
        return vectors.reshape(reply.header["shape"])

    def live(self, kind: ItemKind, *, timeout: float = LIVE_SECONDS) -> LiveFigures | None:
        """Refit the probe on what is decided by now and return the figures; None where a newer request overtook it.

        Raises:
            WorkerError: the worker does not answer.
            NotReadyError: there is no trained model, or no pair.
        """
        reply = self._ask({"do": "live", "kind": kind}, timeout)
        return None if reply.header.get("overtaken") else _FIGURES.validate_python(reply.header["figures"])

    def gain_order(self, *, timeout: float = LIVE_SECONDS) -> GainOrder | None:
        """Return the order in which the waiting proposals add most; None where a newer request overtook it.

        Raises:
            WorkerError: the worker does not answer.
            NotReadyError: there is no trained model, or no pair.
        """
        reply = self._ask({"do": "order", "kind": "proposal"}, timeout)
        return None if reply.header.get("overtaken") else unpack_gain_order(reply)

    def close(self) -> None:
        """End the worker; requests that wait for it fail, and no other is started."""
        with self._lock:
            self._closed = True
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _ask(self, request: Mapping[str, Any], timeout: float) -> Message:
        """Return the answer; a worker that ends meanwhile is started again once."""
        deadline = time.monotonic() + timeout
        for _ in range(2):
            link = self._living_link()
            try:
                reply = link.ask(request).result(max(0.0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise WorkerError(
                    f"the worker has not answered within {timeout:.0f} s",
                    remedy=f"try again; {self._log} says what it does",
                ) from error
            except _EndedError:
                continue
            return _answer(reply)
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
        self._waiting: dict[int, Future[Message]] = {}
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

    def ask(self, request: Mapping[str, Any]) -> "Future[Message]":
        """Send a request; the future has its answer, or _EndedError."""
        answer: Future[Message] = Future()
        with self._lock:
            if self.ended:
                answer.set_exception(_EndedError())
                return answer
            self._asked += 1
            message = Message({"number": self._asked, **request})
            self._waiting[self._asked] = answer
        with self._sending, suppress(OSError, ValueError):  # where it has ended, the listener tells all who wait
            write_message(_pipe(self.process.stdin), message)
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
        while (message := read_message(answers)) is not None:
            with self._lock:
                waiting = self._waiting.pop(message.header["number"])
            waiting.set_result(message)
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


def _answer(reply: Message) -> Message:
    """Return the reply, or raise the error that it tells of."""
    told = reply.header.get("error")
    if told is None:
        return reply
    kind = getattr(errors, told["kind"], MarsError)
    raise kind(told["found"], expected=told["expected"], remedy=told["remedy"])
