"""Several processes under `accelerate launch`: the first runs the command, the others do their share of its work.

Only the first knows the workspace and writes to it. It tells the others each piece of work whole, as a function and
its arguments; between two pieces they wait.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from mars_engine.core.errors import MarsError

Found = TypeVar("Found")

LONGEST_WAIT = timedelta(days=30)
"""Between two pieces of work a person may review; a first process that dies ends the others at once in any case."""

SECONDS_FOR_THE_FIRST = 30.0


def process_count() -> int:
    """Return how many processes were launched together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Return which of them this is; the first, 0, runs the command."""
    return int(os.environ.get("RANK", "0"))


def join_processes() -> None:
    """Meet the other processes, where there are any; each must call it before anything is told."""
    if process_count() == 1:
        return
    import torch
    from accelerate import PartialState

    asked_for_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    PartialState(cpu=asked_for_cpu or not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def broadcast(share: Callable[..., None], **arguments: Any) -> None:
    """Have every other process call `share`, a module's function; the caller does its own share itself."""
    _pass_on((share, arguments))


def release_others() -> None:
    """Let the other processes end. A first process that ends in an error needs not: the launcher ends them then."""
    _pass_on(None)


def leave_processes() -> None:
    """End this process at once, with all well, where it is one of several; where it is alone, do nothing.

    Python's own end takes apart the threads of the connections between them, which on a busy machine aborts now and
    then a process whose work is done and stored.
    """
    if process_count() == 1:
        return
    from torch.distributed import barrier, is_initialized

    if is_initialized():
        barrier()  # none ends while another still listens to it
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def follow() -> None:
    """Do this process's share of a transformer's training, piece by piece, until released."""
    while (told := _pass_on(None)) is not None:
        share, arguments = told
        try:
            share(**arguments)
        except (MarsError, KeyboardInterrupt):
            time.sleep(SECONDS_FOR_THE_FIRST)  # it met the same, says and notes so, and ends all
            raise


def done_by_first(work: Callable[[], Found]) -> Found:
    """Return what the first process finds; the others do their share of what it tells meanwhile, and get the same."""
    if process_count() == 1:
        return work()
    found: Any = None
    if process_number() == 0:
        found = work()
        release_others()
    else:
        follow()
    told: Found = _pass_on(found)
    return told


def _pass_on(told: Any) -> Any:
    """Return what the first process tells."""
    if process_count() == 1:
        return told
    from torch.distributed import broadcast_object_list

    messages = [told]
    broadcast_object_list(messages, src=0)
    return messages[0]
