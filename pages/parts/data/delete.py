"""Deleting a dataset, or all of a workspace's content, once its name was typed."""

from collections.abc import Callable

import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.core.records import DatasetRecord, RemovedContent
from mars_engine.service.deletion import Deletion, delete_dataset, delete_everything
from mars_engine.service.desk import Desk
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import show_error

DELETED = "deleted"
EVERYTHING = "everything"


def draw_delete(desk: Desk) -> None:
    """Draw the choice of what to delete, what would go with it, and the confirmation."""
    _draw_outcome()
    datasets = desk.store.pairs.datasets()
    if not datasets:
        st.text("There is nothing to delete. Import some pairs first.")
        return
    draw_table(
        "Datasets",
        ("no.", "name", "pairs"),
        [(str(number), each.name, f"{each.pair_count:,}") for number, each in enumerate(datasets, start=1)],
        numbers=("no.", "pairs"),
    )
    numbers = {dataset.id: f"Dataset {number}" for number, dataset in enumerate(datasets, start=1)}
    chosen = st.selectbox(
        "What to delete",
        [*numbers, EVERYTHING],
        index=None,
        format_func=lambda each: numbers.get(each, "All content of this workspace"),
        placeholder="A dataset by its number, or all",
        width=320,
        key="delete-what",
    )
    if chosen is None:
        return
    if chosen == EVERYTHING:
        _draw_everything(desk)
    else:
        _draw_dataset(desk, next(each for each in datasets if each.id == chosen))


def _draw_dataset(desk: Desk, dataset: DatasetRecord) -> None:
    outlook = desk.store.removal.outlook(dataset.id)
    st.text(f"This deletes {_in_words(outlook)}.")
    st.text("Models that were trained on these pairs stay as they are; train again for one that never saw them.")
    if outlook.decisions and desk.store.can_be_copied:
        st.text("People's or policies' decisions go with them, so a backup is made first.")
    elif not outlook.decisions:
        st.text("Nothing was decided about them, so no backup is made.")
    _draw_confirmation(
        desk,
        dataset.name,
        "Delete the dataset",
        key=dataset.id,
        needs_copy=bool(outlook.decisions),
        delete=lambda confirmation, copied: delete_dataset(
            desk.workspace,
            desk.store,
            dataset.id,
            confirmation=confirmation,
            clock=desk.clock,
            copied_elsewhere=copied,
        ),
    )


def _draw_everything(desk: Desk) -> None:
    st.text(
        "This deletes all pairs, models, plans, proposals, decisions, compositions and runs, and all uploaded files. "
        "Settings and backups stay, and so do the files in artifacts/exports and artifacts/models."
    )
    if desk.store.can_be_copied:
        st.text("A backup is made first.")
    _draw_confirmation(
        desk,
        desk.root.name,
        "Delete everything",
        key=EVERYTHING,
        needs_copy=True,
        delete=lambda confirmation, copied: delete_everything(
            desk.workspace, desk.store, confirmation=confirmation, clock=desk.clock, copied_elsewhere=copied
        ),
    )


def _draw_confirmation(
    desk: Desk, name: str, label: str, *, key: str, needs_copy: bool, delete: Callable[[str, bool], Deletion]
) -> None:
    with st.form(f"delete-{key}", border=True):
        st.text("To confirm, type this name:")
        st.code(name, language=None, wrap_lines=True)
        confirmation = st.text_input("The name", autocomplete="off", width=420)
        copied = False
        if needs_copy and not desk.store.can_be_copied:
            copied = st.checkbox("I have made a copy of the PostgreSQL database by pg_dump")
        pressed = st.form_submit_button(label, type="primary", icon=":material/delete_forever:")
    if not pressed:
        return
    try:
        with st.spinner("Deleting"):
            deletion = delete(confirmation, copied)
    except MarsError as error:
        show_error(error)
        return
    st.session_state[DELETED] = deletion
    st.session_state.pop("delete-what", None)
    st.rerun()


def _draw_outcome() -> None:
    deletion: Deletion | None = st.session_state.pop(DELETED, None)
    if deletion is None:
        return
    with st.container(border=True):
        st.text(f"✓ Deleted {_in_words(deletion.removed)}.")
        if deletion.backup is not None:
            st.text(f"The backup made before is {deletion.backup.name}, under Backups.")


def _in_words(content: RemovedContent) -> str:
    counts = (
        (content.datasets, "dataset"),
        (content.pairs, "pair"),
        (content.proposals, "proposal"),
        (content.decisions, "decision"),
        (content.composed_pairs, "composed pair"),
        (content.models, "model"),
        (content.evaluations, "evaluation"),
        (content.runs, "run"),
    )
    named = [f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in counts if count]
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]])) if named else "nothing"
