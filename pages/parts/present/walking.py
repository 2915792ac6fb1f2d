"""How the story is walked: by keys, by buttons and by the list of steps; the address says at which step it is."""

from pathlib import Path
from typing import Literal

import streamlit as st

from mars_engine.evaluate.story import TITLES, StepKey

STEP = "step"
"""Name in the query parameters of the step shown."""
ALL = "all"
"""In the place of a step: all of them below each other, to be printed."""
ORDER: tuple[StepKey, ...] = tuple(TITLES)

_keys = st.components.v2.component(
    "mars_story_keys", js=Path(__file__).with_name("keys.js").read_text(encoding="utf-8")
)


def asked_step() -> StepKey | None:
    """Return the step that the address names, the first where it names none; None where it asks for all of them."""
    asked = st.query_params.get(STEP, "")
    if asked == ALL:
        return None
    return next((key for key in ORDER if key == asked), ORDER[0])


def _go(step: str) -> None:
    st.query_params[STEP] = step


def draw_walking(step: StepKey | None) -> None:
    """Draw what leads on and back, and which step of how many this is."""
    place = ORDER.index(step) if step else 0
    with st.container(horizontal=True, vertical_alignment="center", key="story-walk"):
        if step is None:
            st.button("Step by step", key="story-first", icon=":material/slideshow:", on_click=_go, args=(ORDER[0],))
            st.text("All steps: print this page with the browser.")
            return
        before, after = ORDER[max(place - 1, 0)], ORDER[min(place + 1, len(ORDER) - 1)]
        st.button(
            "Back", key="story-back", icon=":material/arrow_back:", disabled=place == 0, on_click=_go, args=(before,)
        )
        st.button(
            "Next",
            key="story-next",
            icon=":material/arrow_forward:",
            icon_position="right",
            type="primary",
            disabled=step == ORDER[-1],
            on_click=_go,
            args=(after,),
        )
        st.text(f"{place + 1} of {len(ORDER)}")
        with st.container(horizontal=True, gap="small", key="story-steps"):
            for key in ORDER:
                kind: Literal["secondary", "tertiary"] = "secondary" if key == step else "tertiary"
                st.button(key.capitalize(), key=f"story-to-{key}", type=kind, on_click=_go, args=(key,))
        st.button("To print", key="story-all", icon=":material/print:", type="tertiary", on_click=_go, args=(ALL,))
    _keys(key="story keys")
