"""The keys of Check and Review, to look up and to change."""

import streamlit as st

from mars_engine.core.errors import ConfigError
from mars_engine.core.review_records import ItemKind
from mars_engine.service.desk import Desk
from pages.parts.frame.page import show_error
from pages.parts.review.keys import DEFAULT_KEYS, load_keys, save_keys

PAGE_NAMES: dict[ItemKind, str] = {"pair": "Check", "proposal": "Review"}
ACTION_NAMES = {
    "accept": "Accept",
    "accept_chosen": "Only chosen",
    "accept_rejected": "Only rejected",
    "reject": "Reject",
    "edit": "Edit",
    "flag": "Flag",
    "label_right": "Label right",
    "flip": "Flip",
    "drop": "Drop",
    "ambiguous": "Ambiguous",
    "left": "A is better",
    "right": "B is better",
    "skip": "Skip",
    "undo": "Undo",
    "note": "Note",
    "blind": "Blind",
    "differences": "Differences",
    "help": "Keys",
}
"""What the card's buttons say."""
SAVED = "keys saved"


def draw_keys(desk: Desk) -> None:
    """Draw a form for the keys of each page."""
    st.text("One key for each action, for everybody who reads in this workspace. Inside text fields they only write.")
    if page_saved := st.session_state.pop(SAVED, ""):
        st.text(f"✓ The keys of {page_saved} are saved; they hold from the next card on.")
    for kind in PAGE_NAMES:
        _draw_form(desk, kind)


def _draw_form(desk: Desk, kind: ItemKind) -> None:
    keys = load_keys(desk, kind)
    number = st.session_state.setdefault(f"keys shown {kind}", 0)
    with st.form(f"keys-{kind}-{number}", border=True):
        st.subheader(PAGE_NAMES[kind], anchor=False)
        with st.container(horizontal=True):
            given = {
                name: st.text_input(ACTION_NAMES[name], key, max_chars=1, width=120, key=f"key-{kind}-{name}-{number}")
                for name, key in keys.items()
            }
        with st.container(horizontal=True):
            save = st.form_submit_button(f"Save the keys of {PAGE_NAMES[kind]}", type="primary")
            reset = st.form_submit_button("Back to the defaults")
    if not (save or reset):
        return
    try:
        save_keys(desk, kind, DEFAULT_KEYS[kind] if reset else given)
    except ConfigError as error:
        show_error(error)
        return
    # A form under a new name shows what is stored now, not what was typed.
    st.session_state[f"keys shown {kind}"] = number + 1
    st.session_state[SAVED] = PAGE_NAMES[kind]
    st.rerun()
