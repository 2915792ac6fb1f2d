"""The card of a blind comparison: votes stand in the browser's log until the database has them, as in Review."""

from pathlib import Path
from typing import Any

import streamlit as st

from mars_engine.align.blind.dealing import deal_comparison
from mars_engine.align.blind.votes import TakenVotes, has_seen_result, take_votes
from mars_engine.core.errors import StoreError
from mars_engine.core.records import content_id
from mars_engine.core.review_records import Comparison
from mars_engine.service.desk import Desk
from pages.parts.card import FOLDER as CARD_FOLDER
from pages.parts.card import mount_whole_run

SHARED = ("element.js", "mounting.js", "keyboard.js", "log.js")
"""Scripts of Review's card that this one builds on."""

_scripts = [(CARD_FOLDER / name).read_text(encoding="utf-8") for name in SHARED]
_scripts.append(Path(__file__).with_name("compare.js").read_text(encoding="utf-8"))
_component = st.components.v2.component(
    "mars_compare", js="\n".join(_scripts), css=(CARD_FOLDER / "card.css").read_text(encoding="utf-8")
)

NOTHING_DEALT: dict[str, Any] = {"cards": None, "votes": None, "last_sequence": 0}


def draw_card(desk: Desk, comparison: Comparison, annotator: str) -> None:
    """Let a person vote; the whole page is drawn again once they have asked for the result."""
    _draw_card(desk, comparison, annotator)
    mount_whole_run()


@st.fragment
def _draw_card(desk: Desk, comparison: Comparison, annotator: str) -> None:
    key = f"compare-{comparison.id}-{content_id(annotator)}"
    attempt, log = _read_request(st.session_state.get(key))
    had_seen = bool(st.session_state.get(f"{key}-seen"))
    data = _answer(desk, comparison, annotator, attempt, log)
    st.session_state[f"{key}-seen"] = data["over"]
    shown = _component(key=key, data=data, on_log_change=_nothing)
    if _read_request(shown)[0] != attempt:
        st.rerun()  # only the first run of a session comes here: it learns what the browser kept from before
    if data["over"] and not had_seen and data["acknowledged"]:
        st.rerun(scope="app")  # the result is drawn above


def _nothing() -> None:
    """A state of the component has to have a callback; its value is read in every run instead."""


def _answer(desk: Desk, comparison: Comparison, annotator: str, attempt: int, log: list[Any]) -> dict[str, Any]:
    taken, problem = TakenVotes((), ()), ""
    try:
        if log:
            taken = take_votes(desk.store, comparison, annotator=annotator, log=log, clock=desk.clock)
        votes = desk.store.comparisons.votes(comparison.id)
        dealt = deal_comparison(comparison, desk.store.comparisons.answers(comparison.id), votes, annotator=annotator)
        over = has_seen_result(votes, annotator)
    except StoreError as error:
        problem = f"Your votes could not be stored yet, and are kept in this browser. {error}"
        dealt, over = NOTHING_DEALT, False
    return {
        "workspace": content_id(str(desk.root)),
        "comparison": comparison.id,
        "annotator": annotator,
        "attempt": attempt,
        "acknowledged": list(taken.acknowledged),
        "refused": [{"sequence": sequence, "reason": reason} for sequence, reason in taken.refused],
        "problem": problem,
        "over": over,
        **dealt,
    }


def _read_request(state: Any) -> tuple[int, list[Any]]:
    """Read what the component sent. Malformed state is treated as empty."""
    log = state.get("log") if hasattr(state, "get") else None
    if not isinstance(log, dict):
        return 0, []
    attempt, votes = log.get("attempt"), log.get("votes")
    return attempt if isinstance(attempt, int) else 0, votes if isinstance(votes, list) else []
