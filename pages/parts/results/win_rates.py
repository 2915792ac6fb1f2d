"""The Results page's win rates: policies against each other, by judge."""

import streamlit as st

from mars_engine.evaluate.win_rates import KeptWinRate, WinRateMatrix, kept_win_rates, win_rate_matrices
from mars_engine.service.desk import Desk
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import empty_state, presenting


def draw_win_rates(desk: Desk) -> None:
    """Show how often each policy beats each other; where nobody compared any yet, where that is done."""
    matrices = win_rate_matrices(kept_win_rates(desk.store, config=desk.config.evaluate))
    if not matrices and presenting():
        return
    st.subheader("Policies: win rates", anchor=False)
    if not matrices:
        empty_state(
            "No two policies have been compared yet.",
            to_do="Compare two blind on the page Align, or run mars alpaca-eval with a judge.",
            page_path="pages/align.py",
            link="To Align",
        )
        return
    for matrix in matrices:
        _draw_matrix(matrix)


def _draw_matrix(matrix: WinRateMatrix) -> None:
    st.text(f"How often the policy of a row beats that of a column, in percent. Judge: {matrix.judge}.")
    rows = [(name, *(_cell(matrix.cells.get((name, other))) for other in matrix.policies)) for name in matrix.policies]
    draw_table(f"Win rates by {matrix.judge}", ("policy", *matrix.policies), rows, numbers=matrix.policies)
    missing = f" {matrix.missing:,} prompts have no judgement, and no figure counts them." if matrix.missing else ""
    st.text(f"Prompts: {'; '.join(matrix.prompts)}.{missing}")


def _cell(found: KeptWinRate | None) -> str:
    if found is None:
        return "–"
    return f"{found.win_rate:.1f} [{found.low:.1f}, {found.high:.1f}], n {found.judged:,}"
