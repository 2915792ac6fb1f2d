"""Which column of a source is what, chosen from its own columns; the preview below follows each choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.core.import_records import SourceColumns
from mars_engine.service.desk import Desk
from mars_engine.service.import_reading import ImportRequest, read_columns

COLUMNS = {"prompt": "Prompt", "chosen": "Chosen", "rejected": "Rejected", "system": "System turn"}
SCORES = {"chosen": "Score of chosen", "rejected": "Score of rejected"}
ROLES = {"": "As it is", "user": "The user", "assistant": "The assistant", "system": "The system"}
AS_RECOGNISED = "As recognised"
FIELD_WIDTH = 240
MAPPED = "import mapping"
"""Key of the source whose mapping the selectors hold: another source begins anew."""


@dataclass(frozen=True)
class Found:
    """The columns of a source; None where it cannot be read, which the preview says."""

    columns: SourceColumns | None


def draw_mapping(desk: Desk, request: ImportRequest, key: str) -> ImportRequest:
    """Draw selectors of the columns, and return the request with what was chosen."""
    found = _columns(str(desk.root), request.location, key).columns
    if found is None:
        return request
    if st.session_state.get(MAPPED) != key:
        _forget(found)
        st.session_state[MAPPED] = key
    chosen = _chosen_in_state("columns", COLUMNS)
    with st.expander("Which column is what", icon=":material/view_column:", expanded=bool(found.suggested or chosen)):
        st.text("Choose only what is not recognised. The pairs below show what comes of it.")
        if found.suggested and not chosen:
            st.text("It may be: " + ", ".join(f"{target} in {path}" for target, path in found.suggested.items()) + ".")
            st.button(
                "Use these columns",
                icon=":material/auto_fix_high:",
                key="import-suggested",
                on_click=_take,
                args=(found.suggested,),
            )
        columns = _draw_selectors("columns", COLUMNS, found)
        scores = _draw_selectors("scores", SCORES, found)
        roles = _draw_roles(found.roles)
    return replace(request, columns=columns, scores=scores, roles=roles)


def _draw_selectors(kind: str, labels: dict[str, str], found: SourceColumns) -> str:
    """Draw a selector for each of the labels, and return the mapping as the command takes it."""
    examples = {each.name: each.example for each in found.columns}
    with st.container(horizontal=True, vertical_alignment="top"):
        chosen = {
            target: st.selectbox(
                label,
                [AS_RECOGNISED, *examples],
                format_func=lambda name: name if name == AS_RECOGNISED else f"{name}: {examples[name]}",
                key=f"import-{kind}-{target}",
                width=FIELD_WIDTH,
            )
            for target, label in labels.items()
        }
    return ",".join(f"{target}={name}" for target, name in chosen.items() if name != AS_RECOGNISED)


def _draw_roles(names: Sequence[str]) -> str:
    if not names:
        return ""
    with st.container(horizontal=True):
        chosen = {
            name: st.selectbox(
                f"Who role {number} is",  # the name itself is of the file: it stands where nothing is interpreted
                list(ROLES),
                format_func=_named(name),
                key=f"import-roles-{name}",
                width=FIELD_WIDTH,
            )
            for number, name in enumerate(names, start=1)
            if not any(mark in name for mark in ",=")
        }
    return ",".join(f"{name}={role}" for name, role in chosen.items() if role)


def _named(name: str) -> Callable[[str], str]:
    return lambda role: f"{name}: {ROLES[role].lower()}"


def _chosen_in_state(kind: str, labels: dict[str, str]) -> dict[str, str]:
    held = {target: st.session_state.get(f"import-{kind}-{target}", AS_RECOGNISED) for target in labels}
    return {target: name for target, name in held.items() if name != AS_RECOGNISED}


def _forget(found: SourceColumns) -> None:
    for kind, labels in (("columns", COLUMNS), ("scores", SCORES)):
        for target in labels:
            st.session_state.pop(f"import-{kind}-{target}", None)
    for name in found.roles:
        st.session_state.pop(f"import-roles-{name}", None)


def _take(suggested: dict[str, str]) -> None:
    for target, path in suggested.items():
        st.session_state[f"import-columns-{target}"] = path


@st.cache_data(max_entries=16, show_spinner="Reading its columns")
def _columns(root: str, location: str, key: str) -> Found:  # noqa: ARG001 (cache's key)
    try:
        return Found(read_columns(Path(root), location))
    except MarsError:
        return Found(None)
