"""What an import read, kept and dropped, and its first pairs, shown as they are."""

import math
from collections.abc import Sequence

import streamlit as st

from mars_engine.core.import_records import ImportReport
from mars_engine.core.records import Pair
from mars_engine.data.import_pairs import ImportPreview
from pages.parts.drawing.difference import show_pair
from pages.parts.drawing.tables import draw_table

PART_NAMES = {"train": "To train on", "heldout": "Held out"}
FIGURE_WIDTH = 150
EXAMPLES_SHOWN = 8


def draw_reports(previews: Sequence[ImportPreview]) -> None:
    """Draw what importing would do, part by part."""
    st.subheader("Preview: nothing is stored yet", anchor=False)
    for preview in previews:
        with st.container(border=True):
            draw_report(preview.report)


def draw_first_pairs(preview: ImportPreview) -> None:
    """Draw the first pairs of a part, as they are."""
    st.subheader("The first pairs, as they would be stored", anchor=False)
    for number, pair in enumerate(preview.first, start=1):
        _draw_pair(number, pair)


def draw_report(report: ImportReport) -> None:
    """Draw an import's figures, what it dropped and why, with rows to look up."""
    st.text(f"{PART_NAMES[report.split]} · read as {report.format}")
    with st.container(horizontal=True):
        st.metric("Rows read", f"{report.rows_read:,}", width=FIGURE_WIDTH)
        st.metric("New pairs", f"{report.kept:,}", width=FIGURE_WIDTH)
        if report.already_present:
            st.metric("Here already", f"{report.already_present:,}", width=FIGURE_WIDTH)
        st.metric("Dropped", f"{sum(report.dropped.values()):,}", width=FIGURE_WIDTH)
        longer = "–" if math.isnan(report.longer_wins) else f"{report.longer_wins:.1%}"
        st.metric(
            "“Longer wins”",
            longer,
            width=FIGURE_WIDTH,
            help="How often the longer response is the chosen one. Far from 50%, length alone predicts the label.",
        )
    if report.prompts_in_other_split:
        st.text(
            f"⚠ {report.prompts_in_other_split:,} of these pairs have a prompt that the other split has too: an "
            "evaluation on them is less independent than it looks."
        )
    for note, count in report.notes.items():
        st.text(f"⚠ In {as_rows(count)}: {note}.")
    if not report.kept + report.already_present:
        st.text("⚠ No prompt fell into this part, so that it gets no pair of this source.")
    if report.dropped:
        _draw_dropped(report)
    if report.unused:
        _draw_unused(report)


def as_rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _draw_unused(report: ImportReport) -> None:
    draw_table(
        "Columns that are not used",
        ("column that is not used", "rows", "for example"),
        [(each.name, f"{each.rows:,}", each.example) for each in report.unused],
        numbers=("rows",),
    )


def _draw_dropped(report: ImportReport) -> None:
    draw_table(
        "What is dropped, and why",
        ("dropped because", "times"),
        [(reason, f"{count:,}") for reason, count in report.dropped.items()],
        numbers=("times",),
    )
    if report.examples:
        shown = "; ".join(f"row {each.row:,}: {each.reason}" for each in report.examples[:EXAMPLES_SHOWN])
        st.text(f"For example {shown}.")


def _draw_pair(number: int, pair: Pair) -> None:
    with st.expander(f"Pair {number}", expanded=number == 1):
        if pair.subset:
            st.text(f"Subset: {pair.subset}")
        show_pair(pair.prompt, pair.chosen, pair.rejected, key=f"preview {number} {pair.id}")
