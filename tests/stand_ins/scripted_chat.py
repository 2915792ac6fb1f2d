"""An OpenAI-compatible server on loopback that behaves as a script says: well, slowly, or badly on purpose."""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mars_engine.core.chat_records import KeptAnswer

TEN_MEGABYTES = b'{"choices": [{"message": {"content": "' + b"x" * 10_000_000 + b'"}}]}'


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    body: dict[str, Any]
    headers: dict[str, str]
    attempt: int
    """How often the same was asked before, in whatever form."""

    @property
    def messages(self) -> list[dict[str, str]]:
        return list(self.body["messages"])

    @property
    def key(self) -> str:
        """Identifies what is asked, however it is asked."""
        return key_of([(each["role"], each["content"]) for each in self.messages])

    @property
    def text(self) -> str:
        """What is to be rewritten."""
        content = self.messages[-1]["content"]
        wanted = "chosen" if "of the chosen answer." in content else "rejected" if "<rejected>" in content else "text"
        found = re.search(rf"<{wanted}>\n(.*)\n</{wanted}>", content, re.DOTALL)
        return found[1] if found else ""

    @property
    def count(self) -> int:
        found = re.search(r"Write (\d+) different", self.messages[-1]["content"])
        return int(found[1]) if found else 1


@dataclass(frozen=True)
class Answer:
    """What the server does about a request."""

    content: str = ""
    finish_reason: str = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """The whole body, instead of a chat completion."""
    hang_seconds: float = 0.0


Script = Callable[[Asked], Answer]


def key_of(messages: Any) -> str:
    return hashlib.sha256(json.dumps([list(each) for each in messages]).encode()).hexdigest()


def key_of_kept(kept: KeptAnswer) -> str:
    return key_of([(turn.role, turn.content) for turn in kept.messages])


def rewrites(asked: Asked) -> Answer:
    """Rewrites that can be used, as many as were asked for."""
    texts = [f"{asked.text} in other words {number}" for number in range(1, asked.count + 1)]
    return Answer(json.dumps({"rewrites": texts}))


def well_behaved(asked: Asked) -> Answer:
    if "Which answer is better?" in asked.messages[-1]["content"]:
        return Answer('{"better": "first"}')
    return rewrites(asked)


@dataclass
class ScriptedServer:
    """The server, and all that it was asked."""

    script: Script
    latency_seconds: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    """How often each request got a whole answer with status 200."""
    most_at_once: int = 0
    port: int = 0
    _at_work: int = 0
    _seen: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def begin(self, body: dict[str, Any], headers: dict[str, str]) -> Asked:
        with self._lock:
            key = Asked(body, headers, 0).key
            asked = Asked(body, headers, self._seen[key])
            self._seen[key] += 1
            self.asked.append(asked)
            self._at_work += 1
            self.most_at_once = max(self.most_at_once, self._at_work)
        return asked

    def end(self, asked: Asked, *, answered: bool) -> None:
        with self._lock:
            self._at_work -= 1
            if answered:
                self.answered[asked.key] += 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Or each answer waits 40 ms for the client to acknowledge its headers, as no real server lets it.
    disable_nagle_algorithm = True
    scripted: ScriptedServer

    def log_message(self, *_arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = self.scripted.begin(body, {name.lower(): value for name, value in self.headers.items()})
        sent = False
        answer = None
        try:
            answer = self.scripted.script(asked)
            time.sleep(self.scripted.latency_seconds + answer.hang_seconds)
            sent = self._send(answer)
        finally:
            is_whole = sent and answer is not None and answer.status == 200
            self.scripted.end(asked, answered=is_whole)

    def _send(self, answer: Answer) -> bool:
        body = answer.body if answer.body is not None else json.dumps(_completion(answer)).encode()
        try:
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:  # it was not waited for
            self.close_connection = True
            return False
        return True


def _completion(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        return {"error": {"message": answer.content, "code": str(answer.status)}}
    return {
        "id": "x",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.content},
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": max(1, len(answer.content) // 4)},
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """A client that went away is part of the script."""


@contextmanager
def serving(script: Script = well_behaved, *, latency_seconds: float = 0.0) -> Iterator[ScriptedServer]:
    """Serve a script on a free port of loopback."""
    scripted = ScriptedServer(script, latency_seconds)
    handler = type("Handler", (_Handler,), {"scripted": scripted})
    server = _Server(("127.0.0.1", 0), handler)
    scripted.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
