"""Downloads of the Results page: the table as CSV, and the report."""

import streamlit as st

from mars_engine.evaluate.report_page import report_html
from mars_engine.evaluate.results import Results, results_as_csv
from mars_engine.service.desk import Desk


def draw_downloads(desk: Desk, results: Results) -> None:
    """Offer the table and the report; the report is made when it is asked for."""
    workspace = desk.workspace
    ids = [model.record.id for model in results.models]
    with st.container(horizontal=True):
        st.download_button(
            "Report (one HTML file)",
            data=lambda: report_html(
                desk.store,
                desk.index(),
                ids,
                root=workspace.root,
                config=workspace.config,
                clock=desk.clock,
                maps=desk.maps,
            ),
            file_name="mars-report.html",
            mime="text/html",
            on_click="ignore",
            type="primary",
            icon=":material/description:",
        )
        st.download_button(
            "Table (CSV)",
            data=results_as_csv(results),
            file_name="mars-results.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/table:",
        )
