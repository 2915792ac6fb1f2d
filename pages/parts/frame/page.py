"""The frame of every page: sign-in, the page list, the desk, who is reading, present mode, errors in plain words."""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.pages_manager import PagesManager

from mars_engine.core.errors import MarsError
from mars_engine.service.desk import Desk, open_desk
from mars_engine.workspace.workspace import WORKSPACE_VARIABLE
from pages.parts.frame.sign_in import is_signed_in
from pages.parts.frame.tour import draw_tour

ANNOTATOR = "annotator"
"""Name in the session state of who reads and decides."""

PRESENT = "present"
PRESENTED = {PRESENT: "1"}
STORY = "present"
"""Address of the page that present mode begins with; "" is the Overview's."""
NOT_PRESENTED = ("Data", "Settings")
"""Titles of the pages that present mode does not lead to: they are about this machine, not about the result."""
FAVICON = Path(__file__).with_name("favicon.svg")
WORDMARK = Path(__file__).with_name("wordmark.svg")

SHARED_STYLE = """
<style>
  [data-testid="stLayoutWrapper"]:has(> .st-key-early, > .st-key-keyboard) { display: none; }
  [data-testid="stMetricValue"], table td, table th { font-variant-numeric: tabular-nums; }
  [data-testid="stHeading"] h1 { font-size: 2rem; padding: 0 0 .25rem; }
  [data-testid="stHeading"] h3 { font-size: 1.4rem; padding: .5rem 0; }
  [data-testid="stMain"] [data-testid="stPageLink-NavLink"] { padding-left: 0; }
  [data-testid="stMetricLabel"] * { white-space: normal !important; overflow: visible; }
</style>
"""
DARK_STYLE = """
<style>
  [data-testid^="stBaseButton-primary"]:enabled, [data-testid^="stBaseButton-primary"]:enabled p,
  [data-testid="stMultiSelect"] span[title],
  [data-testid="stMultiSelect"] span[title] ~ * svg { color: #12171e; }
</style>
"""
"""Streamlit writes in white on the theme's first colour, which is light in the dark theme; a disabled button has no
ground of that colour."""
PRESENT_STYLE = """
<style>
  html { font-size: 20px; }
  [data-testid="stHeader"], [data-testid="stToolbar"], [data-testid="stSidebar"] { display: none; }
  [data-testid="stMetricValue"] { font-size: 2.6rem; }
  .stMainBlockContainer { padding: 1rem clamp(1rem, 4vw, 4rem) 3rem; }
  [data-testid="stElementToolbar"], [data-testid="stTooltipIcon"], .stTooltipIcon { display: none; }
  [data-testid="stMetric"] * { white-space: normal; overflow: visible; text-overflow: clip; }
  .st-key-present-pages .mars-way { color: inherit; text-decoration: none; white-space: nowrap; }
  .st-key-present-pages { justify-content: flex-end; gap: 0 1.25rem; }
  .st-key-present-pages a, .st-key-present-pages a * { font-size: .8rem; font-weight: 400; }
  .st-key-present-pages a { padding: 0 .25rem; min-height: 1.5rem; background: none; }
  @media (max-width: 640px) {
    html { font-size: 16px; }
    .st-key-present-pages { justify-content: flex-start; gap: 0 .75rem; }
    .st-key-present-pages a { padding-left: 0; }
    .st-key-present-pages [data-testid="stIconMaterial"] { display: none; }
  }
</style>
"""
WORKING_STYLE = """
<style>
  .mars-way { color: inherit !important; text-decoration: none; padding: .25rem .5rem; font-size: .88rem; }
  .mars-way:hover { text-decoration: underline; }
  a[data-testid="stSidebarNavLink"]:focus-visible, a[data-testid="stPageLink-NavLink"]:focus-visible,
  button[data-testid="stBaseButton-elementToolbar"]:focus-visible {
    outline: 2px solid #3b82c4; outline-offset: -2px; }
  .stMainBlockContainer { padding: 3.75rem clamp(1rem, 4vw, 4rem) 3rem; }
</style>
"""
KEYBOARD_SCRIPT = """
<script>
  {
    const page = %s;
    if (window.marsPage && window.marsPage !== page) document.getElementById("stMain")?.focus({ preventScroll: true });
    window.marsPage = page;
  }
</script>
"""
"""After a change of page Tab goes on from the beginning of the new one: Streamlit leaves it at the link in the page
list, or nowhere where a button of the page before led here. It runs once a page, as its text differs there."""


WITH_FIGURES = {"", "explore", "train", "align", "results", "present", "pair"}
"""Addresses of the pages that begin with a figure, or soon have one; "" is Overview."""
MILLISECONDS_TO_DRAW_A_PAGE = 3_000


@cache
def _charts_script(*, at_once: bool) -> str:
    """A script that loads what draws figures, "" where this Streamlit keeps it elsewhere.

    It is 4.7 MB, which a browser reads for a second; Streamlit asks for it when the first figure is there. Asked for
    with a page that has figures, it is read while the server reads the pairs. A page without waits with it until it is
    drawn itself, and has it ready for the next.
    """
    drawing = next((Path(st.__file__).parent / "static" / "static" / "js").glob("PlotlyChart.*.js"), None)
    if drawing is None:
        return ""
    beside = "document.querySelector('script[type=module][src]').src"
    load = f"import(new URL('{drawing.name}', {beside}).href).catch(() => {{}})"
    return f"<script>{load if at_once else f'setTimeout(() => {load}, {MILLISECONDS_TO_DRAW_A_PAGE})'};</script>"


def open_frame(pages: Sequence[StreamlitPage]) -> None:
    """Show the page that the address names, inside the frame."""
    is_presenting = presenting()
    st.set_page_config(
        page_title="MARS",
        page_icon=FAVICON,
        layout="wide",
        initial_sidebar_state="collapsed" if is_presenting else "auto",
    )
    page_shown = st.navigation(list(pages), position="hidden" if is_presenting else "sidebar")
    st.html(SHARED_STYLE + (PRESENT_STYLE if is_presenting else WORKING_STYLE))
    with st.container(key="early"):
        st.html(_charts_script(at_once=page_shown.url_path in WITH_FIGURES), unsafe_allow_javascript=True)
    if st.context.theme.type == "dark":
        st.html(DARK_STYLE)
    if is_presenting:
        _draw_present_pages(pages, is_story=page_shown.url_path == STORY)
    else:
        st.logo(WORDMARK, size="large")
        with st.sidebar:
            _draw_way("▷ Present", PRESENTED, page=STORY)
    page_shown.run()


def _draw_present_pages(pages: Sequence[StreamlitPage], *, is_story: bool) -> None:
    """A quiet line that leads from page to page in present mode, and out of it."""
    with st.container(horizontal=True, vertical_alignment="center", key="present-pages"):
        for each in pages:
            if each.title == "Present":
                st.page_link(each, label="Story", query_params=PRESENTED)
        for each in pages:
            if each.visibility == "visible" and each.title not in NOT_PRESENTED:
                st.page_link(each, label=each.title, query_params=PRESENTED)
        _draw_way("✕ End", {}, page="." if is_story else "")


def _draw_way(label: str, more: Mapping[str, str], *, page: str = "") -> None:
    """Draw a link into present mode or out of it, to a page or, without one, to the page that is shown.

    A plain one, which loads the page anew: Streamlit's own links do nothing where they lead to the page at hand.
    """
    st.html(f'<a class="mars-way" href="{page}?{escape(urlencode(_address(more)))}">{label}</a>', width="content")


def _address(more: Mapping[str, str]) -> dict[str, str]:
    """What the address asks for now, present mode aside, and more."""
    return {name: value for name, value in st.query_params.items() if name not in (PRESENT, "step")} | dict(more)


_opening = threading.Lock()


@cache
def _open(root: str) -> Desk:
    return open_desk(Path(root))


def desk() -> Desk:
    """The workspace that this server serves.

    Raises:
        MarsError: it cannot be opened.
    """
    with _opening:
        return _open(str(Path(os.environ.get(WORKSPACE_VARIABLE, ".")).resolve()))


def presenting() -> bool:
    """Whether the app is shown to an audience: larger, read-only, without controls (`?present=1`)."""
    return st.query_params.get(PRESENT) == "1"


def annotator() -> str:
    """The name decisions are stored under: the signed-in user's, else the one given on the page; "" if none."""
    signed_in = getattr(st.user, "email", None) or getattr(st.user, "name", None)
    return str(signed_in or st.session_state.get(ANNOTATOR) or "")


@contextmanager
def page(title: str, *, purpose: str) -> Iterator[Desk]:
    """Open a page: its title, what it is for, and its desk. An error of the engine is shown in plain words.

    Every page begins so, and asks for the token itself: whatever way it was reached, nothing shows before the sign-in.

    with page("Explore", purpose="Where the reward model is unsure.") as desk:
        ...
    """
    _insist_on_frame()
    if not is_signed_in():
        st.stop()
    with st.container(key="keyboard"):
        st.html(KEYBOARD_SCRIPT % json.dumps(title), unsafe_allow_javascript=True)
    st.title(title, anchor=False)
    if purpose and not presenting():
        with st.container(key="purpose"):
            st.text(purpose)
    if not presenting():
        draw_tour()
    try:
        opened = desk()
    except MarsError as error:
        show_error(error)
        st.stop()
    try:
        yield opened
    except MarsError as error:
        show_error(error)


def _insist_on_frame() -> None:
    """Run app.py where Streamlit has run a page's file by itself, without the frame and its sign-in.

    It does so for a server's first requests, when it has seen a folder `pages` and no call of `st.navigation` yet.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()


def show_error(error: MarsError) -> None:
    """Show what was found, what was expected and, but to an audience, what to do, as plain text."""
    with st.container(border=True):
        st.text(_sentence(f"⚠ {error.found}"))
        if error.expected:
            st.text(_sentence(f"Expected: {error.expected}"))
        if error.remedy and not presenting():
            st.text(_sentence(f"What to do: {error.remedy}"))


def _sentence(text: str) -> str:
    """End a text with a full stop, unless it ends a sentence already."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def empty_state(says: str, *, to_do: str, page_path: str = "", link: str = "") -> None:
    """Say that there is nothing to show yet, and what to do about it, with a link to where that is done."""
    with st.container(border=True):
        st.text(says)
        if not presenting():
            st.text(to_do)
        if page_path and not presenting():
            st.page_link(page_path, label=link or "Go there", icon=":material/arrow_forward:")
