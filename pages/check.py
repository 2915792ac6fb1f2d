"""Check: whether the labels of source pairs are right, suspected mislabels first."""

import streamlit as st

from mars_engine.curate.check import CheckFigures, check_figures
from mars_engine.service.desk import Desk
from pages.parts.card import Dealing
from pages.parts.frame.glossary import GLOSSARY
from pages.parts.frame.page import empty_state, page, presenting
from pages.parts.frame.words import explain
from pages.parts.review.reading import WHAT_TO_READ, ask_name, choose_order, choose_source, draw_deck, presented
from pages.parts.review.second_opinion import draw_second_opinion

NOT_YET = "–"


def draw_stakes(desk: Desk) -> None:
    """How much of the coming budget would go to suspects that nobody has checked, and what checking found so far."""
    figures = check_figures(desk.index(), desk.config)
    if not figures.suspects:
        st.text("Triage suspects no label: the lowest margins come first.")
        return
    _draw_in_short(figures)
    with st.container(horizontal=True, gap="large", key="stakes"):
        _metric("suspects unchecked", f"{figures.open:,} of {figures.suspects:,}", GLOSSARY["suspect"])
        if figures.open_share is not None:
            _metric(
                "of the budget at stake",
                f"{figures.open_share:.1%}",
                f"Share of the coming budget of {figures.budget:,} new pairs that unchecked suspects would get if they "
                "were treated like any other pair. It falls as you work.",
            )
        # They stand here before the first decision too, so that nothing moves when it is made.
        rate = figures.mislabel_rate
        _metric(
            "of those checked were wrong",
            f"{rate.estimate:.0%}" if rate else NOT_YET,
            f"Flipped or dropped; {rate.level:.0%} interval {rate.low:.0%} to {rate.high:.0%}."
            if rate
            else "Known once a suspect has been judged.",
        )
        _metric(
            "new pairs at risk",
            f"{figures.new_pairs_at_risk:,}" if rate else NOT_YET,
            "Would be made of mislabelled pairs among the unchecked suspects, at that rate.",
        )
        _metric(
            "new pairs saved",
            f"{figures.new_pairs_saved:,}" if rate else NOT_YET,
            "Would have been made of what was flipped or dropped, had nobody looked.",
        )


def _draw_in_short(figures: CheckFigures) -> None:
    """The most telling of them on two lines, for a small screen, where the card is to stand near the top."""
    rate = figures.mislabel_rate
    share = f"{figures.open_share:.1%}" if figures.open_share is not None else NOT_YET
    wrong, saved = (f"{rate.estimate:.0%}", f"{figures.new_pairs_saved:,}") if rate else (NOT_YET, NOT_YET)
    with st.container(key="stakes-in-short"):
        st.text(
            f"{figures.open:,} of {figures.suspects:,} suspects unchecked · {share} of the budget\n"
            f"{wrong} of those checked were wrong · {saved} new pairs saved"
        )


def _metric(label: str, value: str, explains: str) -> None:
    st.metric(label, value, help=None if presenting() else explains, width="content")


def draw(desk: Desk) -> None:
    index = desk.index()
    if not len(index):
        empty_state(
            "There are no pairs to check yet.",
            to_do="Import a file of preference pairs, or the demo pairs.",
            page_path="pages/data.py",
            link="Import pairs",
        )
        return
    if index.model is None:
        empty_state(
            "No pair has a margin yet, so nothing tells which labels are in doubt.",
            to_do="Train a reward model; it scores the pairs, and the doubtful ones come here.",
            page_path="pages/train.py",
            link="Train",
        )
        return
    if presenting():
        draw_deck(desk, presented(desk, "pair"), draw_stakes)
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="reading-choices"):
        name = ask_name()
        with st.popover(WHAT_TO_READ, icon=":material/low_priority:"):
            order = choose_order(desk, "pair")
            source = choose_source(desk, "pair")
    if not name:
        empty_state("Say who you are.", to_do="Write your name above and press Enter: the first pair comes up.")
        return
    draw_deck(desk, Dealing("pair", name, order, source), draw_stakes)
    draw_second_opinion(desk)
    explain("suspect", "out-of-fold")


with page("Check", purpose="Is the better answer really the one called chosen? One key a pair.") as desk:
    draw(desk)
