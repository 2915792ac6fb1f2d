"""A stand-in for the hub: what its client asks for to make a dataset and to commit to it, on this machine alone."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_stand_in"  # of this stand-in alone


@dataclass
class Dataset:
    """A dataset as the hub has it."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


@dataclass
class StandInHub:
    """Remembers its datasets, and what it was asked."""

    datasets: dict[str, Dataset] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Parts of paths that it answers by 403."""
    address: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of a request."""
        if any(part in path for part in self.refused):
            return 403, {"error": "You don't have the rights to write here."}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        return self._answer_of(path.removeprefix("/api/datasets/"), method, body)

    def _answer_of(self, path: str, method: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of a request about a dataset: owner/name, or owner/name/act/branch."""
        owner, name, *act = path.split("/")
        repository = f"{owner}/{name}"
        if act[:1] == ["preupload"]:
            names = [file["path"] for file in json.loads(body)["files"]]
            return 200, {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
        if act[:1] == ["commit"]:
            return self._commit(repository, [json.loads(line) for line in body.splitlines()])
        found = self.datasets.get(repository)
        if found is None or method != "GET":
            return 404, {"error": "Repository not found"}
        siblings = [{"rfilename": file} for file in found.files]
        return 200, {"id": repository, "private": found.private, "siblings": siblings, "sha": "0" * 40}

    def _create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        assert asked["type"] == "dataset"
        if name in self.datasets:
            return 409, {"error": "You already created this dataset repo"}
        self.datasets[name] = Dataset(private=bool(asked.get("private") or asked.get("visibility") == "private"))
        return 200, {"url": f"{self.address}/datasets/{name}"}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        dataset = self.datasets[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                dataset.commits.append(value["summary"])
            elif line["key"] == "file":
                dataset.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del dataset.files[value["path"]]
        oid = f"{len(dataset.commits):040d}"
        return 200, {"commitUrl": f"{self.address}/datasets/{name}/commit/{oid}", "commitOid": oid}


@contextmanager
def stand_in_hub() -> Iterator[StandInHub]:
    """Serve a hub without datasets on loopback; requests without its token are answered by 401."""
    hub = StandInHub()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            hub.asked.append(f"{self.command} {path}")
            allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            status, answer = hub.answer(self.command, path, body) if allowed else (401, {"error": "Invalid token"})
            content = json.dumps(answer).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = respond  # noqa: N815 (http.server's names)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
