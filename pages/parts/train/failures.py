"""What generators could not do under the present settings, with the reasons, and a button to try it again."""

import streamlit as st

from mars_engine.augment.failures import group_failures
from mars_engine.core.records import Run
from mars_engine.service.desk import Desk
from mars_engine.service.generator_cards import generation_settings
from pages.parts.drawing.tables import draw_table
from pages.parts.train.run_panel import begin

REASONS_SHOWN = 50
RETRY = ("propose", "--retry-failed")


def draw_failures(desk: Desk, running: Run | None) -> None:
    """Draw a small table of what failed under the present settings; nothing where nothing did."""
    stored = desk.store.proposals.failures()
    if not stored:
        return
    settings = generation_settings(desk.workspace)
    failures = [failure for failure in stored if failure.settings_id == settings]
    if not failures:
        return
    retryable = sum(failure.retryable for failure in failures)
    groups = group_failures(failures)
    title = f"What could not be written: {len(failures):,} failures; {retryable:,} of them may pass another time"
    with st.expander(title, icon=":material/error_outline:"):
        st.text(
            "Where a rewrite failed, the text stays as it is; it is never passed off as a rewrite. 'mars failures' "
            "lists each of them."
        )
        draw_table(
            "What could not be written",
            ("failures", "asked for", "generator", "may pass", "reason"),
            [
                (f"{group.count:,}", group.target, group.generator, "yes" if group.retryable else "no", group.reason)
                for group in groups[:REASONS_SHOWN]
            ],
            numbers=("failures",),
        )
        if len(groups) > REASONS_SHOWN:
            st.text(f"The most frequent {REASONS_SHOWN:,} of {len(groups):,} reasons.")
        if retryable:
            label = "Try again what may pass" + (", once its turn has come" if running is not None else "")
            if st.button(label, icon=":material/refresh:", key="retry-failed"):
                begin(lambda: desk.start_job(*RETRY))
