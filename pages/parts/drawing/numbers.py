"""Numbers as the pages write them: with a true minus sign, and changes in the colour of better or worse."""

import re
from typing import Any

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
