"""Checks of arguments: what a script gives is refused with what was found and what was expected."""

from collections.abc import Sequence

import numpy as np

from mars_engine.core.errors import MarsError


def one_of(name: str, given: object, known: Sequence[str]) -> None:
    """Raise MarsError where an argument is none of the known ones."""
    if given not in known:
        raise MarsError(f"there is no {name} {given!r}", expected=f"one of {', '.join(known)}")


def at_least(name: str, given: float, least: int, *, whole: bool = False) -> None:
    """Raise MarsError where an argument is no number, or below the least."""
    is_number = isinstance(given, int | np.integer) if whole else isinstance(given, int | float | np.number)
    if isinstance(given, bool) or not is_number or not np.isfinite(given) or given < least:
        raise MarsError(f"{name} is {given!r}", expected=f"a {'whole ' if whole else ''}number, {least} or more")
