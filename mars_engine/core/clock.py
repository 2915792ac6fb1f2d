"""The clock that steps are handed, so that a test can say what time it is."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time, as an aware datetime in UTC."""

    def __call__(self) -> datetime: ...


def utc_now() -> datetime:
    """Return the time now: the clock of commands and of the app."""
    return datetime.now(UTC)
