"""The adjudication queue: what people disagree on, their answers, and settling it, which can be taken back."""

from collections.abc import Sequence

import streamlit as st

from mars_engine.core.errors import MarsError
from mars_engine.core.records import Pair, Proposal
from mars_engine.core.review_records import ItemKind, ReviewAction, ReviewEvent
from mars_engine.curate.agreement import DisputedItem, adjudicate
from mars_engine.curate.people import Dispute, open_dispute, same_decision, undo_last_adjudication
from mars_engine.curate.review import Decision
from mars_engine.service.desk import Desk
from pages.parts.drawing.difference import show_pair
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import empty_state, presenting, show_error
from pages.parts.review.reading import ask_name

ITEM = "item"
"""Name in the query parameters: the dispute that is shown."""

SAID = "adjudication said"
ACTION_NAMES: dict[ReviewAction, str] = {
    "accept": "Accept",
    "accept_chosen": "Accept the chosen side",
    "accept_rejected": "Accept the rejected side",
    "edit": "Accept with edits",
    "reject": "Reject",
    "flag": "Flag",
    "label_right": "Label is right",
    "flip": "Flip the label",
    "drop": "Drop the pair",
    "ambiguous": "Ambiguous",
}
CHOICES: dict[ItemKind, tuple[ReviewAction, ...]] = {
    "proposal": ("accept", "accept_chosen", "accept_rejected", "reject"),
    "pair": ("label_right", "flip", "drop", "ambiguous"),
}


def draw_disputes(desk: Desk, kind: ItemKind, disputed: Sequence[DisputedItem]) -> None:
    """Draw the disputes of a kind, one at a time, with the ways to settle it."""
    st.subheader(f"Disputes ({len(disputed):,})", anchor=False)
    if presenting():
        return
    name = ask_name()
    _draw_said(desk, kind, name)
    if not disputed:
        empty_state("Nothing is disputed.", to_do="Where two people decide differently, the item comes here.")
        return
    item = _chosen(disputed)
    dispute = open_dispute(desk.store, kind, item.item_id)
    _draw_texts(dispute)
    _draw_answers(dispute)
    if not name:
        st.text("To settle it, write your name above: the decision is stored under it.")
        return
    _draw_decision(desk, kind, item.item_id, dispute, name)


def _chosen(disputed: Sequence[DisputedItem]) -> DisputedItem:
    ids = [each.item_id for each in disputed]
    asked = st.query_params.get(ITEM, "")
    place = ids.index(asked) if asked in ids else 0
    with st.container(horizontal=True, vertical_alignment="center"):
        before = st.button("Previous", icon=":material/arrow_back:", disabled=place == 0, key="previous-dispute")
        st.text(f"{place + 1:,} of {len(ids):,}")
        after = st.button("Next", icon=":material/arrow_forward:", disabled=place + 1 == len(ids), key="next-dispute")
    place += after - before
    if asked != ids[place] and (asked or before or after):
        st.query_params[ITEM] = ids[place]
    if before or after:
        st.rerun()
    return disputed[place]


def _draw_texts(dispute: Dispute) -> None:
    item, source = dispute.item, dispute.source
    if isinstance(item, Pair):
        show_pair(item.prompt, item.chosen, item.rejected, key=f"dispute {item.id}")
        return
    st.text(f"Proposed by {item.method}, variant {item.variant}")
    show_pair(item.prompt, item.chosen, item.rejected, key=f"dispute {item.id}")
    with st.expander("The source pair"):
        show_pair(source.prompt, source.chosen, source.rejected, key=f"dispute source {item.id}")


def _draw_answers(dispute: Dispute) -> None:
    st.subheader("What was decided", anchor=False)
    draw_table(
        "What each person decided",
        ("who", "decision", "when (UTC)", "how shown", "note"),
        [
            (
                answer.annotator,
                ACTION_NAMES.get(answer.action, answer.action),
                f"{answer.at:%Y-%m-%d %H:%M}",
                answer.presented.replace("_", ", sides "),
                answer.note,
            )
            for answer in dispute.answers
        ],
    )
    for number, answer in enumerate(dispute.answers, start=1):
        if answer.action == "edit":
            _draw_edit(dispute.item, number, answer)


def _draw_edit(item: Pair | Proposal, number: int, answer: ReviewEvent) -> None:
    st.text(f"The texts as {answer.annotator} edited them:")
    show_pair(
        item.prompt if answer.edited_prompt is None else answer.edited_prompt,
        item.chosen if answer.edited_chosen is None else answer.edited_chosen,
        item.rejected if answer.edited_rejected is None else answer.edited_rejected,
        key=f"edit {number} {item.id} {answer.sequence}",
    )


def _draw_decision(desk: Desk, kind: ItemKind, item_id: str, dispute: Dispute, name: str) -> None:
    is_party = name in {answer.annotator for answer in dispute.answers}
    st.subheader(f"Your decision overrules {'the answers, yours too' if is_party else 'theirs'}", anchor=False)
    if is_party:
        st.text(
            "⚠ You answered this one yourself. Where there is somebody else, let him or her settle it. "
            "If you do, it is counted as settled by one of those who disagreed."
        )
    note = st.text_input("Note", max_chars=2_000, key=f"note-{item_id}", placeholder="Why, for those who disagreed")
    edits = [answer for answer in dispute.answers if answer.action == "edit"]
    with st.container(horizontal=True):
        for action in CHOICES[kind]:
            if st.button(ACTION_NAMES[action], key=f"decide-{action}"):
                _settle(desk, kind, item_id, Decision(action, note=note), name, is_party=is_party)
        for number, answer in enumerate(edits, start=1):
            if st.button(f"Take edit {number}" if len(edits) > 1 else "Take the edit", key=f"take-{number}"):
                _settle(desk, kind, item_id, same_decision(answer, note=note), name, is_party=is_party)


def _settle(desk: Desk, kind: ItemKind, item_id: str, decision: Decision, name: str, *, is_party: bool) -> None:
    try:
        adjudicate(desk.store, kind, item_id, decision, annotator=name, clock=desk.clock)
    except MarsError as error:
        show_error(error)
        return
    by_whom = ", by one of those who disagreed" if is_party else ""
    st.session_state[SAID] = f"✓ Settled{by_whom}: {ACTION_NAMES.get(decision.action, decision.action)}."
    st.rerun()


def _draw_said(desk: Desk, kind: ItemKind, name: str) -> None:
    """Say what was done last, and offer to take back the newest adjudication of this person."""
    if said := st.session_state.pop(SAID, ""):
        st.text(said)
    if name and st.button("Take back my last decision here", icon=":material/undo:", key="undo-adjudication"):
        item_id = undo_last_adjudication(desk.store, kind, annotator=name, clock=desk.clock)
        if item_id is not None:
            st.query_params[ITEM] = item_id
        st.session_state[SAID] = "✓ Taken back: it is open again." if item_id else "There is nothing to take back."
        st.rerun()
