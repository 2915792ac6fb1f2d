"""Small tables as real HTML: numbers right-aligned, read by screen readers, at the page's type size."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from html import escape
from math import isnan
from typing import Any

import streamlit as st
from pandas import DataFrame

from mars_engine.explore.colours import GROUND
from pages.parts.drawing.numbers import true_minus

TABLE_STYLE = f"""
<style>
  .mars-table {{ overflow-x: auto; }}
  .mars-table table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
  .mars-table th, .mars-table td {{ padding: .45rem 1.25rem .45rem 0; border-bottom: 1px solid rgba(128, 128, 128, .3);
    text-align: left; vertical-align: top; }}
  .mars-table th:last-child, .mars-table td:last-child {{ padding-right: 0; }}
  .mars-table th {{ font-weight: 600; font-size: .88em; }}
  .mars-table .number {{ text-align: right; }}
  .mars-table .number, .mars-table .short {{ white-space: nowrap; }}
  @media (max-width: 640px) {{
    .mars-table {{ font-size: .9em; }}
    .mars-table th, .mars-table td {{ padding-right: .75rem; }}
    .mars-table th {{ white-space: normal; vertical-align: bottom; }}
    .mars-table.wide th:first-child, .mars-table.wide td:first-child {{ position: sticky; left: 0;
      background: light-dark({GROUND["light"]}, {GROUND["dark"]});
      box-shadow: .4rem 0 .4rem -.4rem rgba(128, 128, 128, .6); }}
  }}
</style>
"""
"""On a small screen headings are broken over lines, and a wide table's first column stays where the others scroll."""

WIDE = 4
"""Columns from which a table may be wider than a small screen."""

SHORT = 24
"""Characters of a cell that is not broken over lines."""


def draw_table(
    label: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[str] = ()
) -> None:
    """Draw a table of texts, shown as they are; it scrolls sideways where the screen is narrow.

    Args:
        label: what the table is, for screen readers.
        columns: headings.
        rows: cells, as many as there are headings.
        numbers: headings of the columns that are right-aligned.
    """
    kinds = ["number" if column in numbers else "" for column in columns]
    head = "".join(
        f'<th scope="col" class="{kind}">{escape(column)}</th>' for column, kind in zip(columns, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)) + "</tr>" for row in rows
    )
    table = f'<table aria-label="{escape(label)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    kind = "mars-table wide" if len(columns) >= WIDE else "mars-table"
    region = f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(label)}">{table}</div>'
    st.html(f"{TABLE_STYLE}{region}")


def formatted(columns: Mapping[str, Any], formats: Mapping[str, str]) -> Any:
    """Return columns for `st.dataframe`, as a Styler of pandas: numbers have a true minus sign, and sort as numbers.

    A column that has a format here is to have none in its `column_config`, which would be preferred.

    Args:
        columns: values by heading.
        formats: such as "+.3f" by heading, of the columns of numbers.
    """
    writers = {heading: partial(say, form=form) for heading, form in formats.items() if heading in columns}
    return DataFrame(dict(columns)).style.format(writers)


def say(value: float, form: str) -> str:
    """A number of a table as text, with a true minus sign; a dash where it is not known."""
    return "–" if value is None or isnan(value) else true_minus(format(value, form))


def _cell(text: str, kind: str) -> str:
    kind = kind or ("short" if len(text) <= SHORT else "")
    return f'<td class="{kind}">{escape(text)}</td>'
