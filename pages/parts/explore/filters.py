"""The filters of Explore: widgets that write into the address, and the buttons that clear what restricts the view."""

from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any, Literal

import streamlit as st

from mars_engine.core.records import PairSet
from mars_engine.data.pair_index import SPLIT_CODES
from mars_engine.explore.explorer import Scene
from mars_engine.explore.view import (
    DECISIONS,
    MOST_CHARACTERS,
    MOST_NEAREST,
    PROPOSAL_STATES,
    VERDICTS,
    Interval,
    View,
)
from mars_engine.service.desk import Desk
from pages.parts.explore.state import change, changing

NAMES = {
    "untriaged": "not triaged",
    "clear": "clear",
    "hard": "hard",
    "suspected": "suspected mislabel",
    "indistinct": "indistinct (same to the model)",
    "undecided": "undecided",
    "label_right": "label right",
    "flip": "flipped",
    "drop": "dropped",
    "ambiguous": "ambiguous",
    "disputed": "disputed",
    "none": "no proposals",
    "any": "has proposals",
    "pending": "some wait for review",
    "accepted": "some accepted",
    "rejected": "some rejected",
    "": "train and held-out",
    "train": "train",
    "heldout": "held-out",
}
"""What the app calls the values of a view."""

FILTERS = {
    "margin": "Margin",
    "distance": "Distance",
    "split": "Split",
    "subsets": "Subset",
    "datasets": "Dataset",
    "verdicts": "Triage",
    "decisions": "Label decision",
    "proposals": "Proposals",
    "words": "Words",
    "meaning": "Meaning",
    "pair_set": "Set",
}
BRUSHES = {
    "margin_brush": "Brush on the margins",
    "map_brush": "Brush on the map",
    "plane_brush": "Brush on the plane",
}


RESTRICTIONS_STYLE = "<style>.st-key-explore-restrictions { min-height: 2.5rem; }</style>"
"""As high as a button, so that what is below does not move when the first brush is drawn."""


def draw_filters(desk: Desk, scene: Scene) -> None:
    """Draw the filters in a fold of their own. Its label is always the same: with another it would fold up again."""
    view = scene.view
    with st.expander("Filters", icon=":material/filter_alt:", key="explore-filters"):
        first, second, third = st.columns(3)
        with first:
            _range("margin", "Margin", "Score margin, in reward units", view.margin, step=0.1)
            _range("distance", "Distance", "Semantic distance, 1 − cosine: 0 to 2", view.distance, step=0.05)
            _text("words", "Words in the texts", view.words, "as they stand in prompt or answers, case aside")
        with second:
            _choice("verdicts", "Triage", VERDICTS, view.verdicts)
            _choice("decisions", "Label decision", DECISIONS, view.decisions)
            _choice("proposals", "Proposals", PROPOSAL_STATES, view.proposals)
        with third:
            _split(view)
            _names("subsets", "Subset", scene.index.subset_names, view.subsets)
            _names("datasets", "Dataset", tuple(dict.fromkeys(scene.index.dataset_names)), view.datasets)
        wide, narrow, sets = st.columns((3, 1, 2))
        with wide:
            _text("meaning", "Meaning", view.meaning, "finds the pairs whose text is nearest by the encoder")
        with narrow:
            _nearest(view, len(scene.index))
        with sets:
            _set(desk.store.pair_sets.all(), view)


def draw_restrictions(view: View) -> None:
    """Draw a button to clear each filter and each brush that is set, and one for everything."""
    st.html(RESTRICTIONS_STYLE)
    with st.container(horizontal=True, vertical_alignment="center", key="explore-restrictions"):
        if not view.is_filtered:
            st.text("No filter is set and nothing brushed.")
            return
        for field, label in (FILTERS | BRUSHES).items():
            if getattr(view, field) != getattr(View(), field):
                st.button(f"{label} ✕", key=f"clear {field}", on_click=_clear((field,)))
        draw_clear_all("Clear all filters and brushes", key="clear all", type="tertiary")


def draw_clear_all(label: str, *, key: str, type: Literal["secondary", "tertiary"]) -> None:
    """Draw a button by which all pairs are selected again."""
    st.button(label, key=key, type=type, on_click=_clear((*FILTERS, *BRUSHES)))


def _clear(fields: Sequence[str]) -> Callable[[], None]:
    return changing(**{name: getattr(View(), name) for name in fields})


# ------------------------------------------------------------------------------------------------------------- widgets


def _key(name: str, value: Any) -> str:
    """Return a widget's key, with the value that the address has put into it."""
    key = f"explore {name}"
    st.session_state[key] = value
    return key


def _range(field: str, label: str, help_text: str, interval: Interval | None, *, step: float) -> None:
    ends = (interval or Interval()).low, (interval or Interval()).high
    low, high = (None if end in (float("inf"), float("-inf")) else end for end in ends)
    left, right = st.columns(2)
    keys = _key(f"{field} from", low), _key(f"{field} to", high)

    def changed() -> None:
        given = [st.session_state[key] for key in keys]
        low = float("-inf") if given[0] is None else given[0]
        high = float("inf") if given[1] is None else given[1]
        change(**{field: None if given == [None, None] else Interval(min(low, high), max(low, high))})

    for column, end, key in ((left, "from", keys[0]), (right, "to", keys[1])):
        column.number_input(
            f"{label} {end}", value=None, key=key, step=step, format="%.3g", help=help_text, on_change=changed
        )


def _text(field: str, label: str, value: str, help_text: str) -> None:
    key = _key(field, value)
    st.text_input(
        label,
        key=key,
        max_chars=MOST_CHARACTERS,
        help=help_text,
        on_change=lambda: change(**{field: st.session_state[key]}),
    )


def _choice(field: str, label: str, options: Sequence[str], chosen: Sequence[str]) -> None:
    key = _key(field, list(chosen))
    st.multiselect(
        label,
        options,
        key=key,
        format_func=NAMES.__getitem__,
        placeholder="any",
        on_change=lambda: change(**{field: tuple(st.session_state[key])}),
    )


def _names(field: str, label: str, known: Sequence[str], chosen: Sequence[str]) -> None:
    """A choice of names out of the data; one that a link names and the data does not have can be taken away."""
    options = list(dict.fromkeys([*sorted(known), *chosen]))
    key = _key(field, list(chosen))
    st.multiselect(
        label,
        options,
        key=key,
        format_func=lambda name: name or "(none)",
        placeholder="any",
        on_change=lambda: change(**{field: tuple(st.session_state[key])}),
    )


def _split(view: View) -> None:
    key = _key("split", view.split)
    st.selectbox(
        "Split",
        ("", *SPLIT_CODES),
        key=key,
        format_func=NAMES.__getitem__,
        on_change=lambda: change(split=st.session_state[key]),
    )


def _nearest(view: View, pairs: int) -> None:
    key = _key("nearest", view.nearest_among(pairs))
    st.number_input(
        "Nearest pairs",
        min_value=1,
        max_value=MOST_NEAREST,
        key=key,
        step=10,
        help="How many of the pairs nearest to the meaning are selected",
        on_change=lambda: change(nearest=st.session_state[key]),
    )


def _set(sets: Sequence[PairSet], view: View) -> None:
    known = {each.id: each for each in sets}
    key = _key("set", view.pair_set)
    st.selectbox(
        "Set of pairs",
        list(dict.fromkeys(["", *known, view.pair_set])),
        key=key,
        format_func=lambda set_id: _set_name(known.get(set_id)) if set_id else "any",
        on_change=lambda: change(pair_set=st.session_state[key]),
    )


def _set_name(pair_set: PairSet | None) -> str:
    if pair_set is None:
        return "a set that is gone"
    made = pair_set.created_at.astimezone(UTC)
    return f"{pair_set.name} ({pair_set.pairs:,} pairs, {made:%Y-%m-%d %H:%M} UTC)"
