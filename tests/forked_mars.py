"""`mars` in processes of their own, forked from a warm one that has imported torch and transformers once."""

import itertools
import multiprocessing
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from serving_app import free_port

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["mars_engine.cli.main", "sentence_transformers", "transformers.trainer"])
NUMBERS = itertools.count()


class ForkedMars:
    """A running `mars` command, which is signalled and killed as any process is."""

    def __init__(self, workspace: Path, *arguments: str, environment: Mapping[str, str]) -> None:
        number = next(NUMBERS)
        self._streams = [workspace.with_name(f"{workspace.name}.{number}.{name}") for name in ("output", "errors")]
        whole = ["mars", "--workspace", str(workspace), "--quiet", *arguments]
        self._process = WARM.Process(target=_run, args=(whole, dict(environment), self._streams))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """As of `subprocess`: None while it runs, and minus the signal that ended it."""
        return self._process.exitcode

    def strike(self, signal: int) -> None:
        """Send it a signal; it may have ended a moment ago."""
        assert self._process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for its end; return what it wrote to standard output and to standard error."""
        self._process.join(timeout)
        assert self.returncode is not None, f"it still runs after {timeout} s"
        output, errors = (path.read_text() if path.exists() else "" for path in self._streams)
        return output, errors


def begin_two(workspace: Path, *command: str) -> list[ForkedMars]:
    """Begin a command in two processes, told of each other as `accelerate launch` tells them."""
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "ACCELERATE_USE_CPU": "1"}
    return [
        ForkedMars(workspace, *command, environment=os.environ | told | {"RANK": rank, "LOCAL_RANK": rank})
        for rank in "01"
    ]


def _run(arguments: list[str], environment: dict[str, str], streams: list[Path]) -> None:
    from mars_engine.cli.main import main

    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(streams, start=1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    sys.argv = arguments
    main()
