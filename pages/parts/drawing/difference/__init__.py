"""Two answers side by side with the words that differ marked; shown as they are, never interpreted."""

from pathlib import Path

import streamlit as st

from mars_engine.core.records import Prompt

FOLDER = Path(__file__).parent
COMPARING = FOLDER.parents[1] / "card" / "difference.js"
"""Finds the words that differ; the card of Check and Review uses it too."""


def _scripts() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (COMPARING, FOLDER / "side_by_side.js"))


_component = st.components.v2.component(
    "mars_difference", js=_scripts(), css=(FOLDER / "side_by_side.css").read_text(encoding="utf-8")
)


def show_pair(prompt: Prompt, chosen: str, rejected: str, *, key: str, can_switch: bool = True) -> None:
    """Show a prompt's turns and two answers side by side.

    Words that one answer has and the other lacks are underlined and set in bold on the chosen side, struck through on
    the rejected side; a switch turns that off.
    """
    turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
    data = {"prompt": turns, "chosen": chosen, "rejected": rejected, "can_switch": can_switch}
    _component(key=key, data=data)
