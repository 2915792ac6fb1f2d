"""Data: what is in the workspace, import, export, backups, and deleting."""

import streamlit as st

from mars_engine.core.import_records import import_report_from_plain
from mars_engine.core.records import DatasetRecord
from mars_engine.service.desk import Desk
from pages.parts.data.delete import draw_delete
from pages.parts.data.export import draw_backups, draw_export
from pages.parts.data.findings import draw_findings
from pages.parts.data.import_form import HUB, UPLOAD, draw_import
from pages.parts.data.import_preview import PART_NAMES, draw_report
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import empty_state, page, presenting

SECTIONS = DATASETS, IMPORT, EXPORT, BACKUPS, DELETE = "Datasets", "Import", "Export", "Backups", "Delete"
"""Names of the sections, in the address too."""


def draw_datasets(desk: Desk) -> None:
    """Draw the datasets as a table, and the import report of one on demand."""
    datasets = desk.store.pairs.datasets()
    if not datasets:
        st.text("No pairs have been imported yet. Import a file of preference pairs, or begin with the demo pairs.")
        return
    draw_table(
        "Datasets",
        ("no.", "name", "format", "for", "pairs", "dropped", "imported (UTC)"),
        [_row(number, dataset) for number, dataset in enumerate(datasets, start=1)],
        numbers=("pairs", "dropped"),
    )
    if presenting():
        return
    number = st.selectbox(
        "Import report of dataset no.",
        range(1, len(datasets) + 1),
        index=None,
        placeholder="Choose a number",
        width=240,
        key="report-of",
    )
    if number is not None:
        _draw_report(datasets[number - 1])
    draw_findings(desk)


def _row(number: int, dataset: DatasetRecord) -> tuple[str, ...]:
    dropped = sum(dataset.report.get("dropped", {}).values())
    return (
        str(number),
        dataset.name,
        dataset.format,
        PART_NAMES[dataset.split].lower(),
        f"{dataset.pair_count:,}",
        f"{dropped:,}",
        f"{dataset.imported_at:%Y-%m-%d %H:%M}",
    )


def _draw_report(dataset: DatasetRecord) -> None:
    with st.container(border=True):
        st.text(f"{dataset.name}, from {dataset.location}")
        try:
            report = import_report_from_plain(dataset.report)
        except (KeyError, TypeError):
            st.text("It has no report that this version can show.")
            return
        draw_report(report)


def draw(desk: Desk) -> None:
    if presenting():
        if desk.store.pairs.datasets():
            draw_datasets(desk)
        else:
            empty_state("No pairs have been imported yet.", to_do="Import some on this page.")
        return
    section = _chosen_section(desk)
    if section == DATASETS:
        draw_datasets(desk)
    elif section == IMPORT:
        draw_import(desk)
    elif section == EXPORT:
        draw_export(desk)
    elif section == BACKUPS:
        draw_backups(desk)
    else:
        draw_delete(desk)


def _chosen_section(desk: Desk) -> str:
    is_importing = UPLOAD in st.query_params or HUB in st.query_params or not desk.store.pairs.datasets()
    usual = IMPORT if is_importing else DATASETS
    chosen = st.segmented_control(
        "What to do",
        SECTIONS,
        default=usual,
        required=True,
        label_visibility="collapsed",
        key="section",
        bind="query-params",
        wrap=True,
    )
    return chosen or usual


with page("Data", purpose="What was imported, how to bring in more, and how to take it out again.") as desk:
    draw(desk)
