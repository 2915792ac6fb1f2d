"""A batch service on loopback that speaks OpenAI's batch interface: files up, a batch, its state, files down.

It answers a batch as a script says, in another order, and loses, refuses and repeats what it is told to.
"""

import email
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from scripted_chat import Asked, Script, well_behaved

PURPOSE = {"purpose": "batch"}
Fate = Callable[[int], str]
"""Says of the n-th request of a batch what becomes of it: "lost", "failed", "expired", "twice", or "" for an answer."""


def nothing_happens(_number: int) -> str:
    return ""


@dataclass
class BatchService:
    """The service, and all that it was sent and has answered."""

    script: Script = well_behaved
    fate: Fate = nothing_happens
    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    fates: dict[str, str] = field(default_factory=dict)
    """By custom id, of the newest batch that has it."""
    answered: list[str] = field(default_factory=list)
    """Custom ids of requests that got an answer, in order, once for each answer."""
    polls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def keep(self, content: bytes) -> dict[str, Any]:
        with self._lock:
            name = f"file-{len(self.files)}"
            self.files[name] = content
        return {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": 0,
            "filename": name,
            "purpose": "batch",
        }

    def open_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["endpoint"] == "/v1/chat/completions"
        requests = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        assert len({each["custom_id"] for each in requests}) == len(requests), "a custom id stands twice in a batch"
        assert len({each["body"]["model"] for each in requests}) == 1, "a batch has one model"
        batch = {
            "id": f"batch-{len(self.batches)}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "created_at": 0,
            "status": "in_progress",
        }
        self.batches[batch["id"]] = batch
        return batch

    def poll(self, name: str) -> dict[str, Any]:
        """A batch is done when it is asked about for the second time."""
        self.polls += 1
        batch = self.batches[name]
        if self.polls % 2 == 0 and batch["status"] == "in_progress":
            outputs, errors = self._answers(self.files[batch["input_file_id"]])
            batch |= {"status": "completed", "output_file_id": self._file_of(outputs)}
            batch |= {"error_file_id": self._file_of(errors)} if errors else {}
        return batch

    def _file_of(self, lines: Sequence[dict[str, Any]]) -> str:
        shuffled = [lines[place] for place in np.random.default_rng(len(lines)).permutation(len(lines))]
        return str(self.keep("".join(json.dumps(line) + "\n" for line in shuffled).encode())["id"])

    def _answers(self, content: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        outputs, errors = [], []
        for number, line in enumerate(content.splitlines()):
            request = json.loads(line)
            assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
            custom, fate = request["custom_id"], self.fate(number)
            self.fates[custom] = fate
            if fate == "failed":
                body = {"error": {"message": "out of order", "code": "500"}}
                errors.append(_line(custom, {"status_code": 500, "request_id": "r", "body": body}, None))
            elif fate == "expired":
                errors.append(_line(custom, None, {"code": "batch_expired", "message": "not done in time"}))
            elif fate != "lost":
                times = 2 if fate == "twice" else 1
                answer = self.script(Asked(request["body"], {}, 0))
                response = {"status_code": 200, "request_id": "r", "body": _completion(answer.content, request["body"])}
                outputs += [_line(custom, response, None)] * times
                self.answered += [custom] * times
        return outputs, errors


def _line(custom: str, response: dict[str, Any] | None, error: dict[str, Any] | None) -> dict[str, Any]:
    return {"id": f"batch_req_{custom[:6]}", "custom_id": custom, "response": response, "error": error}


def _completion(content: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: BatchService

    def log_message(self, *_arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = {
                part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
                for part in email.message_from_bytes(head + body).get_payload()
            }
            assert parts["purpose"] == b"batch"
            self._send(self.service.keep(parts["file"]))
        else:
            self._send(self.service.open_batch(json.loads(body)))

    def do_GET(self) -> None:
        _, _, kind, name, *content = self.path.split("/")
        if kind == "files" and content:
            self._send_bytes(self.service.files[name])
        else:
            self._send(self.service.poll(name))

    def _send(self, value: dict[str, Any]) -> None:
        self._send_bytes(json.dumps(value).encode())

    def _send_bytes(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving_batches(fate: Fate = nothing_happens, script: Script = well_behaved) -> Iterator[BatchService]:
    """Serve batches on a free port of loopback."""
    service = BatchService(script, fate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": service}))
    server.daemon_threads = True
    service.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
