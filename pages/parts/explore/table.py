"""The table of Explore: a hundred selected pairs a page, in the view's order; a click on a row opens the pair."""

from typing import Any

import streamlit as st

from mars_engine.explore.explorer import Scene
from mars_engine.explore.table import TablePage, table_page
from mars_engine.explore.view import SORTS
from mars_engine.service.desk import Desk
from pages.parts.drawing.tables import formatted
from pages.parts.explore.filters import NAMES
from pages.parts.explore.state import PAIR, carried_view, change, changing
from pages.parts.frame.page import presenting

SORT_NAMES = {
    "margin": "score margin",
    "distance": "semantic distance",
    "out_of_fold": "out-of-fold margin",
    "budget": "budget",
    "proposals": "number of proposals",
    "imported": "order of import",
    "nearest": "nearness in meaning",
}
ORDER_STYLE = """
<style>
  @media (max-width: 640px) { .st-key-table-order { padding-bottom: 2.5rem; } }
</style>
"""
"""The table's own tools float above its right corner, where on a small screen the controls of the order stand."""
FORMATS = {"similarity": ".3f", "margin": ".3f", "out-of-fold": ".3f", "distance": ".3f"}
SEARCHED = {"prompt": "prompt", "chosen": "chosen answer", "rejected": "rejected answer"}
"""Which text of a pair a meaning is compared with."""
PAIR_PAGE = "pages/pair.py"


def draw_table(desk: Desk, scene: Scene) -> None:
    """Draw the view's page of the table, with the controls of its order and page."""
    shown = table_page(desk.store, scene)
    st.subheader("Selected pairs", anchor=False)
    if not shown.rows:
        st.text("No pair is selected. Widen a filter or clear a brush.")
        return
    if presenting():
        st.dataframe(
            formatted(_columns(shown, scene), FORMATS),
            column_config=_config(scene),
            hide_index=True,
            height=420,
            placeholder="–",
        )
        return
    _draw_order(scene)
    state: Any = st.dataframe(
        formatted(_columns(shown, scene), FORMATS),
        column_config=_config(scene),
        hide_index=True,
        height=420,
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row",
        key="explore table",
        alt="Selected pairs; select a row to open the pair",
    )
    _draw_pager(shown, scene.count)
    if rows := state["selection"]["rows"]:
        st.switch_page(PAIR_PAGE, query_params={**carried_view(), PAIR: shown.rows[rows[0]].pair_id})


def _columns(shown: TablePage, scene: Scene) -> dict[str, list[Any]]:
    def column(name: str) -> list[Any]:
        return [getattr(row, name) for row in shown.rows]

    similarity = {} if scene.lookups.nearest is None else {"similarity": column("similarity")}
    return similarity | {
        "margin": column("margin"),
        "out-of-fold": column("out_of_fold_margin"),
        "distance": column("distance"),
        "last question": column("prompt"),
        "chosen": column("chosen"),
        "rejected": column("rejected"),
        "triage": [NAMES[row.verdict or "untriaged"] for row in shown.rows],
        "label": [NAMES[row.decision] if row.decision else "" for row in shown.rows],
        "budget": column("budget"),
        "proposals": column("proposals"),
        "waiting": column("pending"),
        "split": [NAMES[row.split] for row in shown.rows],
        "dataset": column("dataset"),
        "subset": column("subset"),
    }


def _config(scene: Scene) -> dict[str, Any]:
    texts = st.column_config.TextColumn
    numbers = st.column_config.NumberColumn
    searched = SEARCHED[scene.lookups.nearest.kind] if scene.lookups.nearest else "text"
    return {
        "similarity": numbers(help=f"Cosine of the meaning searched for with the {searched}: 1 is the same", width=80),
        "margin": numbers(help="Reward of chosen minus reward of rejected, in reward units", width=80),
        "out-of-fold": numbers(help="Mean margin under models that never saw the pair", width=90),
        "distance": numbers(help="Semantic distance of the answers, 1 − cosine", width=80),
        "last question": texts(width=300),
        "chosen": texts(width=300),
        "rejected": texts(width=300),
        "budget": numbers(format="localized", help="New pairs that the newest plan gives it", width=70),
        "proposals": numbers(format="localized", width=85),
        "waiting": numbers(format="localized", help="Proposals that wait for review", width=70),
    }


def _draw_order(scene: Scene) -> None:
    st.html(ORDER_STYLE)
    with st.container(horizontal=True, vertical_alignment="bottom", key="table-order"):
        st.session_state["explore sort"] = scene.sort
        st.selectbox(
            "Order by",
            SORTS,
            key="explore sort",
            format_func=SORT_NAMES.__getitem__,
            width=220,
            on_change=lambda: change(sort=st.session_state["explore sort"]),
        )
        st.session_state["explore down"] = scene.view.descending
        st.toggle(
            "Farthest first" if scene.sort == "nearest" else "Highest first",
            key="explore down",
            on_change=lambda: change(sort=scene.sort, descending=st.session_state["explore down"]),
        )


def _draw_pager(shown: TablePage, count: int) -> None:
    """Below the table, whose own tools cover what stands above its right corner."""
    last = shown.first + len(shown.rows) - 1
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"{shown.first:,} to {last:,} of {count:,}")
        st.button(
            "Previous",
            icon=":material/chevron_left:",
            disabled=shown.page <= 1,
            on_click=changing(page=shown.page - 1),
        )
        st.button(
            "Next",
            icon=":material/chevron_right:",
            icon_position="right",
            disabled=shown.page >= shown.pages,
            on_click=changing(page=shown.page + 1),
        )
