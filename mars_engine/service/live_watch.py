"""Refreshes a workspace's live figures in the background when a page looks at them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mars_engine.core.errors import MarsError
from mars_engine.core.review_records import ItemKind


class Stamped(Protocol):
    """What tells at which state of the store it stands."""

    @property
    def stamp(self) -> str: ...


Figures = TypeVar("Figures", bound=Stamped)


@dataclass(frozen=True, slots=True)
class WatchedFigures(Generic[Figures]):
    """What there is to show at this moment."""

    figures: Figures | None
    """The newest figures; None before the first."""
    under_way: bool
    """Newer ones are being made."""
    error: MarsError | None
    """Why there are no newer ones."""


@dataclass
class _Line(Generic[Figures]):
    """What is known about one kind of item."""

    figures: Figures | None = None
    under_way: bool = False
    error: MarsError | None = None
    error_stamp: str = ""
    """The state of the store at which it failed; it is not tried again before that changes."""


class LiveWatch(Generic[Figures]):
    """Shared by all sessions of a server, so that one refit serves them all."""

    def __init__(self, ask: Callable[[ItemKind], Figures | None], stamp: Callable[[], str]) -> None:
        """Watch.

        Args:
            ask: returns new figures, or None where a newer request overtook it; takes a second or more.
            stamp: tells the state of the store that figures depend on; quick.
        """
        self._ask = ask
        self._stamp = stamp
        self._lock = threading.Lock()
        self._lines: dict[ItemKind, _Line[Figures]] = {"pair": _Line(), "proposal": _Line()}

    def look(self, kind: ItemKind) -> WatchedFigures[Figures]:
        """Return the figures there are, at once; refresh them in the background if they are out of date.

        Raises:
            StoreError: the database cannot be read.
        """
        stamp = self._stamp()
        with self._lock:
            line = self._lines[kind]
            known = line.figures is not None and line.figures.stamp == stamp
            if not known and not line.under_way and line.error_stamp != stamp:
                line.under_way = True
                threading.Thread(target=self._renew, args=(kind, stamp), name=f"live-{kind}", daemon=True).start()
            return WatchedFigures(line.figures, line.under_way, None if known else line.error)

    def _renew(self, kind: ItemKind, stamp: str) -> None:
        figures: Figures | None = None
        error: MarsError | None = None
        try:
            figures = self._ask(kind)
        except MarsError as problem:
            error = problem
        finally:
            with self._lock:
                line = self._lines[kind]
                line.under_way = False
                line.figures = figures or line.figures
                line.error, line.error_stamp = error, stamp if error else ""
