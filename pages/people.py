"""People: who decided how much, how far they agree, and settling what they dispute."""

import streamlit as st

from mars_engine.core.review_records import ItemKind
from mars_engine.curate.agreement import AgreementReport, agreement
from mars_engine.curate.people import Contribution, contributions
from mars_engine.service.desk import Desk
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import empty_state, page, presenting
from pages.parts.people.agreement import draw_agreement
from pages.parts.people.disputes import draw_disputes
from pages.parts.people.judges import draw_judges_of

KINDS: dict[str, ItemKind] = {"Check": "pair", "Review": "proposal"}
"""What people decide, by the page where they do; these names stand in the address too."""


def draw_contributions(people: list[Contribution]) -> None:
    """Draw who decided how much, and how fast."""
    st.subheader("Who decided how much", anchor=False)
    draw_table(
        "Who decided how much",
        (
            "name",
            "is a",
            "pairs checked",
            "proposals reviewed",
            "skipped",
            "taken back",
            "minutes",
            "seconds a decision",
        ),
        [_row(each) for each in people],
        numbers=("pairs checked", "proposals reviewed", "skipped", "taken back", "minutes", "seconds a decision"),
    )


def _row(person: Contribution) -> tuple[str, ...]:
    pace = person.seconds_per_decision
    return (
        person.name,
        person.role,
        f"{person.checked:,}",
        f"{person.reviewed:,}",
        f"{person.skipped:,}",
        f"{person.taken_back:,}",
        f"{person.seconds / 60:,.1f}" if person.seconds else "–",
        "–" if pace is None else f"{pace:,.1f}",
    )


@st.cache_resource(max_entries=8, show_spinner="Comparing decisions")
def _agreement(root: str, kind: ItemKind, revision: str, settings: str, _desk: Desk) -> AgreementReport:  # noqa: ARG001
    return agreement(_desk.store, kind, config=_desk.config.evaluate)


def draw(desk: Desk) -> None:
    people = contributions(desk.store.browse.review_tallies())
    if not people:
        _draw_nobody(desk)
        draw_judges_of(desk)
        return
    draw_contributions(people)
    kind = _chosen_kind(people)
    revision = desk.store.browse.revision_of("reviews", "proposals", "removals")
    report = _agreement(str(desk.root), kind, revision, desk.config.evaluate.model_dump_json(), desk)
    draw_agreement(report)
    if kind == "pair":
        draw_judges_of(desk)
    draw_disputes(desk, kind, report.disputed)


def _chosen_kind(people: list[Contribution]) -> ItemKind:
    usual = "Review" if any(each.reviewed for each in people) else "Check"
    if presenting():
        return KINDS[usual]
    chosen = st.segmented_control(
        "Decisions made on", list(KINDS), default=usual, required=True, key="decided-on", bind="query-params"
    )
    return KINDS[chosen or usual]


def _draw_nobody(desk: Desk) -> None:
    if desk.store.pairs.datasets():
        empty_state(
            "Nobody has decided anything yet.",
            to_do="Check the labels of pairs or review proposals; train a reward model first where none is there.",
            page_path="pages/check.py",
            link="Check labels",
        )
    else:
        empty_state(
            "There are no pairs yet, so nobody has decided anything.",
            to_do="Import some first, or begin with the demo pairs.",
            page_path="pages/data.py",
            link="Import pairs",
        )


with page("People", purpose="Who decided how much, how far they agree, and what they dispute.") as desk:
    draw(desk)
