"""How far people agree: raw agreement, Cohen's kappa of each two, Krippendorff's alpha, with intervals."""

import streamlit as st

from mars_engine.curate.agreement import AgreementReport, coefficient_in_words
from mars_engine.stats.agreement_coefficients import Coefficient
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import presenting

FIGURE_WIDTH, FIGURE_WIDTH_PRESENTED = 170, 330
"""Pixels; present mode writes larger."""


def draw_agreement(report: AgreementReport) -> None:
    """Draw the agreement of all, and of each two who decided the same items."""
    items = "pairs" if report.kind == "pair" else "proposals"
    st.subheader("Agreement", anchor=False)
    with st.container(horizontal=True):
        st.metric(f"Decided by two or more, {items}", f"{report.overlap:,}", width=_figure_width())
        _draw_coefficient("Raw agreement", report.raw, "Share of answers to the same item that are equal.")
        _draw_coefficient(
            "Krippendorff’s α",
            report.alpha,
            "Agreement beyond chance among all: 1 is perfect, 0 is what chance would give. Below 0.667 labels are "
            "usually taken as too unsure to build on.",
        )
        st.metric("Settled by an adjudicator", f"{report.adjudicated:,}", width=_figure_width())
    if report.settled_by_party:
        some = report.settled_by_party
        st.text(
            f"{some:,} of those settled by an adjudicator {'was' if some == 1 else 'were'} settled by one of the "
            "people who had disagreed."
        )
    for name, coefficient in (("Raw agreement", report.raw), ("Krippendorff’s α", report.alpha)):
        if coefficient.interval is None:
            st.text(f"{name} is undefined: {coefficient.reason}.")
    if not report.overlap and not presenting():
        st.text("Let people read some of the same items: Settings, People, Overlap percent.")
    if report.pairs:
        _draw_each_two(report, items)
    if report.overlap:
        level = next((each.interval.level for each in (report.raw, report.alpha) if each.interval), 0.95)
        st.text(
            f"In brackets the {level:.0%} bootstrap interval over items. Two edits count as one answer here, though "
            "their texts may differ, and the proposal is then disputed."
        )


def _figure_width() -> int:
    return FIGURE_WIDTH_PRESENTED if presenting() else FIGURE_WIDTH


def _draw_each_two(report: AgreementReport, items: str) -> None:
    draw_table(
        "Agreement of each two people",
        ("first", "second", items, "raw agreement", "Cohen’s κ"),
        [
            (
                each.first,
                each.second,
                f"{each.items:,}",
                coefficient_in_words(each.raw),
                coefficient_in_words(each.kappa),
            )
            for each in report.pairs
        ],
        numbers=(items, "raw agreement", "Cohen’s κ"),
    )
    for each in report.pairs:
        if each.kappa.reason:
            st.text(f"Cohen’s κ of {each.first} and {each.second} is undefined: {each.kappa.reason}.")


def _draw_coefficient(label: str, coefficient: Coefficient, explains: str) -> None:
    interval = coefficient.interval
    with st.container(width=_figure_width(), gap=None):
        value = "–" if interval is None else f"{interval.estimate:.2f}".replace("-", "−")
        st.metric(label, value, help=None if presenting() else explains)
        if interval is not None:
            st.text(f"{interval.low:.2f} to {interval.high:.2f}".replace("-", "−"))
