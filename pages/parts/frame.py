"""The frame of every page: its desk, who is reading, present mode, and errors in plain words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from mars_engine.assembly.desk import Desk, open_desk
from mars_engine.assembly.workspace import WORKSPACE_VARIABLE
from mars_engine.words.errors import MarsError

ANNOTATOR = "annotator"
"""Name in the session state (and in the query parameters) of who reads and decides."""


@st.cache_resource(show_spinner="Opening the workspace")
def _open(root: str) -> Desk:
    return open_desk(Path(root))


def desk() -> Desk:
    """The workspace that this server serves.

    Raises:
        MarsError: it cannot be opened.
    """
    return _open(str(Path(os.environ.get(WORKSPACE_VARIABLE, ".")).resolve()))


def presenting() -> bool:
    """Whether the app is shown to an audience: larger, read-only, without controls (`?present=1`)."""
    return st.query_params.get("present") == "1"


def annotator() -> str:
    """The name decisions are stored under: the signed-in user's, else the one given on the page; "" if none."""
    signed_in = getattr(st.user, "email", None) or getattr(st.user, "name", None)
    return str(signed_in or st.session_state.get(ANNOTATOR) or "")


@contextmanager
def page(title: str, *, purpose: str) -> Iterator[Desk | None]:
    """Open a page: its title, what it is for, and its desk. An error of the engine is shown in plain words.

    with page("Explore", purpose="Where the reward model is unsure.") as desk:
        ...
    """
    st.title(title)
    if purpose and not presenting():
        st.text(purpose)
    try:
        yield desk()
    except MarsError as error:
        show_error(error)


def show_error(error: MarsError) -> None:
    """Show what was found, what was expected and what to do, as plain text."""
    with st.container(border=True):
        st.text(f"⚠ {error.found}.")
        if error.expected:
            st.text(f"Expected: {error.expected}.")
        if error.remedy:
            st.text(f"What to do: {error.remedy}.")


def empty_state(says: str, *, to_do: str, page_path: str = "", link: str = "") -> None:
    """Say that there is nothing to show yet, and what to do about it, with a link to where that is done."""
    with st.container(border=True):
        st.text(says)
        st.text(to_do)
        if page_path and not presenting():
            st.page_link(page_path, label=link or "Go there", icon=":material/arrow_forward:")
