"""What judges said of labels, and how far they agree with people and with the out-of-fold margin."""

import streamlit as st

from mars_engine.curate.agreement import coefficient_in_words
from mars_engine.curate.judging.agreement import ONLY_SUSPECTS, JudgeAgreement, judge_agreement
from mars_engine.service.desk import Desk
from pages.parts.drawing.tables import draw_table

SAID = ("label right", "label wrong", "ties", "by order", "unread")


@st.cache_resource(max_entries=8, show_spinner="Comparing judges")
def _judges(root: str, revision: str, settings: str, _desk: Desk) -> JudgeAgreement:  # noqa: ARG001
    return judge_agreement(_desk.store, config=_desk.config.evaluate)


def draw_judges_of(desk: Desk) -> None:
    """Draw what the judges of a workspace said, compared once until something of it changes."""
    revision = desk.store.browse.revision_of("reviews", "opinions", "triage", "removals")
    draw_judges(_judges(str(desk.root), revision, desk.config.evaluate.model_dump_json(), desk))


def draw_judges(report: JudgeAgreement) -> None:
    """Draw what each judge said, and the agreement of each two of judges, people and margin; nothing without judges."""
    if not report.judges:
        return
    st.subheader("Judges", anchor=False)
    draw_table(
        "What judges said",
        ("judge", *SAID),
        [
            (
                each.judge,
                *(
                    f"{count:,}"
                    for count in (each.label_right, each.label_wrong, each.ties, each.inconsistent, each.unread)
                ),
            )
            for each in report.judges
        ],
        numbers=SAID,
    )
    if report.pairs:
        draw_table(
            "Agreement of judges, people and margin",
            ("first", "second", "pairs", "raw agreement", "Cohen’s κ"),
            [
                (
                    each.first,
                    each.second,
                    f"{each.items:,}",
                    coefficient_in_words(each.raw),
                    coefficient_in_words(each.kappa),
                )
                for each in report.pairs
            ],
            numbers=("pairs", "raw agreement", "Cohen’s κ"),
        )
    st.text(
        "Of labels that both call right or wrong. By order: the answer shown first, or the one shown second, was "
        "preferred whichever it was. The margin says by its sign."
    )
    for each in report.judges:
        if each.only_suspects:
            st.text(f"{each.judge} {ONLY_SUSPECTS}.")
