"""A tour of six steps through the pages, a sentence or two each, that can be left at any step."""

from dataclasses import dataclass

import streamlit as st

STEP = "tour-step"
"""Name in the session state of the tour's step, counted from 0; absent where nobody is on tour."""


@dataclass(frozen=True, slots=True)
class TourStep:
    """What a page is for, to somebody who sees it for the first time."""

    path: str
    title: str
    words: str


STEPS = (
    TourStep(
        "pages/overview.py",
        "Overview",
        "Where you stand: what the reward model is unsure about, what was done, and what that gained on pairs it never "
        "saw. The button beside it is always the next thing to do.",
    ),
    TourStep(
        "pages/explore.py",
        "Explore",
        "Every pair is a point. Pairs that lie together say similar things; the colour is the margin, by how much the "
        "model prefers the answer that is labelled better. Draw around some to read them.",
    ),
    TourStep(
        "pages/check.py",
        "Check",
        "Pairs whose label looks wrong to models that never saw them. Say with one key whether the label is right: a "
        "wrong one misleads the model, and everything that is made of its pair.",
    ),
    TourStep(
        "pages/review.py",
        "Review",
        "Proposed new pairs, one at a time: accept, reject or edit by keyboard. Nothing is trained on that nobody "
        "has accepted, and everything can be undone.",
    ),
    TourStep(
        "pages/train.py",
        "Train",
        "What takes long runs here in the background: opening a round, closing it, fine-tuning. It goes on when you "
        "close the browser.",
    ),
    TourStep(
        "pages/results.py",
        "Results",
        "Models before and after on the same held-out pairs, with intervals. Where an interval covers 0, no difference "
        "is shown, and the page says so.",
    ),
)


def offer_tour() -> None:
    """Draw the way into the tour, where nobody is on it."""
    if STEP not in st.session_state and st.button("Take the tour: six steps", icon=":material/tour:", type="tertiary"):
        st.session_state[STEP] = 0
        st.rerun()


def draw_tour() -> None:
    """Draw the step that the tour has come to, with the way on and out of it; nothing where nobody is on tour."""
    place = st.session_state.get(STEP)
    if place is None:
        return
    step, is_last = STEPS[place], place + 1 == len(STEPS)
    with st.container(border=True, key="tour"):
        st.text(f"Tour, {place + 1} of {len(STEPS)} · {step.title}: {step.words}")
        with st.container(horizontal=True):
            if st.button("Finish" if is_last else f"Next: {STEPS[place + 1].title}", type="primary", key="tour-on"):
                _go_to(None if is_last else place + 1)
            if not is_last and st.button("Leave the tour", type="tertiary", key="tour-leave"):
                _go_to(None, stay=True)


def _go_to(place: int | None, *, stay: bool = False) -> None:
    if place is None:
        del st.session_state[STEP]
    else:
        st.session_state[STEP] = place
    if stay:
        st.rerun()
    st.switch_page(STEPS[place or 0].path)
