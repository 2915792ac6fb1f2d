"""Results as tables of HTML, for notebooks: every named result shows its fields, with no code of its own."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Protocol, runtime_checkable

import numpy as np

MOST_ROWS = 20
"""Rows of a list that are shown; the number of the others is said."""
LONGEST_TEXT = 200


@runtime_checkable
class _Interval(Protocol):
    estimate: float
    low: float
    high: float
    level: float


class ShownAsTable:
    """A frozen dataclass that a notebook shows as a table: a row for each field, every text escaped."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return as_html(self)


def as_html(result: Any) -> str:
    """Return a dataclass as a table of HTML under its name. Nothing in its texts is interpreted."""
    rows = "".join(
        f"<tr><th style='text-align:left;vertical-align:top'>{escape(each.name.replace('_', ' '))}</th>"
        f"<td style='text-align:left'>{_cell(getattr(result, each.name))}</td></tr>"
        for each in dataclasses.fields(result)
        if each.repr
    )
    return f"<table><caption style='text-align:left'><b>{escape(type(result).__name__)}</b></caption>{rows}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, _Interval):
        return f"{value.estimate:.4g} ({value.low:.4g} to {value.high:.4g}, {value.level:.0%} interval)"
    if _is_record(value):
        inner = as_html(value)
        return f"<details><summary>{escape(type(value).__name__)}</summary>{inner}</details>"
    if isinstance(value, Mapping):
        entries = [f"{escape(str(key))}: {_cell(item)}" for key, item in list(value.items())[:MOST_ROWS]]
        return "<br>".join([*entries, *_more(len(value))]) or "none"
    if isinstance(value, np.ndarray):
        return escape(f"array of {value.dtype}, shape {tuple(value.shape)}")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _list(value)
    return escape(_plain(value))


def _list(values: Sequence[Any]) -> str:
    shown = list(values[:MOST_ROWS])
    if shown and all(_is_record(each) for each in shown) and len({type(each) for each in shown}) == 1:
        names = [each.name for each in dataclasses.fields(shown[0])]
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(getattr(each, name))}</td>" for name in names) + "</tr>" for each in shown
        )
        return f"<table><tr>{head}</tr>{body}</table>" + "".join(_more(len(values)))
    return "<br>".join([*[_cell(each) for each in shown], *_more(len(values))]) or "none"


def _more(count: int) -> list[str]:
    return [f"and {count - MOST_ROWS:,} more"] if count > MOST_ROWS else []


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
