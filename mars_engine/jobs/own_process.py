"""Asking `mars` in a process of its own: for what a page needs once, and what would be too heavy for the server."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mars_engine.core.errors import JobError, MarsError
from mars_engine.jobs.job_ticket import JOB_VARIABLE

LONGEST_SECONDS = 900.0
CHARACTERS_OF_TAIL = 1_000


def mars_command(root: Path, *arguments: str) -> list[str]:
    """Return the command line of `mars` for a workspace, by this interpreter."""
    # -P: a file in the workspace must not be taken for a module.
    return [sys.executable, "-P", "-m", "mars_engine.cli.main", "--workspace", str(root), *arguments]


def ask_mars(root: Path, command: Sequence[str], *, longest_seconds: float = LONGEST_SECONDS) -> Any:
    """Run `mars COMMAND… --json` for a workspace, and return its report as plain JSON. It is no recorded job.

    Raises:
        MarsError: what the command says is wrong.
        JobError: the process could not be started, took too long, or broke.
    """
    name, *arguments = command
    whole = mars_command(root, "--quiet", name, "--json", *arguments)
    environment = {key: value for key, value in os.environ.items() if key != JOB_VARIABLE}
    try:
        done = subprocess.run(
            whole,
            check=False,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=longest_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise JobError(
            f"'mars {name}' did not finish within {longest_seconds:,.0f} s, and was stopped",
            remedy="run it on the command line, where it may take its time",
        ) from error
    except OSError as error:
        raise JobError(f"'mars {name}' cannot be started: {error}") from error
    if done.returncode != 0:
        raise _error_of(name, done.returncode, done.stderr.decode("utf-8", "replace"))
    return json.loads(done.stdout)


def _error_of(name: str, code: int, said: str) -> MarsError:
    """Return the error that the process reported in its last line; where it is none, how it broke."""
    last = said.strip().splitlines()[-1:]
    try:
        error = json.loads(last[0])["error"]
        return MarsError(error["found"], expected=error["expected"], remedy=error["what_to_do"])
    except (IndexError, ValueError, KeyError, TypeError):
        tail = said.strip()[-CHARACTERS_OF_TAIL:]
        return JobError(f"'mars {name}' broke with exit code {code}", remedy=f"read what it said: {tail or 'nothing'}")
