"""A job's ticket: what the process that starts a job hands over to the process that does it."""

import json
import os
from dataclasses import asdict, dataclass

JOB_VARIABLE = "MARS_JOB"
"""The environment variable that hands a ticket over."""


@dataclass(frozen=True, slots=True)
class JobTicket:
    """The run's id, the arguments of `mars` that do it again, and the log, relative to the workspace."""

    run_id: str
    command: tuple[str, ...] = ()
    log: str = ""

    def as_variable(self) -> dict[str, str]:
        return {JOB_VARIABLE: json.dumps(asdict(self))}


def take_job_ticket() -> JobTicket | None:
    """Return the ticket this process was started with, once; None where it was not started as a job."""
    text = os.environ.pop(JOB_VARIABLE, "")
    if not text:
        return None
    fields = json.loads(text)
    return JobTicket(fields["run_id"], tuple(fields["command"]), fields["log"])
