"""Starting `mars app` for a test, and waiting until it answers."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

MARS = [sys.executable, "-m", "mars_engine.cli.main"]
"""The command, by the interpreter that runs the tests."""


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class AppServer:
    """`mars app` on a port of its own, which can be killed and started again there."""

    def __init__(self, mars: list[str], workspace: Path, *, environment: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"app-{self.port}.log"
        self._command = [*mars, "--workspace", str(workspace), "app", "--port", str(self.port)]
        self._environment, self._folder = dict(environment), folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it is healthy."""
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=output, stderr=output
            )
        assert answer(f"{self.address}/_stcore/health", self.process) == "ok", self.log.read_text()
        assert self.address in self.log.read_text()

    def kill(self) -> None:
        """End the server by SIGKILL: it has no chance to finish anything."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)


@contextmanager
def serve(mars: list[str], workspace: Path, *, environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Serve a workspace by the given `mars` command; the app's address, once it is healthy."""
    server = AppServer(mars, workspace, environment=environment, folder=folder)
    try:
        server.start()
        yield server.address
    finally:
        server.stop()


def answer(address: str, server: subprocess.Popen[bytes], *, seconds: float = 60) -> str:
    """What an address answers, once it does; what is wrong, if the server ends or stays silent."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310 (loopback)
                return str(response.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    return f"no answer; the server's exit code is {server.poll()}"
