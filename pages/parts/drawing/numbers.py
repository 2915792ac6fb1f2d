"""Numbers, times and sizes as the pages write them, and changes in the colour of better or worse."""

import re
from datetime import datetime
from typing import Any

from mars_engine.stats.intervals import Interval

_HYPHEN_OF_A_NUMBER = re.compile(r"(?<![\w.)\]])-(?=[\d.])")


def true_minus(text: str) -> str:
    """Return a text with a minus sign before its negative numbers, where it has a hyphen; words keep theirs."""
    return _HYPHEN_OF_A_NUMBER.sub("−", text)


def change_of(text: str, change: float, *, good_when_higher: bool | None) -> dict[str, Any]:
    """Return what `st.metric` is to be told of a change: Streamlit takes only a hyphen for a minus by itself.

    Args:
        text: the change in words, such as "−0.7 points".
        change: its size, for its sign alone.
        good_when_higher: None where it is neither good nor bad, or not known to be a change at all.
    """
    if good_when_higher is None or not change:
        return {"delta": true_minus(text), "delta_color": "off", "delta_arrow": "off"}
    is_good = (change > 0) == good_when_higher
    arrow = "up" if change > 0 else "down"
    return {"delta": true_minus(text), "delta_color": "green" if is_good else "red", "delta_arrow": arrow}


def as_text(value: Any) -> str:
    """Return a value as the pages write it: a number with its separators, a truth value or words as they are."""
    if isinstance(value, bool) or value is None:
        return "unknown" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return true_minus(f"{value:.3f}")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_text(each) for each in value) + "]"
    return str(value)


def interval_text(interval: Interval) -> str:
    """Return an interval of shares as the pages write it, in percent; pairs that are all alike are too few to say."""
    if interval.low == interval.high:
        return "too few to say"
    return f"{interval.low:.1%} – {interval.high:.1%}"


def duration(seconds: float) -> str:
    """Return a duration as the pages write it, in the unit that fits."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def moment(at: datetime) -> str:
    """Return a moment in UTC as the pages write it, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def as_size(size_bytes: int) -> str:
    """Return a file's size as the pages write it, in the unit that fits."""
    if size_bytes < 1024:
        return f"{size_bytes:,} bytes"
    return f"{size_bytes / 1024:,.1f} KB" if size_bytes < 1024**2 else f"{size_bytes / 1024**2:,.1f} MB"
