"""Files to download: their names, sizes and buttons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import streamlit as st

from pages.parts.drawing.numbers import as_size

LARGEST_DOWNLOAD_BYTES = 200 * 2**20
"""A download is held in the server's memory while it goes out; larger files are fetched from their folder."""

SHOWN = 8


@dataclass(frozen=True)
class FileRow:
    """A file as the list shows it; `beside` is a second one that belongs to it."""

    path: Path
    size_bytes: int
    made_at: datetime
    beside: Path | None = None


def draw_files(rows: Sequence[FileRow], *, key: str) -> None:
    """Draw files, the newest first, each with its download buttons; all but the newest few are folded away."""
    for row in rows[:SHOWN]:
        _draw_row(row, key)
    if len(rows) > SHOWN:
        with st.expander(f"{len(rows) - SHOWN:,} older files"):
            for row in rows[SHOWN:]:
                _draw_row(row, key)


def _draw_row(row: FileRow, key: str) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(f"{row.path.name}\n{as_size(row.size_bytes)} · {row.made_at:%Y-%m-%d %H:%M:%S} UTC", width="stretch")
        if row.size_bytes > LARGEST_DOWNLOAD_BYTES:
            st.text(f"Too large for a browser: fetch it from {row.path.parent}")
            return
        _draw_button("Download", row.path, f"{key}-{row.path.name}")
        if row.beside is not None:
            _draw_button("Manifest", row.beside, f"{key}-{row.beside.name}")


def _draw_button(label: str, path: Path, key: str) -> None:
    st.download_button(
        label, data=path.read_bytes, file_name=path.name, on_click="ignore", icon=":material/download:", key=key
    )
