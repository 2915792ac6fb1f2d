"""Starting `mars app` for a test, and waiting until it answers."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(mars: list[str], workspace: Path, *, environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Serve a workspace by the given `mars` command; the app's address, once it is healthy."""
    port = free_port()
    command = [*mars, "--workspace", str(workspace), "app", "--port", str(port)]
    log = folder / f"app-{port}.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=output, stderr=output)
    try:
        address = f"http://127.0.0.1:{port}"
        assert answer(f"{address}/_stcore/health", server) == "ok", log.read_text()
        assert address in log.read_text()
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


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
