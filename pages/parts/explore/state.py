"""The view of Explore lives in the address: every control writes there, and every run reads it from there."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from mars_engine.core.columns import IdArray
from mars_engine.explore.view import (
    LINK_KEYS,
    ReadView,
    View,
    drawn_box,
    drawn_interval,
    drawn_lasso,
    link_parameters,
    read_view,
)

_clicks = st.components.v2.component(
    "mars_explore_clicks", js=Path(__file__).with_name("clicks.js").read_text(encoding="utf-8")
)

PAIR = "id"
"""Name in the query parameters of the pair that the page Pair shows."""


def current_view() -> ReadView:
    """Return the view that the address describes."""
    return read_view({key: st.query_params.get_all(key) for key in LINK_KEYS})


def change(**changes: Any) -> None:
    """Change fields of the view, and go to its first page unless the page is what changes."""
    show(replace(current_view().view, **({"page": 1} | changes)))


def changing(**changes: Any) -> Callable[[], None]:
    """Return a callback that changes fields of the view."""
    return partial(change, **changes)


def show(view: View) -> None:
    """Put a view into the address; what else stands there stays, the pair that is open beside the map too."""
    others = {key: st.query_params.get_all(key) for key in st.query_params if key not in LINK_KEYS}
    st.query_params.from_dict({**others, **link_parameters(view)})


def carried_view() -> dict[str, list[str]]:
    """Return the view's part of the address, for a page that leads back to the view.

    A change of page leaves an entry in the browser's history that has the new page's parameters on the old page's
    path: only where the view is among them does going back find it.
    """
    return {key: st.query_params.get_all(key) for key in LINK_KEYS if key in st.query_params}


def brushed(field: str, chart_key: str) -> None:
    """Take over what was just drawn on a chart as a brush of the view.

    A chart that has lost its selection says so by an event without one. That is no wish to clear the brush: figures
    are drawn anew with every change. A brush is cleared by its own button.
    """
    event = st.session_state.get(chart_key)
    drawn = event["selection"] if event else {}
    if lassos := drawn.get("lasso"):
        region = drawn_lasso(lassos[-1]["x"], lassos[-1]["y"])
        if region is not None:
            change(**{field: region})
    elif boxes := drawn.get("box"):
        x, y = boxes[-1]["x"], boxes[-1]["y"]
        change(**{field: drawn_interval(x) if field == "margin_brush" else drawn_box(x, y)})


def hear_clicks(ids: IdArray) -> None:
    """Let a click on a point open its pair beside the map; the points carry their pair's place in `ids`."""

    def open_beside() -> None:
        place = st.session_state["explore clicks"].place
        if place is not None and 0 <= place < len(ids):
            st.query_params[PAIR] = ids[place].decode()

    _clicks(key="explore clicks", on_place_change=open_beside)


def close_beside() -> None:
    st.query_params.pop(PAIR, None)
