"""Readings that a stretch of work shares: made again only where what they were made of has changed."""

from collections.abc import Callable, Hashable
from typing import Any

from sqlalchemy import Connection

from mars_engine.store.statements import revision


class KeptReadings:
    """Keeps large readings, each with the revision of its subject that it was made under. One thread uses it."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[int, Any]] = {}

    def read(self, connection: Connection, subject: str, key: Hashable, read: Callable[[], Any]) -> Any:
        """Return what `read` returned before, or returns now where the subject has changed since.

        Args:
            connection: a read transaction, in which the revision and the reading are of one moment.
            subject: what every change of the reading is counted under; see `note_change`.
            key: names the reading.
            read: makes it in this transaction.
        """
        now = revision(connection, subject)
        if key not in self._kept or self._kept[key][0] != now:
            self._kept[key] = (now, read())
        return self._kept[key][1]
