"""The Data page's ways out: training files, the label history, backups."""

from collections.abc import Callable

import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.data.export import ExportWhat
from mars_engine.jobs.own_process import ask_mars
from mars_engine.service.desk import Desk
from mars_engine.service.exports import ENDINGS, SHAPES, WHATS, export_for_training, export_history, list_exports
from mars_engine.workspace.backup import list_backups
from pages.parts.data.files import FileRow, draw_files
from pages.parts.frame.page import show_error

WHAT_NAMES: dict[ExportWhat, str] = {
    "training-set": "Training set: base and composed pairs",
    "composed": "Composed pairs alone",
    "base": "Base pairs alone",
    "heldout": "Held-out pairs",
}
SHAPE_NAMES = {
    "standard": "Standard: texts, prompt apart",
    "standard-implicit": "Standard, prompt inside the answers",
    "conversational": "Conversational: turns, prompt apart",
    "conversational-implicit": "Conversational, prompt inside the answers",
}


def draw_export(desk: Desk) -> None:
    """Draw what can be exported and how, and the files made so far."""
    st.subheader("Training file", anchor=False)
    if not desk.store.pairs.datasets():
        st.text("There is nothing to export yet. Import some pairs first.")
        return
    st.text(
        "In TRL's preference shapes, with a manifest that says where each pair comes from. A pair that was dropped is "
        "left out, a flipped one has its sides exchanged; columns of ours begin with mars_."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        what = st.selectbox("What", WHATS, format_func=lambda each: WHAT_NAMES[each], width=320, key="export-what")
        shape = st.selectbox(
            "Shape",
            SHAPES,
            index=SHAPES.index("conversational"),
            format_func=lambda each: SHAPE_NAMES[each],
            width=320,
            key="export-shape",
        )
        ending = st.selectbox("File", ENDINGS, width=140, key="export-ending")
        pressed = st.button("Make the file", type="primary", icon=":material/output:", key="export")
    if pressed:
        made = _made(
            "Writing the file",
            lambda: export_for_training(desk.workspace, what, shape=shape, ending=ending, clock=desk.clock),
        )
        if made:
            st.rerun()
    st.subheader("Label history", anchor=False)
    st.text("Every decision ever made: who, when, on what, with which texts, and whether it still stands.")
    with st.container(horizontal=True):
        csv = st.button("Make a CSV", icon=":material/table:", key="history-csv")
        json_lines = st.button("Make JSON lines", icon=":material/data_object:", key="history-jsonl")
    if csv or json_lines:
        made = _made(
            "Writing the history",
            lambda: export_history(desk.workspace, ending=".csv" if csv else ".jsonl", clock=desk.clock),
        )
        if made:
            st.rerun()
    _draw_made(desk)


def _draw_made(desk: Desk) -> None:
    files = list_exports(desk.workspace)
    if files:
        st.subheader("Files made so far", anchor=False)
        rows = [FileRow(each.path, each.size_bytes, each.made_at, each.manifest) for each in files]
        draw_files(rows, key="export-file")


def draw_backups(desk: Desk) -> None:
    """Draw the button that makes a backup, and the backups there are."""
    st.text(
        "One archive with the settings, the database as it is at one moment, and the models. Others may go on working. "
        "Unpacked anywhere, it is a workspace again. What can be made again, such as embeddings, is not in it."
    )
    if not desk.store.can_be_copied:
        st.text(f"The database is {desk.store.database.place}: make its copy by pg_dump, and keep mars.toml with it.")
        return
    if st.button("Make a backup", type="primary", icon=":material/archive:", key="backup") and _made(
        "Making the backup", lambda: ask_mars(desk.root, ["backup"])
    ):
        st.rerun()
    backups = list_backups(desk.workspace)
    if not backups:
        st.text("There is no backup yet.")
    draw_files([FileRow(each.path, each.size_bytes, each.made_at) for each in backups], key="backup-file")


def _made(doing: str, make: Callable[[], object]) -> bool:
    """Make a file to take away, which may take a while; what is wrong is shown. Return whether it was made."""
    try:
        with st.spinner(doing):
            make()
    except MarsError as error:
        show_error(error)
        return False
    return True
