"""What the tables of pairs on the Results page share: their rows, a link to each pair's page, and choices in the
address."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from mars_engine.explore.excerpts import excerpt, last_question
from mars_engine.service.desk import Desk
from pages.parts.drawing.tables import draw_table, formatted, say
from pages.parts.frame.page import presenting

ROWS_A_PAGE = 25
ROWS_PRESENTED = 5
TEXT_SHOWN = 160
BUTTONS_AT_MOST = 4


def choose(label: str, options: Mapping[str, str], *, name: str, begin: str) -> str:
    """Ask what Results is to show; the address says which, so that a copied link shows the same. Not of an audience.

    Args:
        label: what is asked for.
        options: how each is called, by what stands for it in the address.
        name: of the query parameter.
        begin: chosen where the address says none.
    """
    asked = st.query_params.get(name, begin)
    begin = asked if asked in options else begin
    if presenting():
        return begin
    key = f"results-{name}"
    if key not in st.session_state:
        st.session_state[key] = begin
    choices: dict[str, Any] = {"options": list(options), "format_func": options.__getitem__, "key": key}
    few = len(options) <= BUTTONS_AT_MOST
    chosen = st.segmented_control(label, required=True, **choices) if few else st.selectbox(label, **choices)
    st.query_params[name] = chosen or begin
    return chosen or begin


def rows_shown(total: int, *, key: str) -> range:
    """Return which rows a table of Results shows: a page of them with its pager, or the first ones to an audience."""
    if presenting():
        return range(min(total, ROWS_PRESENTED))
    pages = -(-total // ROWS_A_PAGE)
    page = st.pagination(pages, key=f"{key}-page") if pages > 1 else 1
    return range((page - 1) * ROWS_A_PAGE, min(page * ROWS_A_PAGE, total))


def draw_pairs(
    desk: Desk,
    title: str,
    ids: Sequence[str],
    columns: Mapping[str, Any],
    *,
    formats: Mapping[str, str],
    helps: Mapping[str, str],
    presented: Sequence[str],
    key: str,
) -> None:
    """Draw a row a pair: a link to its page, the columns, its subset and its prompt; to an audience no link.

    Args:
        desk: has the texts.
        title: what the table is, for screen readers.
        ids: of the pairs.
        columns: values by heading.
        formats: of the numbers, such as "+.3f", by heading.
        helps: what a column is, by heading.
        presented: headings of the columns that an audience sees.
        key: of the table.
    """
    pairs = desk.store.pairs.by_id(ids)
    prompts = [excerpt(last_question(pairs[pair_id]), TEXT_SHOWN) for pair_id in ids]
    if presenting():
        texts = [
            [say(value, formats[heading]) for value in columns[heading]] if heading in formats else columns[heading]
            for heading in presented
        ]
        draw_table(title, (*presented, "prompt"), list(zip(*texts, prompts, strict=True)), numbers=formats.keys())
        return
    shown = {"pair": [f"/pair?id={pair_id}" for pair_id in ids], **columns}
    shown |= {"subset": [pairs[pair_id].subset for pair_id in ids], "prompt": prompts}
    st.dataframe(
        formatted(shown, formats),
        hide_index=True,
        column_config={
            "pair": st.column_config.LinkColumn(display_text=r"id=(.{8})", width="small"),
            **{heading: st.column_config.Column(help=text) for heading, text in helps.items()},
            "prompt": st.column_config.TextColumn(width="large"),
        },
        key=key,
    )
